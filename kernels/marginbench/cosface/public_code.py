"""What public code computes under the name of CosFace, or AM-softmax."""

from __future__ import annotations

from torch import Tensor

from ..public_code import HeadLoss, PublicCode, cosine_head
from ..shared.peers import as_published

_CLIPPED = 1e-4


def _less(margin: float, scale: float = 64.0, **given: object) -> HeadLoss:
    return cosine_head(lambda cosine: cosine - margin, scale=scale, **given)  # type: ignore[arg-type]


def _clip(cosine: Tensor) -> Tensor:
    return cosine.clamp(_CLIPPED - 1, 1 - _CLIPPED)


_PAPER, _LARGER = {"scale": 64.0, "margin": 0.35}, {"scale": 64.0, "margin": 0.4}

PUBLIC_CODE = (
    PublicCode(
        "pytorch-metric-learning CosFaceLoss",
        "pytorch_metric_learning.losses.CosFaceLoss",
        as_published("CosFaceLoss"),
        _PAPER,
        package="pytorch_metric_learning",
    ),
    PublicCode(
        "insightface arcface_torch CosFace",
        "deepinsight/insightface 7fadd420 recognition/arcface_torch/losses.py:51-54, 94-100",
        _less(0.4),
        _LARGER,
        note="as CombinedMarginLoss with margins (1, 0, 0.4) too, of most of its configurations",
    ),
    PublicCode(
        "insightface arcface_mxnet CosFace",
        "deepinsight/insightface 7fadd420 recognition/arcface_mxnet/train.py:134-150",
        _less(0.35),
        _PAPER,
        note="sample_config.py:149-154: margins (1, 0, 0.35)",
    ),
    PublicCode(
        "AdaFace CosFace",
        "mk-minchul/AdaFace c60eaa78 head.py:138-149",
        _less(0.4, every=_clip),
        _LARGER,
        note="its network normalises the embeddings; all cosines are clipped to 1 - 1e-4",
    ),
    PublicCode(
        "ElasticFace CosFace",
        "fdbtrs/ElasticFace 5496ec06 utils/losses.py:100-110",
        _less(0.35),
        _PAPER,
    ),
    PublicCode(
        "FaceX-Zoo AM_Softmax",
        "JDAI-CV/FaceX-Zoo 16b793a7 head/AM_Softmax.py:20-32",
        _less(0.35, 32.0),
        {"scale": 32.0, "margin": 0.35},
    ),
    PublicCode(
        "fast-reid CosSoftmax",
        "JDAI-CV/fast-reid c9bc3ceb fastreid/layers/any_softmax.py:36-42",
        _less(0.35),
        _PAPER,
        note="its defaults are scale 1 and margin 0 (config/defaults.py:82-83)",
    ),
    PublicCode(
        "opensphere CosFace",
        "ydwen/opensphere a679e820 opensphere/module/head/cosface.py:26-40",
        _less(0.35, in_place=True),
        _PAPER,
        note="overwrites the class weights by their directions in each step",
    ),
    PublicCode(
        "CVLface CombinedMarginLoss for CosFace",
        "mk-minchul/CVLface d3d09c93 cvlface/research/recognition/code/run_v1/losses/"
        "margin_loss.py:51-54",
        _less(0.4),
        _LARGER,
        note="configs/cosface.yaml: margins (1, 0, 0.4)",
    ),
)
