"""Triplet loss as functions: of a labelled batch, and of explicit triplets."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor

from ..checks import as_int64, check_choice
from ..implementations import Files
from ..shared import head_options
from . import eager, reference


def _fused() -> ModuleType:
    from . import fused

    return fused


FILES = Files(eager, reference, _fused)


#: How the triplets of a batch are chosen: the rule's name, its function and its own options.
MINING: dict[str, tuple[str, dict[str, str]]] = {
    "batch-all": ("batch_all", {"divisor": "valid"}),
    "batch-all-active": ("batch_all", {"divisor": "active"}),
    "batch-hard": ("batch_hard", {}),
    "semi-hard": ("semi_hard", {}),
    "semi-hard-all": ("semi_hard_all", {}),
}


def check_mining(mining: str) -> str:
    check_choice("mining", mining, MINING)
    return mining


@head_options.refusing
def triplet(
    embeddings: Tensor,
    labels: Tensor,
    *,
    mining: str = "semi-hard",
    margin: float = 0.2,
    reduction: str = "mean",
    implementation: str = "auto",
) -> Tensor:
    """Triplet loss over triplets that are mined in a labelled batch, of squared distances.

    >>> import torch
    >>> from marginbench.functional import triplet
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
    >>> triplet(embeddings, torch.tensor([0, 0, 1, 1]), mining="batch-hard")
    tensor(0.3500)

    Arguments:
        embeddings: (B x D), float32, bfloat16, float16 or float64; the paper's are of unit length
            (``torch.nn.functional.normalize``), which is left to you.
        labels: (B), int64 or int32, none negative.
        mining: which triplets count. ``batch-all``: every one; ``batch-all-active``: the same, and
            mean divides by those with a positive hinge; ``batch-hard``: for each anchor the
            farthest positive and the nearest negative; ``semi-hard``: for each anchor and positive
            the nearest negative beyond the positive, else the farthest negative;
            ``semi-hard-all``: every negative beyond the positive but within the margin.
        margin: of squared distances, >= 0.
        reduction: ``mean`` over what the rule counts, ``sum``, or ``none`` for one per anchor.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        A scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference. A batch without a positive or without a negative has the loss 0, and an anchor
        without them counts for nothing.

    Raises:
        InputError: names the argument, what was expected and what came.

    Source: Schroff, Kalenichenko, Philbin 2015 (FaceNet), section 3; batch-hard: Hermans, Beyer,
    Leibe 2017, section 2.
    """
    name, options = MINING[check_mining(mining)]
    called = FILES.function(name, implementation, embeddings)
    return called(embeddings, as_int64(labels), margin=margin, reduction=reduction, **options)


@head_options.refusing
def explicit_triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 0.2,
    reduction: str = "mean",
    implementation: str = "auto",
) -> Tensor:
    """Triplet loss of explicit triplets, a row of each matrix, of squared distances.

    >>> import torch
    >>> from marginbench.functional import explicit_triplet
    >>> anchor, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]])
    >>> explicit_triplet(anchor, positive, torch.tensor([[0.6, 0.8]]), margin=0.5)
    tensor(0.1000)

    Arguments:
        anchor, positive, negative: (N x D) each, one float dtype.
        margin: of squared distances, >= 0.
        reduction: ``mean`` over the N triplets, ``sum``, or ``none``.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        A scalar, or (N) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came.

    Source: Schroff, Kalenichenko, Philbin 2015 (FaceNet), section 3.1.
    """
    called = FILES.function("explicit", implementation, anchor)
    return called(anchor, positive, negative, margin=margin, reduction=reduction)
