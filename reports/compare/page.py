"""A comparison as a page: times by what changed most, exact figures, errors, trained networks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.instruments.metrics import METRICS
from benchmarks.records import kinds
from suites.interval import Interval

from .. import document, output, units
from ..document import Block, Cell, Document, Fact, Section, Text, Tone
from ..style import Styles
from . import plots
from .exact import FAILS, OPEN, Difference, Quality
from .ratios import Verdict
from .runs import Key, Run

MOST_ROWS = 1500
_TONES: dict[str, Tone] = {
    "SLOWER": "bad", "WORSE": "bad", "WRONG": "bad", "VANISHED": "bad", "INVALID": "bad",
    "FASTER": "good", "BETTER": "good", "SAME": "quiet", "EQUIVALENT": "quiet",
}  # fmt: skip
_FOOTER = (
    "A ratio is the candidate's figure over the base's, so below 1 is faster or smaller. The same "
    "tables are in report.md; the rounds are in the records named under Provenance."
)


@dataclass(frozen=True)
class Part:
    """One candidate against the base. ``notices``: what a reader has to know first; ``barred``:
    why times were not compared, empty where they were; ``how``: what the intervals rest on;
    ``shift``: what all times moved by together, in words, and ``log_shift`` as a log ratio."""

    label: str
    timed: Sequence[tuple[Key, Verdict]] = ()
    differences: Sequence[Difference] = ()
    qualities: Sequence[Quality] = ()
    runs: Sequence[Run] = ()
    notices: Sequence[str] = ()
    barred: str = ""
    how: str = ""
    not_run: int = 0
    shift: str = ""
    log_shift: float | None = None


@dataclass(frozen=True)
class Comparison:
    title: str
    base: str
    base_runs: Sequence[Run]
    parts: Sequence[Part] = field(default_factory=tuple)
    command: str = ""


def changed_most(timed: Sequence[tuple[Key, Verdict]]) -> list[tuple[Key, Verdict]]:
    """First what changed significantly, by how far its interval lies from 1; then the rest by its
    ratio. What has no ratio comes last, except for what is missing or void, which comes first."""

    def place(one: tuple[Key, Verdict]) -> tuple[int, float, float]:
        verdict = one[1]
        if math.isnan(verdict.ratio):
            return (0 if verdict.state in ("VANISHED", "INVALID") else 2, 0.0, 0.0)
        clear = max(math.log(verdict.low), -math.log(verdict.high), 0.0)
        return (1, -clear, -abs(math.log(verdict.ratio)))

    return sorted(timed, key=place)


def counted(part: Part) -> str:
    """How many of each state, in a sentence."""
    pieces = []
    for name, states in (
        ("times", Counter(v.state for _, v in part.timed)),
        ("exact figures", Counter(d.state for d in _exact(part))),
        ("errors", Counter(d.state for d in _errors(part))),
        ("trained metrics", Counter(q.state for q in part.qualities)),
    ):
        if states:
            listed = ", ".join(f"{n} {state.lower()}" for state, n in sorted(states.items()))
            pieces.append(f"{name}: {listed}")
    if part.barred:
        pieces.insert(0, "times: not compared")
    return "; ".join(pieces) or "nothing in common"


def _exact(part: Part) -> list[Difference]:
    return [one for one in part.differences if METRICS[one.key.metric].kind != "error"]


def _errors(part: Part) -> list[Difference]:
    return [one for one in part.differences if METRICS[one.key.metric].kind == "error"]


def write(made: Comparison, out: Path) -> Path:
    """Writes the page, the same in Markdown, and its figures; the page's path."""
    contenders = [key.contender for part in made.parts for key, _ in part.timed]
    contenders += [one.key.contender for part in made.parts for one in part.differences]
    styles = Styles(contenders)
    return output.write(out, kinds.COMPARISON, draw(made, styles), styles, {})


def draw(made: Comparison, styles: Styles) -> Document:
    several = len(made.parts) > 1
    sections = [
        section
        for number, part in enumerate(made.parts, start=1)
        for section in _sections(part, number if several else 0, styles)
    ]
    sections.append(_provenance(made))
    lead = " ".join(f"{part.label} against {made.base}: {counted(part)}." for part in made.parts)
    notices = [Text(notice, "warning") for part in made.parts for notice in part.notices]
    facts = [Fact("Base", made.base, units.plural(len(made.base_runs), "process"))] + [
        Fact("Candidate", part.label, units.plural(len(part.runs), "process"))
        for part in made.parts
    ]
    return Document(
        title="MarginBench: comparison", subtitle=made.title, lead=lead, facts=facts,
        notices=notices, sections=sections, footer=_FOOTER,
    )  # fmt: skip


def _sections(part: Part, number: int, styles: Styles) -> list[Section]:
    tail = f"-{number}" if number else ""
    of = f": {part.label}" if number else ""
    found = [Section("answer" if number < 2 else f"times{tail}", f"Times{of}",
                     _times(part, tail, styles))]  # fmt: skip
    if _exact(part):
        found.append(Section(f"exact{tail}", f"Exact figures{of}", _differences(_exact(part), (
            "Bytes, counts and compiled code repeat exactly, so any difference comes from the "
            "code, the versions or the machine."))))  # fmt: skip
    if _errors(part):
        found.append(Section(f"errors{tail}", f"Errors{of}", _differences(_errors(part), (
            "Against the float64 reference. An error fails if it was within its bound (at most "
            "twice eager's error) and no longer is; a change within the bound is neither better "
            "nor worse."))))  # fmt: skip
    if part.qualities:
        found.append(Section(f"quality{tail}", f"Training quality{of}", _qualities(part)))
    return found


def _times(part: Part, tail: str, styles: Styles) -> list[Block]:
    if part.barred:
        return [Text(f"Times are not compared: {part.barred}", "warning")]
    rows = changed_most(part.timed)
    if not rows:
        return [Text("There are no times to compare.")]
    body = [
        (Cell(key.case, code=True), Cell(key.contender, mark=key.contender),
         key.metric.removesuffix("_time_s").replace("_", " "),
         Cell(verdict.state.lower(), tone=_TONES.get(verdict.state, "")),
         ratio_text(verdict.ratio), _between(verdict), verdict.reason)
        for key, verdict in rows[:MOST_ROWS]
    ]  # fmt: skip
    columns = ("case", "contender", "pass", "verdict", "ratio", "interval", "why")
    data = document.table(columns, body, "Times, largest change first", numeric=("ratio",))
    blocks: list[Block] = [Text(part.how)]
    if part.shift:
        blocks.insert(0, Text(part.shift))
    if any(not math.isnan(verdict.ratio) for _, verdict in rows):
        short = document.table(columns[:6], [row[:6] for row in body[: plots.MOST]],
                               numeric=("ratio",))  # fmt: skip
        blocks.append(plots.forest(f"times{tail}", "Ratios of times", rows, styles, short,
                                     part.log_shift))  # fmt: skip
    blocks.append(data)
    if len(rows) > MOST_ROWS:
        blocks.append(Text(f"The {len(rows) - MOST_ROWS:,} smallest changes are left out.", "note"))
    blocks.append(
        Text("The time of a first call is measured once a process and not compared.", "note")
    )
    if part.not_run:
        left = units.plural(part.not_run, "figure")
        text = f"{left}: not run on either side, or too few rounds to compare."
        blocks.append(Text(text, "note"))
    return blocks


def ratio_text(value: float | None) -> str:
    return units.NOTHING if value is None or math.isnan(value) else f"{value:.3f}"


def _between(verdict: Verdict) -> str:
    if math.isnan(verdict.low):
        return units.NOTHING
    return f"{verdict.low:.3f} to {verdict.high:.3f}"


def _differences(found: Sequence[Difference], about: str) -> list[Block]:
    same = sum(one.state == "SAME" for one in found)
    blocks: list[Block] = [Text(f"{about} {same:,} of {len(found):,} are the same.")]
    rows = sorted((one for one in found if one.state != "SAME"), key=by_size)
    body = [
        (Cell(one.key.case, code=True), Cell(one.key.contender, mark=one.key.contender),
         one.key.metric, " ".join(value for _, value in one.key.of),
         Cell(one.state.lower(), tone=_TONES.get(one.state, "")), _value(one, one.base),
         _value(one, one.candidate), ratio_text(one.ratio), one.reason)
        for one in rows[:MOST_ROWS]
    ]  # fmt: skip
    columns = ("case", "contender", "metric", "of", "verdict", "base", "candidate", "ratio", "why")
    if body:
        numeric = ("base", "candidate", "ratio")
        blocks.append(document.table(columns, body, "Differences, largest first", numeric=numeric))
    if len(rows) > MOST_ROWS:
        blocks.append(
            Text(f"The {len(rows) - MOST_ROWS:,} smallest differences are left out.", "note")
        )
    return blocks


def by_size(one: Difference) -> tuple[int, float]:
    rank = 0 if one.state in FAILS else 1 if one.state in OPEN else 2
    return rank, -abs(math.log(one.ratio)) if one.ratio else 0.0


def _value(one: Difference, value: float | None) -> str:
    unit = METRICS[one.key.metric].unit
    if unit == "bytes" and value is not None:
        return f"{value:,.0f} B"  # exactly: what is compared exactly is shown exactly
    return units.value(value, unit)


def _qualities(part: Part) -> list[Block]:
    place = {"VANISHED": 0, "SAME": 2}
    rows = sorted(part.qualities, key=lambda one: (place.get(one.state, 1),
                                                   1.0 if one.p is None else one.p))  # fmt: skip
    body = [
        (one.arm, one.metric, Cell(one.state.lower(), tone=_TONES.get(one.state, "")),
         units.digits3(one.base), *_difference(one.difference), units.digits3(one.p),
         str(one.difference.count if one.difference else 0), one.reason)
        for one in rows[:MOST_ROWS]
    ]  # fmt: skip
    columns = ("arm", "metric", "verdict", "base", "difference", "95% interval",
               "p, after Holm", "seeds", "why")  # fmt: skip
    about = (
        "Differences are paired by seed: equal seeds start from equal networks and see equal "
        "batches. Better and worse mean significant by Student's paired test after Holm's "
        "correction."
    )
    numeric = ("base", "difference", "p, after Holm", "seeds")
    return [Text(about), document.table(columns, body, numeric=numeric)]


def _difference(found: Interval | None) -> tuple[str, str]:
    """The mean and its interval."""
    if found is None:
        return units.NOTHING, units.NOTHING
    middle = units.digits3(found.estimate)
    if found.low is None:
        return middle, units.NOTHING
    return middle, f"{units.digits3(found.low)} to {units.digits3(found.high)}"


def _provenance(made: Comparison) -> Section:
    rows = []
    sides = [("base", made.base_runs)] + [(part.label, part.runs) for part in made.parts]
    for name, runs in sides:
        for run in runs:
            versions = run.facts.get("versions")
            torch = versions.get("torch") if isinstance(versions, dict) else run.facts.get("torch")
            gpu = run.facts.get("gpu")
            machine = f"{run.facts.get('cpu', 'unknown CPU')}"
            machine += f", {gpu}" if gpu and gpu != "none" else ""
            rows.append((name, Cell(str(run.path), code=True), machine, str(torch or "unknown"),
                         Cell(", ".join(c[:12] for c in run.commits), code=True),
                         "uncommitted" if run.dirty else "clean",
                         "by digests" if run.protected else "not protected",
                         run.measured_at))  # fmt: skip
    columns = ("side", "records", "machine", "torch", "commit", "tree", "protected",
               "last session began")  # fmt: skip
    blocks: list[Block] = [document.table(columns, rows)]
    if made.command:
        blocks += [Text("Rebuild this page with:"), Text(made.command, "code")]
    return Section("provenance", "Provenance", blocks)
