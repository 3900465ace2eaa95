"""A-Softmax (SphereFace) as a function of its class weights."""

from __future__ import annotations

import functools
from types import ModuleType

import torch
from torch import Tensor

from ..implementations import Files, from_logits
from ..shared import head_options
from . import eager, reference, tiled
from .eager import margin_function


def _fused() -> ModuleType:
    from . import fused

    return fused


TILED_FROM = from_logits(float32=30_000_000, bfloat16=60_000_000, float64=60_000_000)
FILES = Files(eager, reference, _fused, tiled, tiled_from=TILED_FROM)


def a_softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    m: int = 4,
    annealing: float = 0.0,
    reduction: str = "mean",
    weights: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    implementation: str = "auto",
) -> Tensor:
    """Softmax over unit class weights with an angular margin on the target's logit (SphereFace).

    >>> import torch
    >>> from marginbench.functional import a_softmax
    >>> embeddings = torch.tensor([[3.0, 0.0], [1.0, 2.0]])
    >>> class_weights = torch.tensor([[5.0, 0.0], [0.0, 0.1]])  # their lengths do not matter
    >>> a_softmax(embeddings, torch.tensor([0, 1]), class_weights, m=4)
    tensor(0.9271)

    Arguments:
        embeddings: (B x D), float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        class_weights: (C x D) of any length, the embeddings' dtype.
        m: the margin, 1 (none: modified softmax), 2, 3 or 4.
        annealing: lambda >= 0; the target's logit is (lambda ||x|| cos + ||x|| psi) / (1 + lambda).
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

    Source: Liu, Wen, Yu, Li, Raj, Song 2017 (SphereFace), equations 5 to 7; annealing: appendix G.
    """
    called = FILES.function("a_softmax", implementation, embeddings, class_weights)
    return head_options.loss(
        functools.partial(
            called, embeddings, class_weights=class_weights, m=m, annealing=annealing
        ),
        embeddings, labels, class_weights,
        reduction=reduction, weights=weights, ignore_index=ignore_index,
        label_smoothing=label_smoothing, unit_weights=True,
        target=functools.partial(_target, embeddings, class_weights, m, annealing),
    )  # fmt: skip


def _target(
    embeddings: Tensor, class_weights: Tensor, m: int, annealing: float, labels: Tensor
) -> Tensor:
    """The target's logit with its margin (B), differentiable, in float64."""
    margin = margin_function(m, annealing)
    x_BD = embeddings.double()
    own_BD = head_options.directions(class_weights.index_select(0, labels).double())
    length_B = torch.linalg.vector_norm(x_BD, dim=1)
    plain_B = (x_BD * own_BD).sum(dim=1)
    return plain_B if margin is None else margin(plain_B, length_B, None)[0]
