"""The combined margin as a function of its class weights."""

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


def combined_margin(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    m1: float = 1.0,
    m2: float = 0.3,
    m3: float = 0.2,
    reduction: str = "mean",
    weights: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    implementation: str = "auto",
) -> Tensor:
    """Softmax over scaled cosines, the target's being cos(m1 theta + m2) - m3.

    >>> import torch
    >>> from marginbench.functional import combined_margin
    >>> embeddings = torch.tensor([[3.0, 0.0], [1.0, 2.0]])  # lengths do not matter
    >>> class_weights = torch.tensor([[5.0, 0.0], [0.0, 0.1]])
    >>> combined_margin(embeddings, torch.tensor([0, 1]), class_weights, scale=4.0, m2=0.0)
    tensor(0.1781)

    Arguments:
        embeddings: (B x D) of any length, float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        class_weights: (C x D) of any length, the embeddings' dtype.
        scale: s > 0, a number or a tensor of one, which may be learnt.
        m1: > 0, times the target's angle.
        m2: in [0, pi], in radians, added to that. Where m1 theta + m2 passes pi, the logit rises
            with the angle: a warning says from which on.
        m3: >= 0, taken off the cosine of that.
        reduction: ``mean`` over the rows, ``sum``, or ``none`` for one loss per row.
        weights: (B), one per row, none negative: mean divides by their sum.
        ignore_index: rows of this label count for nothing.
        label_smoothing: in [0, 1]; the share of the target's probability that all classes get. The
            target's logit has its margins.
        implementation: ``auto``, ``triton``, ``tiled``, ``eager`` or ``reference``.

    Returns:
        A scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came; see
            `marginbench.functional.softmax` for what is not checked on a GPU.

    Source: Deng, Guo, Xue, Zafeiriou 2019 (ArcFace), equation 4; the defaults are insightface's
    (arcface_mxnet, ``combined``). Its arcface_torch has a `CombinedMarginLoss` that combines
    nothing: with m3 > 0 it takes no notice of m1 and m2.
    """
    return cosine_heads.loss(
        FILES.function("combined_margin", implementation, embeddings, class_weights),
        embeddings, labels, class_weights, scale=scale,
        margin_function=eager.margin_function, margin_options={"m1": m1, "m2": m2, "m3": m3},
        reduction=reduction, weights=weights, ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )  # fmt: skip
