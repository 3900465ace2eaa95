"""The discrete choices of a definition (mined samples, active hinges) that rounding could flip.

A loss that mines or cuts off at a hinge jumps where two distances, or a hinge and zero, nearly tie:
there two correct implementations may give different results. A variant that selects declares a
function that lists its choices, so that such a difference can be explained: which choice was
flipped, and how near the tie was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ACTIVE = "active"


@dataclass(frozen=True)
class Selection:
    """The decisions of a variant on one batch, in float64.

    about (R x A, int64): the rows of the batch that each decision is about, by ``subjects``.
    taken (R x K, int64): what was taken, by ``columns``: a row of the batch, or -1 where there is
    none; in the column ``"active"`` 1 where the decision counts, 0 where it does not, and -1 where
    the hinge of what was taken says it.
    flips (F x 3, int64): decision, column and the other value that rounding could have put there.
    apart (F): how far apart what was compared is, relative to the larger; never 0, as the rule says
    what is taken of equals.
    """

    subjects: tuple[str, ...]
    columns: tuple[str, ...]
    about: Tensor
    taken: Tensor
    flips: Tensor
    apart: Tensor

    def flipped(self, chosen: Sequence[int]) -> Tensor:
        """``taken`` with these flips made."""
        taken = self.taken.clone()
        decision, column, value = self.flips[list(chosen)].unbind(dim=1)
        taken[decision, column] = value
        return taken

    def touched(self, flip: int) -> list[int]:
        """The rows of the batch whose gradient a flip changes."""
        decision, column, value = self.flips[flip].tolist()
        rows = set(self.about[decision].tolist())
        if self.columns[column] != ACTIVE:
            rows |= {int(self.taken[decision, column]), value}
        return sorted(rows - {-1})

    def subject_of(self, decision: int) -> str:
        """What a decision is about, in words."""
        pairs = zip(self.subjects, self.about[decision].tolist(), strict=True)
        return ", ".join(f"{name} {row}" for name, row in pairs)

    def says(self, flip: int) -> str:
        """In words: which decision, what instead of what, and how near it was."""
        decision, column, value = self.flips[flip].tolist()
        subject = self.subject_of(decision)
        name, near = self.columns[column], f"{float(self.apart[flip]):.1e}"
        if name == ACTIVE:
            now, instead = ("counts", "left out") if value else ("is left out", "counted")
            return f"{subject}: {now} instead of being {instead}, {near} from the border"
        was = int(self.taken[decision, column])
        return f"{subject}: {name} {value} instead of {was}, distances {near} apart"


def selection(
    about: Tensor,
    taken: Tensor,
    subjects: tuple[str, ...],
    columns: tuple[str, ...],
    *found: tuple[int, Tensor, Tensor, Tensor],
) -> Selection:
    """From flips column by column: which column, then decisions, values and gaps (each F)."""
    none = taken.new_empty(0, 3)
    flips = [
        torch.stack((decision, torch.full_like(decision, column), value), dim=1)
        for column, decision, value, _ in found
    ]
    gaps = [gap for *_, gap in found]
    return Selection(
        subjects, columns, about, taken, torch.cat([none, *flips]),
        torch.cat([torch.empty(0, dtype=torch.float64, device=taken.device), *gaps]),
    )  # fmt: skip
