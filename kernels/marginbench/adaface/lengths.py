"""The embeddings' lengths as AdaFace takes them, and their running mean and standard deviation."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError, check_finite, check_matrix, check_number
from ..shared import cosine_heads

#: A length is no shorter and no longer.
SHORTEST, LONGEST = 1e-3, 100.0


def clipped(embeddings: Tensor) -> Tensor:
    """Of each row (B, float64)."""
    return torch.linalg.vector_norm(embeddings.double(), dim=1).clamp(SHORTEST, LONGEST)


def ranks() -> int:
    """How many processes of torch.distributed share a batch."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


@torch.no_grad()
def statistics(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased standard deviation of the clipped lengths (float64), over the rows of all
    ranks. With more than one rank, each has to call it, with a row at least."""
    length_B = clipped(embeddings)
    # Filled on the device: torch.tensor would copy the count there.
    count = length_B.new_full((), length_B.shape[0])
    sums = torch.stack((count, length_B.sum(), length_B.square().sum()))
    if ranks() > 1:
        torch.distributed.all_reduce(sums)
    count, total, squares = sums.unbind()
    mean = total / count
    return mean, ((squares - total * mean) / (count - 1)).clamp(min=0).sqrt()


def after(state: Tensor, now: Tensor, t_alpha: float) -> Tensor:
    """A running statistic after a step whose own is ``now`` (float64)."""
    return (1 - t_alpha) * state.double() + t_alpha * now


def check_share(t_alpha: float) -> float:
    """Python's own of a share in [0, 1]."""
    return check_number("t_alpha", t_alpha, 0, high=1)


def check_rows(embeddings: Tensor) -> None:
    """A matrix of two rows or more; one will do where other ranks have some."""
    check_matrix("embeddings", embeddings)
    if len(embeddings) == 1 and ranks() == 1:
        expected = "two rows or more, whose lengths have a standard deviation (eval() needs none)"
        raise InputError("embeddings", expected, f"shape {tuple(embeddings.shape)}")


def update(
    embeddings: Tensor, state: Tensor, name: str, t_alpha: float
) -> tuple[Tensor, Tensor, float]:
    """What an update of the state of this name takes, checked."""
    check_rows(embeddings)
    check_finite(embeddings=embeddings)
    cosine_heads.check_single(name, state, embeddings)
    return embeddings, state, check_share(t_alpha)
