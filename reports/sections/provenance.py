"""9. Provenance: what was measured, on what, how; and the command for each row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from benchmarks.instruments.metrics import METRICS
from benchmarks.records.loading import Result

from .. import units
from ..document import Block, Cell, Details, Section, Table, Text, table
from ..grouping import grouped
from ..reading import PASSES, is_interleaved
from . import machine_words
from .context import Context, machine_name, mark
from .flat import shown
from .place import Place

TITLE = "Provenance"
FEW = 30
_CONTENDER = " --contender "
# Metrics that have a place of their own on the page.
SHOWN = {
    *PASSES, "first_call_s", "peak_bytes", "peak_reserved_bytes", "relative_error",
    "error_over_eager", "index_mismatches", "index_regret",
}  # fmt: skip


def section(context: Context) -> Section:
    more = {"preset": lambda session: session.preset, "seed": lambda session: str(session.seed)}
    blocks: list[Block] = [machine_words.began(context.records.sessions, more)]
    blocks.append(machine_words.protection(context.records.protected))
    blocks += [_machine(index, identity) for index, identity in enumerate(context.records.machines)]
    blocks += _information(context)
    blocks.append(_protocols(context))
    blocks += _first_calls(context)
    blocks += _others(context)
    blocks.append(_commands(context))
    return Section("provenance", TITLE, blocks)


def _machine(index: int, identity: Mapping[str, object]) -> Table:
    caption = f"{machine_name(index).capitalize()}: facts that timed comparisons depend on"
    return machine_words.identity(identity, caption)


def _information(context: Context) -> list[Block]:
    found = machine_words.circumstances(context.records.sessions)
    versions = {json.dumps(r.provenance.versions, sort_keys=True)
                for _, r in context.records.results()}  # fmt: skip
    for text in sorted(versions):
        rows = [(name, version) for name, version in json.loads(text).items()]
        found.append(Details("Versions the results were made with",
                             [table(("package", "version"), rows)]))  # fmt: skip
    return list(found)


def _protocols(context: Context) -> Table:
    """How each metric was taken; a setting that differs from result to result as a range."""
    groups = grouped(
        (result for _, result in context.records.results() if result.status != "not_run"),
        lambda one: (one.metric, one.of.get("mode", ""), shown(one.protocol.get("instrument", ""))),
    )
    rows = [
        (f"{metric} {mode}".strip(), METRICS[metric].summary if metric in METRICS else "",
         _protocol(found), f"{len(found):,}")
        for (metric, mode, _), found in groups.items()
    ]  # fmt: skip
    columns = ("metric", "what it is", "protocol", "results")
    return table(columns, rows, "Protocol of each metric", numeric=("results",))


def _protocol(found: list[Result]) -> str:
    settings: dict[str, list[object]] = {}
    for result in found:
        for name, value in result.protocol.items():
            if name == "tiles":  # which ones is in the records
                value = " and ".join(sorted({str(tile["source"]) for tile in value}))
            settings.setdefault(name, []).append(value)
    rounds = [len(result.rounds) for result in found if result.rounds]
    if rounds:
        settings["rounds"] = list(rounds)
    parts = [f"{name.replace('_', ' ')}: {_merged(values)}" for name, values in settings.items()]
    if not is_interleaved(found[0]):
        parts.append("not interleaved: in the records, and never compared")
    return "; ".join(parts) or "not recorded"


def _merged(values: list[object]) -> str:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    distinct = list(dict.fromkeys(shown(value) for value in values))
    if len(numbers) == len(values) and len(distinct) > 1:
        return f"{units.digits3(min(numbers))} to {units.digits3(max(numbers))}"
    if len(distinct) > 3:
        return f"{distinct[0]}, and {len(distinct) - 1} others"
    return " or ".join(distinct)


def _first_calls(context: Context) -> list[Block]:
    rows = []
    for measured in context.records.cases:
        for result in measured.of_metric("first_call_s"):
            if result.status == "ok":
                steady = measured.figure(result.contender, "both_time_s")
                rows.append(
                    (context.case_cell(measured, loss=True), mark(result.contender),
                     units.time(result.value), units.time(steady.value if steady else None))
                )  # fmt: skip
    if not rows:
        return []
    columns = ("case", "contender", "first call", "later, forward and backward")
    made = table(columns, rows, numeric=columns[2:])
    text = (
        "The first call is not part of any time above. For a compiled contender it includes the "
        "compilation, tens of seconds on a CPU; for a fused one the compilation of its kernels "
        "and, if requested, the timing of tiles."
    )
    blocks: list[Block] = [Text("First calls", kind="heading"), Text(text)]
    if len(rows) <= FEW:
        return [*blocks, made]
    return [*blocks, Details(f"First call of each contender ({len(rows)} rows)", [made])]


def _others(context: Context) -> list[Block]:
    """Metrics that this report has no section for are still shown."""
    rows = [
        (context.case_cell(measured, loss=True), mark(result.contender),
         " ".join((result.metric, *result.of.values())),
         units.figure(result.metric, result.value))
        for measured, result in context.records.results()
        if result.metric not in SHOWN and result.status != "not_run"
    ]  # fmt: skip
    if not rows:
        return []
    columns = ("case", "contender", "metric", "figure")
    return [Details(f"Other metrics ({len(rows)} rows)", [table(columns, rows)])]


def _commands(context: Context) -> Details:
    rows, anchors = [], []
    for measured in context.records.cases:
        # The rest of the page links to a case's first row.
        anchor = context.anchors[measured.case.id]
        for command, names in commands(measured.results):
            anchors.append(anchor)
            rows.append((", ".join(names), Cell(command, code=True)))
            anchor = ""
    columns = ("contenders", "command to measure them again")
    made = table(columns, rows, anchors=anchors)
    cases = units.plural(len(context.records.cases), "case")
    return Details(f"Commands: each row can be measured again ({cases})", [made])


def commands(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """What measures a case again, and whom: commands that differ in the contenders alone are one,
    of all that ran. It names the case."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    ran = [result for result in results if result.status != "not_run"] or results
    for result in ran:
        command, _, named = result.provenance.command.partition(_CONTENDER)
        measured, asked = found.setdefault(command, ([], []))
        measured += [result.contender] * (result.contender not in measured)
        asked += [name for name in named.split(",") if name and name not in asked]
    return [
        (f"{command}{_CONTENDER}{','.join(asked)}" if asked else command, measured)
        for command, (measured, asked) in found.items()
    ]


PLACES = (Place(100, section, "machine"),)
