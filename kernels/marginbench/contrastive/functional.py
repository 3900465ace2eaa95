"""Contrastive loss as functions: of a labelled batch, and of explicit pairs."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor

from ..checks import as_int64
from ..implementations import Files
from ..shared import head_options
from . import eager, reference


def _fused() -> ModuleType:
    from . import fused

    return fused


FILES = Files(eager, reference, _fused)


@head_options.refusing
def contrastive(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
    implementation: str = "auto",
) -> Tensor:
    """Contrastive loss over all unordered pairs of a labelled batch.

    >>> import torch
    >>> from marginbench.functional import contrastive
    >>> embeddings = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.5]])
    >>> contrastive(embeddings, torch.tensor([0, 0, 1]))  # one pair of one identity, two of two
    tensor(0.2083)

    Arguments:
        embeddings: (B x D) of any length, float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, none negative.
        margin: Euclidean distance (not squared) that two identities are pushed apart to; >= 0.
        reduction: ``mean`` over the B(B-1)/2 pairs, ``sum``, or ``none`` for half the sum over a
            row's pairs, one number per row.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        A scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference. A batch of one has the loss 0.

    Raises:
        InputError: names the argument, what was expected and what came.

    Source: Hadsell, Chopra, LeCun 2006, equation 4, over the pairs of a batch.
    """
    called = FILES.function("all_pairs", implementation, embeddings)
    return called(embeddings, as_int64(labels), margin=margin, reduction=reduction)


@head_options.refusing
def pair_contrastive(
    embeddings_a: Tensor,
    embeddings_b: Tensor,
    different: Tensor,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
    implementation: str = "auto",
) -> Tensor:
    """Contrastive loss of explicit pairs: row i of one matrix with row i of the other.

    >>> import torch
    >>> from marginbench.functional import pair_contrastive
    >>> a, b = torch.zeros(2, 2), torch.tensor([[0.6, 0.8], [0.3, 0.4]])
    >>> pair_contrastive(a, b, torch.tensor([False, True]), reduction="none")
    tensor([0.5000, 0.1250])

    Arguments:
        embeddings_a, embeddings_b: (N x D) each, one float dtype.
        different: (N), bool: whether the two are of different identities (the paper's Y).
        margin: Euclidean distance (not squared) that two identities are pushed apart to; >= 0.
        reduction: ``mean`` over the N pairs, ``sum``, or ``none``.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        A scalar, or (N) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came.

    Source: Hadsell, Chopra, LeCun 2006, equation 4.
    """
    called = FILES.function("pairs", implementation, embeddings_a)
    return called(embeddings_a, embeddings_b, different, margin=margin, reduction=reduction)
