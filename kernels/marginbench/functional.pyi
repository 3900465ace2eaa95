# Written by kernels/stubs.py from what the losses declare.

from .a_softmax.functional import a_softmax as a_softmax
from .adaface.functional import adaface as adaface
from .arcface.functional import arcface as arcface
from .center.functional import center as center
from .center.functional import center_term as center_term
from .center.functional import center_update as center_update
from .combined.functional import combined_margin as combined_margin
from .contrastive.functional import contrastive as contrastive
from .contrastive.functional import pair_contrastive as pair_contrastive
from .cosface.functional import cosface as cosface
from .elasticface.functional import elasticface as elasticface
from .magface.functional import magface as magface
from .normface.functional import normface as normface
from .softmax.functional import softmax as softmax
from .sphereface_r.functional import sphereface_r as sphereface_r
from .triplet.functional import explicit_triplet as explicit_triplet
from .triplet.functional import triplet as triplet

__all__ = [
    "a_softmax",
    "adaface",
    "arcface",
    "center",
    "center_term",
    "center_update",
    "combined_margin",
    "contrastive",
    "cosface",
    "elasticface",
    "explicit_triplet",
    "magface",
    "normface",
    "pair_contrastive",
    "softmax",
    "sphereface_r",
    "triplet",
]
