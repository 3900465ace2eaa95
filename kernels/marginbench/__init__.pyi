# Written by kernels/stubs.py from what the losses declare.

from . import functional as functional
from . import miners as miners
from .a_softmax.modules import ASoftmaxLoss as ASoftmaxLoss
from .a_softmax.modules import Annealing as Annealing
from .adaface.modules import AdaFaceLoss as AdaFaceLoss
from .arcface.modules import ArcFaceLoss as ArcFaceLoss
from .center.modules import CenterLoss as CenterLoss
from .center.modules import CenterTerm as CenterTerm
from .checks import InputError as InputError
from .combined.modules import CombinedMarginLoss as CombinedMarginLoss
from .contrastive.modules import ContrastiveLoss as ContrastiveLoss
from .contrastive.modules import PairContrastiveLoss as PairContrastiveLoss
from .cosface.modules import CosFaceLoss as CosFaceLoss
from .elasticface.modules import ElasticFaceLoss as ElasticFaceLoss
from .implementations import IMPLEMENTATIONS as IMPLEMENTATIONS
from .implementations import which as which
from .magface.modules import MagFaceLoss as MagFaceLoss
from .normface.modules import NormFaceLoss as NormFaceLoss
from .shared.partial_fc import PartialFC as PartialFC
from .shared.row_sgd import RowSGD as RowSGD
from .softmax.modules import SoftmaxLoss as SoftmaxLoss
from .sphereface_r.modules import SphereFaceRLoss as SphereFaceRLoss
from .triplet.modules import ExplicitTripletLoss as ExplicitTripletLoss
from .triplet.modules import TripletLoss as TripletLoss

__version__: str

__all__ = [
    "ASoftmaxLoss",
    "AdaFaceLoss",
    "Annealing",
    "ArcFaceLoss",
    "CenterLoss",
    "CenterTerm",
    "CombinedMarginLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "ElasticFaceLoss",
    "ExplicitTripletLoss",
    "IMPLEMENTATIONS",
    "InputError",
    "MagFaceLoss",
    "NormFaceLoss",
    "PairContrastiveLoss",
    "PartialFC",
    "RowSGD",
    "SoftmaxLoss",
    "SphereFaceRLoss",
    "TripletLoss",
    "functional",
    "miners",
    "which",
]
