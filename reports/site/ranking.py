"""Contenders in the order of their speed, and by which rule."""

from __future__ import annotations

from .. import units
from ..document import Block, Cell, Text, table
from ..reading import BASE
from ..sections.context import mark
from .frame import loss_page
from .summaries import Rank

CRITERION = (
    "Ranked by the geometric mean of the speed relative to eager PyTorch over all timed cases of "
    "the loss in which the contender agrees with the reference, forward and backward together (a "
    "mining rule and an update have no backward); paired round by round, inside one session on "
    "one machine. The first by the mean is not the fastest in every case. A case is won if every "
    "95% interval is clear of 1; a case without a rival can't be won and isn't counted. Memory is "
    "not part of the ranking. Contenders timed in fewer cases are ranked over those; contenders "
    "timed in less than half of a loss's cases are not ranked and come last."
)


def ranking(ranks: tuple[Rank, ...]) -> list[Block]:
    """A row a contender; ``ranks`` come by loss and device, the first of each first."""
    if not ranks:
        return [Text("Nothing was timed beside eager, so there is no ranking.")]
    rows = []
    place = 0
    before = ("", "")
    for rank in ranks:
        place = place + 1 if (rank.loss, rank.device) == before else 1
        before = (rank.loss, rank.device)
        said = str(place) if rank.ranked else units.NOTHING
        wrong = Cell(str(rank.wrong), tone="bad" if rank.wrong else "quiet")
        rows.append(
            (Cell(rank.loss, href=loss_page(rank.loss)), rank.device, said,
             mark(rank.contender), Cell(f"{rank.speed:.3g}×", tone="strong" if place == 1 else ""),
             span(rank) or units.NOTHING, str(rank.cases), str(rank.rivals), str(rank.won), wrong)
        )  # fmt: skip
    columns = ("loss", "device", "place", "contender", "speed relative to eager", "from, to",
               "cases", "with a rival", "won", "wrong")  # fmt: skip
    return [table(columns, rows, numeric=("place", "cases", "with a rival", "won", "wrong"))]


def span(rank: Rank) -> str:
    """From its slowest case to its fastest; empty where that says no more than the mean."""
    if rank.contender == BASE or rank.cases < 2:
        return ""
    return f"{rank.lowest:.3g}× to {rank.highest:.3g}×"
