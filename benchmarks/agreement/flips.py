"""Shows which ties a contender decided the other way, if that explains its error.

Two correct implementations of a loss that selects differ by a jump where the distances that they
compare are nearly equal. That is an excuse only if it can be shown: the variant lists the decisions
that rounding could flip (`marginbench.selections`), and this looks for those with which the
reference returns what the contender returned. What remains of the error has no excuse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..instruments.rows import Outputs
from . import tolerance

if TYPE_CHECKING:
    from marginbench.selections import Selection

# Decisions that are tried: each costs an evaluation of the reference.
_MOST = 64
# Decisions that a row names.
_NAMED = 5


@dataclass(frozen=True)
class Flipped:
    """What the reference returns with some decisions flipped, and which ones, in words."""

    outputs: Outputs
    says: tuple[str, ...]


def first_few(says: list[str]) -> tuple[str, ...]:
    """The first few, and how many more there are."""
    more = len(says) - _NAMED
    return (*says[:_NAMED], f"and {more:,} more") if more > 0 else tuple(says)


def explaining(
    selection: Selection,
    got: Outputs,
    want: Outputs,
    selecting: Callable[[torch.Tensor], Outputs],
    dtype: str,
) -> Flipped | None:
    """The flipped decisions that bring the reference's outputs ``want`` nearest to these; None if
    there are none, or none bring it nearer by more than a rounding of ``dtype``. ``selecting``: the
    reference's outputs with another selection."""
    if len(selection.flips) == 0:
        return None
    chosen: list[int] = []
    best, nearest = _distance(got, want), None
    least = tolerance.epsilon(tolerance.accumulation(dtype)) ** 2
    for flip in _likely(selection, got, want):
        same = selection.flips[flip, :2]
        kept = [f for f in chosen if not torch.equal(selection.flips[f, :2], same)]
        outputs = selecting(selection.flipped([*kept, flip]))
        distance = _distance(got, outputs)
        if best - distance > least:
            chosen, best, nearest = [*kept, flip], distance, outputs
    if nearest is None:
        return None
    return Flipped(nearest, first_few([selection.says(flip) for flip in sorted(chosen)]))


def _likely(selection: Selection, got: Outputs, want: Outputs) -> list[int]:
    """The decisions to try, those of rows with the largest gradient errors first."""
    off_B: torch.Tensor | None = None
    for name, gradient in got.grads.items():
        exact = want.grads[name]
        if gradient is None or exact is None or gradient.shape != exact.shape:
            continue
        rows_B = torch.linalg.vector_norm(gradient.double() - exact, dim=1)
        off_B = rows_B if off_B is None else torch.maximum(off_B, rows_B)
    if off_B is None:
        return []
    offs = off_B.tolist()
    scores = [min(offs[row] for row in selection.touched(f)) for f in range(len(selection.flips))]
    order = sorted(range(len(scores)), key=lambda f: (-scores[f], float(selection.apart[f])))
    return order[:_MOST]


def _distance(got: Outputs, want: Outputs) -> float:
    """The sum of the squared relative errors."""
    theirs = want.named()
    errors = [tolerance.error_of(out, theirs[name])[0] for name, out in got.named().items()]
    return sum(float("inf") if error is None else error**2 for error in errors)


def of_indices(selection: Selection, got: tuple[torch.Tensor, ...]) -> tuple[list[str], list[str]]:
    """The indices of a mining rule that differ from the reference's: those that a tie which
    rounding could flip excuses, and the others. ``got`` holds indices of the reference's form."""
    turnable = {tuple(flip): f for f, flip in enumerate(selection.flips.tolist())}
    excused, wrong = [], []
    for change in _changes(selection, got):
        flip = turnable.get(change)
        if flip is None:
            wrong.append(_says(selection, change))
        else:
            excused.append(selection.says(flip))
    return excused, wrong


def _changes(selection: Selection, got: tuple[torch.Tensor, ...]) -> list[tuple[int, int, int]]:
    """Decision, column and value of all that differs from what the reference took."""
    if selection.columns[0] == "active":
        ours = set(zip(*(column.tolist() for column in got), strict=True))
        rows = enumerate(zip(selection.about.tolist(), selection.taken[:, 0].tolist(), strict=True))
        return [(t, 0, 1 - on) for t, (row, on) in rows if (tuple(row) in ours) != bool(on)]
    columns = got[len(got) - len(selection.columns) :]
    taken = torch.stack(columns, dim=1).to(selection.taken.device)
    decision, column = torch.nonzero(taken != selection.taken, as_tuple=True)
    values = taken[decision, column].tolist()
    return list(zip(decision.tolist(), column.tolist(), values, strict=True))


def _says(selection: Selection, change: tuple[int, int, int]) -> str:
    decision, column, value = change
    subject, name = selection.subject_of(decision), selection.columns[column]
    if name == "active":
        return f"{subject} {'is' if value else 'is not'} selected, and is at no border"
    was = int(selection.taken[decision, column])
    return f"{subject}: {name} {value} instead of {was}, and no rounding makes them change places"
