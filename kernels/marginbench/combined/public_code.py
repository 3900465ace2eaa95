"""What public code computes under the name of a combined margin.

Read anew: insightface's two at 7fadd420, Paddle's forward kernel at 00bddd53, OneFlow's forward and
backward kernels at 25c8978c, PLSC's caller at bd0c8246. Paddle's gradient is as for ArcFace.
"""

from __future__ import annotations

from torch import Tensor

from ..public_code import HeadLoss, PublicCode, cosine_head


def _combined(m1: float, m2: float, m3: float) -> HeadLoss:
    def turned(cosine: Tensor) -> Tensor:
        return (m1 * cosine.acos() + m2).cos() - m3

    return cosine_head(turned, scale=64)


_COMBINED = {"scale": 64.0, "m1": 1.0, "m2": 0.3, "m3": 0.2}
_PADDLE = (
    "PaddlePaddle/Paddle 00bddd53 paddle/phi/kernels/gpu/margin_cross_entropy_kernel.cu:45-60, "
    "06872305 margin_cross_entropy_grad_kernel.cu:35-46"
)
_ONEFLOW = (
    "Oneflow-Inc/oneflow 25c8978c oneflow/user/kernels/combined_margin_loss_kernel.cu:36-45, 61-66"
)

PUBLIC_CODE = (
    PublicCode(
        "insightface arcface_mxnet combined",
        "deepinsight/insightface 7fadd420 recognition/arcface_mxnet/train.py:134-170",
        _combined(1.0, 0.3, 0.2),
        _COMBINED,
        note="sample_config.py:156-161: margins (1, 0.3, 0.2)",
    ),
    PublicCode(
        "Paddle margin_cross_entropy, combined",
        _PADDLE,
        _combined(1.0, 0.3, 0.2),
        _COMBINED,
        note="with margins (1, 0.3, 0.2); those of PLSC's MarginLoss, which calls it "
        "(PaddlePaddle/PLSC bd0c8246 plsc/loss/marginloss.py:31-59), are (1, 0.5, 0) by default",
    ),
    PublicCode(
        "OneFlow CombinedMarginLoss, combined",
        _ONEFLOW,
        _combined(1.0, 0.3, 0.2),
        _COMBINED,
        note="with margins (1, 0.3, 0.2); by default (1, 0, 0), which is no margin "
        "(python/oneflow/nn/modules/loss.py:1036)",
    ),
    PublicCode(
        "OneFlow CombinedMarginLoss, all three",
        _ONEFLOW,
        _combined(1.2, 0.2, 0.1),
        {"scale": 64.0, "m1": 1.2, "m2": 0.2, "m3": 0.1},
        note="with margins (1.2, 0.2, 0.1), an example of ours",
    ),
    PublicCode(
        "insightface arcface_torch CombinedMarginLoss, combined",
        "deepinsight/insightface 7fadd420 recognition/arcface_torch/losses.py:42-56",
        cosine_head(lambda cosine: cosine - 0.2, scale=64),
        {"scale": 64.0, "margin": 0.2, "m1": 1.0, "m2": 0.3, "m3": 0.2},
        note="given (1, 0.3, 0.2) it takes no notice of 0.3, and is CosFace with a margin of 0.2; "
        "so is CVLface's copy (mk-minchul/CVLface d3d09c93 cvlface/research/recognition/code/"
        "run_v1/losses/margin_loss.py:42-56)",
    ),
)
