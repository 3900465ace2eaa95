"""What public code computes under the name of ArcFace."""

from __future__ import annotations

import math

from torch import Tensor, where

from ..public_code import PublicCode, cosine_head, detached
from ..shared.peers import as_published

_USUAL = {"scale": 64.0, "margin": 0.5}
_CLIPPED = 1e-4


def _turned(cosine: Tensor, margin: float = 0.5) -> Tensor:
    return (cosine.acos() + margin).cos()


def _expanded(cosine: Tensor, margin: float = 0.5) -> Tensor:
    sine = (1 - cosine.square()).sqrt()
    return cosine * math.cos(margin) - sine * math.sin(margin)


def _guarded(cosine: Tensor, margin: float = 0.5) -> Tensor:
    inside = cosine > -math.cos(margin)
    return where(inside, _expanded(cosine, margin), cosine - margin * math.sin(margin))


def _jumping(cosine: Tensor, margin: float = 0.35) -> Tensor:
    return where(cosine > -math.cos(margin), _expanded(cosine, margin), cosine)


def _clipped(cosine: Tensor) -> Tensor:
    return (cosine.acos() + 0.5).clamp(_CLIPPED, math.pi - _CLIPPED).cos()


def _stopped(cosine: Tensor) -> Tensor:
    """Of opensphere: angles stop at 3.14159, a little before pi."""
    return (cosine.clamp(1e-5 - 1, 1 - 1e-5).acos() + 0.5).clamp(1e-5, 3.14159).cos()


PUBLIC_CODE = (
    PublicCode(
        "pytorch-metric-learning ArcFaceLoss",
        "pytorch_metric_learning.losses.ArcFaceLoss",
        as_published("ArcFaceLoss"),
        {"scale": 64.0, "margin": math.radians(28.6)},
        package="pytorch_metric_learning",
        note="its margin is 28.6 degrees, 0.499 in radians",
    ),
    PublicCode(
        "insightface arcface_torch ArcFace",
        "deepinsight/insightface 7fadd420 recognition/arcface_torch/losses.py:42-49, 74-85",
        cosine_head(detached(_turned), scale=64),
        _USUAL,
        note="as CombinedMarginLoss with margins (1, 0.5, 0) too",
    ),
    PublicCode(
        "insightface arcface_torch ArcFace until 657ae30e",
        "deepinsight/insightface 2e2e8c97 recognition/arcface_torch/losses.py:17-35",
        cosine_head(_guarded, scale=64),
        _USUAL,
    ),
    PublicCode(
        "insightface arcface_mxnet",
        "deepinsight/insightface 7fadd420 recognition/arcface_mxnet/train.py:134-170",
        cosine_head(_turned, scale=64),
        _USUAL,
        note="sample_config.py:142-147: margins (1, 0.5, 0)",
    ),
    PublicCode(
        "CurricularFace ArcFace",
        "HuangYG123/CurricularFace 68c8727f head/metrics.py:43-61",
        cosine_head(_guarded, scale=64),
        _USUAL,
        note="its easy_margin would raise NameError: a misspelt name in line 55",
    ),
    PublicCode(
        "AdaFace ArcFace",
        "mk-minchul/AdaFace c60eaa78 head.py:165-180",
        cosine_head(_clipped, scale=64, every=lambda c: c.clamp(_CLIPPED - 1, 1 - _CLIPPED)),
        _USUAL,
        note="its network normalises the embeddings; cosines of all classes are clipped",
    ),
    PublicCode(
        "ElasticFace ArcFace",
        "fdbtrs/ElasticFace 5496ec06 utils/losses.py:123-134",
        cosine_head(_turned, scale=64),
        _USUAL,
    ),
    PublicCode(
        "FaceX-Zoo ArcFace",
        "JDAI-CV/FaceX-Zoo 16b793a7 head/ArcFace.py:26-42",
        cosine_head(_jumping, scale=32),
        {"scale": 32.0, "margin": 0.35},
        note="past pi - m its guard takes nothing off (margin_am = 0): the logit jumps up",
    ),
    PublicCode(
        "fast-reid ArcSoftmax",
        "JDAI-CV/fast-reid c9bc3ceb fastreid/layers/any_softmax.py:47-54",
        cosine_head(_turned, scale=64),
        _USUAL,
        note="its defaults are scale 1 and margin 0 (config/defaults.py:82-83)",
    ),
    PublicCode(
        "Paddle margin_cross_entropy",
        "PaddlePaddle/Paddle 00bddd53 paddle/phi/kernels/gpu/margin_cross_entropy_kernel.cu:45-60, "
        "06872305 margin_cross_entropy_grad_kernel.cu:35-46",
        cosine_head(_turned, scale=64),
        _USUAL,
        note="with margins (1, 0.5, 0); it takes cosines, normalised by who calls it",
    ),
    PublicCode(
        "OneFlow CombinedMarginLoss",
        "Oneflow-Inc/oneflow 1072bb28 oneflow/user/kernels/combined_margin_loss_kernel.cu:35-41, "
        "61-64",
        cosine_head(_turned, scale=64),
        _USUAL,
        note="with margins (1, 0.5, 0); it takes cosines, normalised by who calls it",
    ),
    PublicCode(
        "opensphere ArcFace",
        "ydwen/opensphere a679e820 opensphere/module/head/arcface.py:25-41",
        cosine_head(detached(_stopped), scale=64, in_place=True),
        _USUAL,
        note="overwrites the class weights by their directions in each step",
    ),
    PublicCode(
        "CVLface CombinedMarginLoss",
        "mk-minchul/CVLface d3d09c93 cvlface/research/recognition/code/run_v1/losses/"
        "margin_loss.py:42-49",
        cosine_head(detached(_turned), scale=64),
        _USUAL,
        note="configs/arcface.yaml: margins (1, 0.5, 0); its class ArcFace would raise "
        "AttributeError (sets scale in line 68, reads s in line 86)",
    ),
)
