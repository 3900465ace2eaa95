"""What public code computes under the name of AdaFace, with the statistics of the lengths that it
starts from: 20 and 100."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..public_code import HeadLoss, PublicCode

_EPS = 1e-3
_MARGIN, _H, _SCALE = 0.4, 0.333, 64
_USUAL = {"scale": 64.0, "margin": 0.4, "h": 0.333}


def _head(
    target: Callable[[Tensor, Tensor], Tensor], every: Callable[[Tensor], Tensor]
) -> HeadLoss:
    """``target`` of the label's cosines and of m times the rows' qualities (B x 1 each); ``every``
    comes before it, for all classes."""

    def loss(embeddings: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
        length_B1 = embeddings.detach().norm(dim=1, keepdim=True).clamp(0.001, 100)
        own_B1 = _MARGIN * (_H * (length_B1 - 20) / (100 + _EPS)).clamp(-1, 1)
        cosine_BC = every(F.normalize(embeddings) @ F.normalize(class_weights).T)
        target_B1 = target(cosine_BC.gather(1, labels[:, None]), own_B1) - (_MARGIN + own_B1)
        return F.cross_entropy(_SCALE * cosine_BC.scatter(1, labels[:, None], target_B1), labels)

    return loss


def _clipped(cosine: Tensor, own: Tensor) -> Tensor:
    return (cosine.acos() - own).clamp(_EPS, math.pi - _EPS).cos()


def _detached(cosine: Tensor, own: Tensor) -> Tensor:
    return cosine + ((cosine.acos() - own).cos() - cosine).detach()


PUBLIC_CODE = (
    PublicCode(
        "AdaFace AdaFace",
        "mk-minchul/AdaFace c60eaa78 head.py:77-120",
        _head(_clipped, every=lambda cosine: cosine.clamp(_EPS - 1, 1 - _EPS)),
        _USUAL,
        note="cosines of all classes are clipped; a batch moves the statistics before it is used, "
        "which is left out here",
    ),
    PublicCode(
        "CVLface AdaFaceLoss",
        "mk-minchul/CVLface d3d09c93 cvlface/research/recognition/code/run_v1/losses/"
        "adaface.py:33-66, classifiers/fc/fc.py:45-63",
        _head(_detached, every=lambda cosine: cosine.clamp(-1, 1)),
        _USUAL,
        note="configs/adaface.yaml; a batch moves the statistics before it is used, which is left "
        "out here",
    ),
)
