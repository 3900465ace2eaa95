"""AdaFace as a function of its class weights and of the statistics of the lengths."""

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


def adaface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    mean: Tensor | float,
    std: Tensor | float,
    *,
    scale: Tensor | float = 64.0,
    margin: float = 0.4,
    h: float = 0.333,
    rule: str = "true",
    reduction: str = "mean",
    weights: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    implementation: str = "auto",
) -> Tensor:
    """Softmax over scaled cosines, with margins that adapt to the embedding's length (AdaFace).

    >>> import torch
    >>> from marginbench.functional import adaface
    >>> embeddings = torch.tensor([[30.0, 0.0], [10.0, 20.0]])  # lengths matter
    >>> class_weights = torch.tensor([[5.0, 0.0], [0.0, 0.1]])
    >>> labels = torch.tensor([0, 1])
    >>> adaface(embeddings, labels, class_weights, mean=25.0, std=4.0, scale=4.0)
    tensor(0.3440)

    With a the length in [0.001, 100] and k = h (a - mean) / (std + 0.001) in [-1, 1], the target's
    logit is s (cos(theta - m k) - (m + m k)): ArcFace's at k = -1, CosFace's at k = 0. k has no
    gradient.

    Arguments:
        embeddings: (B x D), float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        class_weights: (C x D) of any length, the embeddings' dtype.
        mean, std: >= 0, of the lengths over past steps: numbers, or tensors of one, without a
            gradient. `marginbench.AdaFaceLoss` keeps them.
        scale: s > 0, a number or a tensor of one, which may be learnt.
        margin: m in [0, pi], in radians on the angle.
        h: >= 0; k is 1 at 1 / h standard deviations above the mean.
        rule: ``true``: the angle stays 0.001 from 0 and pi, and has no gradient where it is
            clipped; ``detached``: no clip, and the slope of cos theta (CVLface).
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

    Source: Kim, Jain, Liu 2022 (AdaFace); the defaults are its repository's (README.md,
    scripts/run_ir50_ms1mv2.sh).
    """
    own = {"mean": mean, "std": std, "margin": margin, "h": h, "rule": rule}
    return cosine_heads.loss(
        FILES.function("adaface", implementation, embeddings, class_weights),
        embeddings, labels, class_weights, scale=scale, margin_function=eager.margin_function,
        margins=eager.margins, margin_options=own, reduction=reduction, weights=weights,
        ignore_index=ignore_index, label_smoothing=label_smoothing,
    )  # fmt: skip
