"""What public code computes under the name of NormFace, or normalised softmax."""

from __future__ import annotations

from ..public_code import PublicCode, cosine_head
from ..shared.peers import as_published

PUBLIC_CODE = (
    PublicCode(
        "pytorch-metric-learning NormalizedSoftmaxLoss",
        "pytorch_metric_learning.losses.NormalizedSoftmaxLoss",
        as_published("NormalizedSoftmaxLoss"),
        {"scale": 20.0},
        package="pytorch_metric_learning",
        note="its temperature is 0.05, one over the scale",
    ),
    PublicCode(
        "insightface arcface_mxnet nsoftmax",
        "deepinsight/insightface 7fadd420 recognition/arcface_mxnet/train.py:134-142",
        cosine_head(lambda cosine: cosine, scale=64),
        {"scale": 64.0},
        note="sample_config.py:135-140: no margin",
    ),
)
