"""ElasticFace as a function of its class weights and margins."""

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


def elasticface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    margins: Tensor,
    *,
    scale: Tensor | float = 64.0,
    rule: str = "arc",
    reduction: str = "mean",
    weights: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    implementation: str = "auto",
) -> Tensor:
    """Softmax over scaled cosines, with a margin of each row (ElasticFace).

    >>> import torch
    >>> from marginbench.functional import elasticface
    >>> embeddings = torch.tensor([[3.0, 0.0], [1.0, 2.0]])
    >>> class_weights = torch.tensor([[5.0, 0.0], [0.0, 0.1]])
    >>> margins = 0.5 + 0.05 * torch.tensor([-1.0, 1.0])
    >>> elasticface(embeddings, torch.tensor([0, 1]), class_weights, margins, scale=4.0)
    tensor(0.2851)

    Arguments:
        embeddings: (B x D) of any length, float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        class_weights: (C x D) of any length, the embeddings' dtype.
        margins: (B), floating-point: a margin of each row, drawn by who calls. They have no
            gradient.
        scale: s > 0, a number or a tensor of one, which may be learnt.
        rule: ``arc``: cos(theta + m), m in radians; ``cos``: cos theta - m; ``sorted``: as ``arc``,
            with the margins shared out again: the larger the cosine, the smaller the margin, rows
            of ``ignore_index`` among them.
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

    Source: Boutros, Damer, Kirchbuchner, Kuijper 2022 (ElasticFace), equations 6 and 7.
    """
    return cosine_heads.loss(
        FILES.function("elasticface", implementation, embeddings, class_weights),
        embeddings, labels, class_weights, scale=scale, margin_function=eager.margin_function,
        margins=eager.margins, margin_options={"margins": margins, "rule": rule},
        reduction=reduction, weights=weights, ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )  # fmt: skip
