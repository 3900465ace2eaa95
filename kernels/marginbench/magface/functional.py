"""MagFace as a function of its class weights."""

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


def magface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    l_a: float = 10.0,
    u_a: float = 110.0,
    l_m: float = 0.45,
    u_m: float = 0.8,
    lambda_g: float = 35.0,
    rule: str = "true",
    reduction: str = "mean",
    weights: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    implementation: str = "auto",
) -> Tensor:
    """Softmax over scaled cosines, a margin on the target's angle by the length (MagFace).

    >>> import torch
    >>> from marginbench.functional import magface
    >>> embeddings = torch.tensor([[30.0, 0.0], [10.0, 20.0]])  # lengths matter
    >>> class_weights = torch.tensor([[5.0, 0.0], [0.0, 0.1]])
    >>> magface(embeddings, torch.tensor([0, 1]), class_weights, scale=4.0)
    tensor(1.6911)

    Arguments:
        embeddings: (B x D), float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        class_weights: (C x D) of any length, the embeddings' dtype.
        scale: s > 0, a number or a tensor of one, which may be learnt.
        l_a, u_a: 0 < l_a < u_a, the lengths that an embedding's is clamped to.
        l_m, u_m: 0 <= l_m <= u_m <= pi, in radians: the margins at those two lengths; between them
            it grows evenly.
        lambda_g: >= 0, the weight of the regulariser a / u_a^2 + 1 / a of each row's clamped
            length a. The paper asks for s k u_a^2 l_a^2 / (u_a^2 - l_a^2) or more, with k =
            (u_m - l_m) / (u_a - l_a).
        rule: ``true``: cos(theta + m) at all angles, as the paper's equation; ``easy``: only below
            a right angle.
        reduction: ``mean`` over the rows, ``sum``, or ``none`` for one loss per row.
        weights: (B), one per row, none negative, of its regulariser too: mean divides by their sum.
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

    Source: Meng, Zhao, Huang, Zhou 2021 (MagFace); the defaults are its repository's (run/run.sh),
    which trains with ``easy``.
    """
    own = {
        "l_a": l_a, "u_a": u_a, "l_m": l_m, "u_m": u_m, "lambda_g": lambda_g, "rule": rule,
    }  # fmt: skip
    return cosine_heads.loss(
        FILES.function("magface", implementation, embeddings, class_weights),
        embeddings, labels, class_weights, scale=scale, margin_function=eager.margin_function,
        margins=eager.margins, margin_options=own, reduction=reduction, weights=weights,
        ignore_index=ignore_index, label_smoothing=label_smoothing,
    )  # fmt: skip
