"""Squared distances of paired rows, where squares may overflow or underflow float32.

N rows of D columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import InputError
from .distances import static_shapes
from .reduction import wide

# Sums of squares between these are made of squares that float32 holds, or of so small ones that
# they don't matter.
_LEAST, _MOST = 2.0**-100, 2.0**100


def squared_lengths(*pairs: tuple[Tensor, Tensor], precise: bool) -> list[Tensor]:
    """||x - y||^2 (N) of each of the pairs, rows of x and y: in float32 or, for float64 rows and
    where ``precise``, in float64."""
    found = []
    for x_ND, y_ND in pairs:
        difference_ND = (x_ND.double() if precise else wide(x_ND)) - y_ND
        found.append(torch.linalg.vecdot(difference_ND, difference_ND))
    return found


def always_precise(like: Tensor) -> bool:
    """Whether squares are made in float64 at once: where they can't be examined first."""
    return like.dtype != torch.float64 and static_shapes(like)


def in_range(squared_N: Tensor, *, short: bool) -> bool:
    """Whether float32 holds the squares; with ``short``, also those that are next to nothing."""
    lowest, highest = squared_N.aminmax()
    return float(highest) <= _MOST and (not short or float(lowest) >= _LEAST)


def check_held(name: str, terms: Tensor, longest: Callable[[], Tensor]) -> None:
    """Terms that their dtype holds, checked on a CPU alone: elsewhere the loss is infinite.

    ``longest`` gives the largest distance that the argument ``name`` has part in, for the message.
    """
    if static_shapes(terms) or bool(torch.isfinite(terms).all()):
        return
    limit = math.sqrt(torch.finfo(terms.dtype).max)
    kind = str(terms.dtype).removeprefix("torch.")
    raise InputError(
        name,
        f"distances whose squares and their sums {kind} holds, so none near {limit:.2g}",
        f"a distance of {float(longest()):.2g}",
    )
