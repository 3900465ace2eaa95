"""SphereFace-R as a function of its class weights."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor

from ..implementations import Files, from_logits
from ..shared import cosine_heads
from . import eager, reference, tiled


def _fused() -> ModuleType:
    from . import fused

    return fused


TILED_FROM = from_logits(float32=30_000_000, bfloat16=60_000_000, float64=60_000_000)
FILES = Files(eager, reference, _fused, tiled, tiled_from=TILED_FROM)


def sphereface_r(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 30.0,
    m: float = 1.5,
    rule: str = "true",
    reduction: str = "mean",
    weights: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    implementation: str = "auto",
) -> Tensor:
    """Softmax over scaled cosines, the target's being cos(min(m theta, pi)) (SphereFace-R).

    >>> import torch
    >>> from marginbench.functional import sphereface_r
    >>> embeddings = torch.tensor([[3.0, 0.0], [1.0, 2.0]])  # lengths do not matter
    >>> class_weights = torch.tensor([[5.0, 0.0], [0.0, 0.1]])
    >>> sphereface_r(embeddings, torch.tensor([0, 1]), class_weights, scale=4.0, m=1.5)
    tensor(0.1315)

    Arguments:
        embeddings: (B x D) of any length, float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        class_weights: (C x D) of any length, the embeddings' dtype.
        scale: s > 0, a number or a tensor of one, which may be learnt.
        m: from 1 on, times the target's angle; from theta = pi / m on the logit is -s.
        rule: ``true``: with the derivative of that; ``detached``: with the slope of cos theta, as
            the authors train.
        reduction: ``mean`` over the rows, ``sum``, or ``none`` for one loss per row.
        weights: (B), one per row, none negative: mean divides by their sum.
        ignore_index: rows of this label count for nothing.
        label_smoothing: in [0, 1]; the share of the target's probability that all classes get. The
            target's logit has its margin.
        implementation: ``auto``, ``triton``, ``tiled``, ``eager`` or ``reference``.

    Returns:
        A scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came; see
            `marginbench.functional.softmax` for what is not checked on a GPU.

    Source: Liu, Wen, Raj, Singh, Weller 2022 (SphereFace Revived); s = 30, m = 1.5 and the
    equation: opensphere, branch OpenSphere_v0, spherefacer.py, v1. Its loss is 50 / s times this
    one, and always detached.
    """
    return cosine_heads.loss(
        FILES.function("sphereface_r", implementation, embeddings, class_weights),
        embeddings, labels, class_weights, scale=scale,
        margin_function=eager.margin_function, margin_options={"m": m, "rule": rule},
        reduction=reduction, weights=weights, ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )  # fmt: skip
