"""What public code computes under the name of A-Softmax, or SphereFace."""

from __future__ import annotations

import math

from torch import Tensor

from ..public_code import PublicCode, cosine_head, detached
from ..shared.peers import as_published


def _psi(cosine: Tensor, m: float) -> Tensor:
    """By the angle: (-1)^k cos(m theta) - 2k, with m theta from k pi on."""
    turned = m * cosine.acos()
    k = (turned.detach() / math.pi).floor()
    return (1 - 2 * (k % 2)) * turned.cos() - 2 * k


PUBLIC_CODE = (
    PublicCode(
        "pytorch-metric-learning SphereFaceLoss",
        "pytorch_metric_learning.losses.SphereFaceLoss",
        as_published("SphereFaceLoss"),
        {"m": 4},
        package="pytorch_metric_learning",
        note="with its margin of 4 and scale of 1; it has no annealing",
    ),
    PublicCode(
        "sphereface_pytorch AngleLinear, AngleLoss",
        "clcarwin/sphereface_pytorch 421986c3 net_sphere.py:31-57, 68-91",
        cosine_head(lambda c: (5 * c + _psi(c, 4)) / 6, scale=1, lengths=True),
        {"m": 4, "annealing": 5.0},
        note="at the end of its annealing, where lambda is 5",
    ),
    PublicCode(
        "opensphere SphereFace",
        "ydwen/opensphere a679e820 opensphere/module/head/sphereface.py:28-48",
        cosine_head(detached(lambda c: _psi(c.clamp(1e-5 - 1, 1 - 1e-5), 1.7)), scale=30,
                    in_place=True),
        {"scale": 30.0},
        note="m = 1.7 and scale 30 on embeddings of length 1; overwrites the class weights by "
        "their directions in each step",
    ),
)  # fmt: skip
