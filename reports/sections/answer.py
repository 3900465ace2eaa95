"""1. The answer first: who wins each case, by how much, with its interval."""

from __future__ import annotations

from collections import Counter

from .. import units
from ..comparison import Answer, answer, compare, main_pass
from ..document import Block, Cell, Details, Figure, Section, Table, Text, Tone, table
from ..figures import ratios
from ..reading import BASE, PASSES, REFERENCE, Measured
from ..rows import Rows
from .context import Context, machine_name, mark, slug
from .place import Place

ROWS_PER_FIGURE = 30
PASS_NAMES = {"both_time_s": "both", "forward_time_s": "forward", "backward_time_s": "backward"}


def timed_cases(context: Context) -> Rows[Measured]:
    """Cases in which at least one contender other than the reference was timed."""
    cases = context.records.cases
    return cases.where(lambda one: answer(one).state != "nothing" or answer(one).excluded)


def section(context: Context) -> Section:
    cases = timed_cases(context)
    if not cases:
        text = "Nothing was timed in this run, so there is no winner."
        return Section("answer", "Which is fastest", [Text(text)])
    blocks: list[Block] = [Text(_how_to_read(cases)), _tally(cases)]
    for loss, of_loss in sorted(cases.by("loss").items()):
        blocks.append(Text(loss, kind="heading", anchor=f"answer-{slug(loss)}"))
        blocks.append(_winners(context, of_loss))
        blocks += _dots(context, loss, of_loss)
        blocks.append(_every_ratio(context, of_loss))
    return Section("answer", "Which is fastest", blocks)


def _how_to_read(cases: Rows[Measured]) -> str:
    answers = [answer(measured) for measured in cases]
    rivals = sum(one.state in ("winner", "unclear") for one in answers)
    short = sum(one.is_short_of_rounds for one in answers)
    most = max(1, round(rivals / 20))
    chance = (
        (f"; that is at most about {most} of the {rivals} cases here with a rival")
        if rivals
        else ""
    )
    return (
        "A contender wins a case if it is faster than every other one, with every 95% interval "
        "clear of 1; otherwise there is no clear winner. With five rounds the interval is their "
        "whole range, which contains the median 94% of the time. Fewer rounds give no interval, "
        "so a slow contender with few rounds leaves a case without a winner, however slow it is: "
        f"{short} here. Figures are ratios of times within the same round, forward and backward "
        "together unless stated otherwise (a mining rule and an update have no backward). "
        "Intervals are not corrected for the number of cases: if all contenders were equally "
        "fast, a case of two would still have a winner about once in 20, and a case of more less "
        f"often{chance}. The float64 reference, and a contender that disagrees with it in a case, "
        "cannot win that case."
    )


def _tally(cases: Rows[Measured]) -> Table:
    """Wins by loss."""
    answers = map(answer, cases)
    winners = sorted({one.leaders[0] for one in answers if one.state == "winner"})
    by_loss = sorted(cases.by("loss").items())
    counts = {loss: Counter(map(_outcome, found)) for loss, found in (*by_loss, ("all", cases))}
    rows = []
    for loss, found in counts.items():
        total = sum(found.values())
        cells = [Cell(str(found[name]), tone="" if found[name] else "quiet") for name in winners]
        rest = [str(found["unclear"]), str(found["alone"] + found["nothing"])]
        href = "" if loss == "all" else f"#answer-{slug(loss)}"
        rows.append((Cell(loss, href=href), str(total), *cells, *rest))
    columns = ["loss", "timed cases", *winners, "no clear winner", "no rival timed"]
    return table(columns, rows, "Cases won, by loss", numeric=columns[1:])


def _outcome(measured: Measured) -> str:
    one = answer(measured)
    return one.leaders[0] if one.state == "winner" else one.state


def _winners(context: Context, cases: Rows[Measured]) -> Table:
    """A row a case; columns that would say the same in every row are left out."""
    several = len(cases.each("dtype")) > 1
    rows = []
    for measured in cases:
        one, case = answer(measured), measured.case
        sizes = (f"{case.batch:,}", f"{case.dim:,}", f"{case.classes:,}")
        extra = [case.dtype] if several else []
        if context.several_machines:
            extra.append(machine_name(measured.machine))
        name = case.variant + case.own_sizes + ("" if case.data == "drawn" else f", {case.data}")
        variant = Cell(name, record=measured.case.id)
        passes = [_short(measured, one, metric) for metric in PASSES[1:]]
        rows.append((variant, *sizes, *extra, winner_cell(one), _by(one),
                     one.against, _eager(measured, one), *passes))  # fmt: skip
    more = ["dtype"] if several else []
    if context.several_machines:
        more.append("machine")
    columns = ("variant", "B", "D", "C", *more, "fastest", "margin", "than",
               "eager takes", "forward alone", "backward alone")  # fmt: skip
    caption = "" if several else f"dtype {cases[0].case.dtype}"
    return table(columns, rows, caption, numeric=("B", "D", "C", "eager takes"))


def winner_cell(one: Answer) -> Cell:
    if one.state == "winner":
        return Cell(one.title, tone="strong", mark=one.leaders[0])
    if one.state == "nothing":
        return Cell("✗ none agreed with the reference", tone="bad")
    return Cell(one.title, tone="quiet")


def _by(one: Answer) -> Cell:
    text = units.speed(one.margin)
    if one.state == "unclear":
        text = f"{' or '.join(one.leaders)}: {text}"
    if one.scarce:
        text += f"; too few rounds to rank {', '.join(one.scarce)}"
    if one.excluded and one.state != "nothing":
        text += f" (excluded, disagreed with the reference: {', '.join(one.excluded)})"
    return Cell(text, tone="" if one.state == "winner" else "quiet")


def _eager(measured: Measured, one: Answer) -> str:
    return units.time(measured.value(BASE, one.metric))


def _short(measured: Measured, main: Answer, metric: str) -> Cell:
    """Who wins the pass alone, and by how much."""
    if metric == main.metric:
        return Cell("same as on the left", tone="quiet")
    one = answer(measured, metric)
    if one.state == "nothing":
        return Cell(units.NOTHING, tone="quiet")
    if one.state != "winner":
        return Cell(one.title, tone="quiet")
    assert one.margin is not None
    margin = f"{units.digits3(one.margin.estimate)}× {units.bounds(one.margin)}"
    text = f"{one.leaders[0]} {margin}"
    return Cell(text, mark=one.leaders[0])


def _dots(context: Context, loss: str, cases: Rows[Measured]) -> list[Figure]:
    rows = []
    passes = tuple(cases.each(main_pass))
    for measured in cases:
        found = [c for c in compare(measured, main_pass(measured)) if c.contender != REFERENCE]
        if any(c.ratio for c in found):
            rows.append((context.label(measured, loss=False), found))
    figures = []
    for start in range(0, len(rows), ROWS_PER_FIGURE):
        part = rows[start : start + ROWS_PER_FIGURE]
        number = start // ROWS_PER_FIGURE + 1
        name = slug("ratio", loss) + (f"-{number}" if len(rows) > ROWS_PER_FIGURE else "")
        title = f"{loss}: speed relative to eager"
        if len(rows) > ROWS_PER_FIGURE:
            title += f", part {number}"
        figures.append(ratios(name, title, part, context.styles, passes))
    return figures


def _every_ratio(context: Context, cases: Rows[Measured]) -> Details:
    rows = []
    for measured in cases:
        for metric in PASSES:
            for one in compare(measured, metric):
                tone: Tone = "bad" if one.wrong else ""
                against = "the base" if one.contender == BASE else units.speed(one.ratio)
                if one.wrong:
                    against += " ✗ disagreed with the reference"
                rows.append(
                    (context.case_cell(measured), PASS_NAMES[metric], mark(one.contender),
                     Cell(units.time(one.time.estimate), record=one.case),
                     _between(one.time.low, one.time.high),
                     str(one.time.count), Cell(against, tone=tone))
                )  # fmt: skip
    columns = ("case", "pass", "contender", "median", "95% interval", "rounds", "against eager")
    made = table(columns, rows, numeric=("median", "rounds"))
    return Details(f"Every contender and pass ({len(rows)} rows)", [made])


def _between(low: float | None, high: float | None) -> str:
    return units.NOTHING if low is None else f"{units.time(low)} to {units.time(high)}"


PLACES = (Place(10, section, "loss", weight=4),)
