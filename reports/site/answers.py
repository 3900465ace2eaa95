"""The questions that a newcomer comes with, answered from the records or said to be open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from suites.schema import CaseKey

from .. import units
from ..document import Block, Cell, Link, Links, Section, Text, table
from ..rows import Rows
from ..sections.context import mark
from . import static_facts
from .frame import REPRODUCE, loss_page
from .machines import Made
from .summaries import Best, Rightness

BATCH, CLASSES = 512, 100_000


@dataclass(frozen=True)
class Found:
    """A timed case with the machine that it was timed on."""

    made: Made
    best: Best

    @property
    def case(self) -> CaseKey:
        return self.best.case

    @property
    def where(self) -> str:
        return f"{self.made.summary.title}, {self.made.summary.measured}"


def bests(made: Sequence[Made], loss: str, device: str) -> list[Found]:
    """Of drawn inputs."""
    return [
        Found(one, best)
        for one in made
        for best in one.summary.bests.where(loss=loss, device=device, data="drawn")
    ]


def sections(made: Sequence[Made]) -> list[Section]:
    return [_triplet(made), _memory(made), _right(made), _check()]


def _nearest(found: list[Found], size: str, wanted: int) -> list[Found]:
    """Those at the wanted size; where there are none, at the nearest that was measured."""
    sizes = {getattr(one.case, size) for one in found}
    if not sizes:
        return []
    nearest = min(sizes, key=lambda value: (abs(value - wanted), value))
    return [one for one in found if getattr(one.case, size) == nearest]


def _triplet(made: Sequence[Made]) -> Section:
    title = f"Which triplet implementation should I use on CPU at batch {BATCH}?"
    found = [
        one for one in bests(made, "triplet", "cpu")
        if one.case.family == "batch" and one.best.answer.state != "nothing"
        and not one.case.variant.startswith("mine-")
    ]  # fmt: skip
    found = _nearest(found, "batch", BATCH)
    case = f"speed/triplet/batch-hard/B{BATCH}-D128-C128/float32/cpu/drawn/s0"
    if not found:
        return Section("triplet-on-cpu", title, _open("triplet loss on a CPU", case))
    size = found[0].case.batch
    chosen = _newest(found)
    said = "; ".join(dict.fromkeys(_use(one, _sizes(chosen) == "") for one in chosen))
    blocks: list[Block] = []
    if size != BATCH:
        blocks.append(Text(_no_such(f"batch {BATCH}", f"batch {size}", case), "warning"))
    blocks += [Text(f"{_sizes(chosen)}{said}.", "answer"), _table(found)]
    return Section("triplet-on-cpu", title, blocks)


def _newest(found: list[Found]) -> list[Found]:
    """Of each variant and its sizes the one that was measured last; others are in the table."""
    alike = Rows(found).by("variant", "dim", "dtype").values()
    last = Rows(max(own, key=lambda one: one.made.summary.measured) for own in alike)
    return [max(own, key=lambda one: one.case.classes) for own in last.by("variant").values()]


def _size(case: CaseKey) -> str:
    return f"dimension {case.dim}, {case.classes:,} classes, {case.dtype}"


def _sizes(chosen: Sequence[Found]) -> str:
    """What all of them were timed at; empty where they differ."""
    sizes = {_size(one.case) for one in chosen}
    return f"At {sizes.pop()}: " if len(sizes) == 1 else ""


def _use(one: Found, sized: bool) -> str:
    """``sized``: with the sizes that it holds for."""
    case, answer = one.case, one.best.answer
    name = f"{case.variant} at {_size(case)}" if sized else case.variant
    if answer.state == "alone":
        return f"{name}: {answer.leaders[0]}, the only one timed"
    if len(answer.leaders) > 1:
        return f"{name}: {' or '.join(answer.leaders)}, which do not differ significantly"
    text = f"{name}: {answer.leaders[0]}"
    if answer.margin is not None and answer.against:
        text += (f" ({units.digits3(answer.margin.estimate)} times as fast as {answer.against} "
                 f"{units.bounds(answer.margin)})")  # fmt: skip
    if answer.scarce:
        text += f"; too few rounds to rank {', '.join(answer.scarce)}"
    return text


def _table(found: list[Found]) -> Block:
    rows = []
    for one in found:
        case, answer = one.case, one.best.answer
        by = answer.by if answer.leaders else units.NOTHING
        name = answer.leaders[0] if answer.state in ("winner", "alone") else ""
        rows.append(
            (Cell(f"{case.loss}/{case.variant}", href=_record(one)), f"{case.batch:,}",
             f"{case.dim:,}", f"{case.classes:,}", case.dtype,
             Cell(answer.title, tone="strong", mark=name), Cell(by, href=_record(one)),
             Cell(units.time(one.best.time_s), href=_record(one)), one.where)
        )  # fmt: skip
    columns = ("variant", "B", "D", "C", "dtype", "fastest", "margin", "it takes",
               "machine, date")  # fmt: skip
    return table(columns, rows, numeric=("B", "D", "C", "it takes"))


def _record(one: Found) -> str:
    return one.made.records.get(one.case.id, "")


def _memory(made: Sequence[Made]) -> Section:
    title = f"How much memory does A-Softmax take at {CLASSES // 1000}k classes?"
    found = [
        one for device in ("cpu", "cuda") for one in bests(made, "a-softmax", device)
        if one.best.peaks
    ]  # fmt: skip
    found = _nearest(found, "classes", CLASSES)
    case = f"speed/a-softmax/m4/B512-D128-C{CLASSES}/float32/cpu/drawn/s0"
    blocks: list[Block] = []
    if not found:
        blocks = _open("A-Softmax's memory", case)
    else:
        first = found[0].best
        if first.case.classes != CLASSES:
            blocks.append(Text(
                _no_such(f"{CLASSES:,} classes", f"{first.case.classes:,} classes", case), "warning"
            ))  # fmt: skip
        listed = ", ".join(f"{name} {units.size(peak)}" for name, peak in first.peaks)
        at = first.case
        said = f"At batch {at.batch}, dimension {at.dim}, {at.dtype}, beyond the inputs"
        blocks.append(Text(f"{said}, gradients included: {listed}.", "answer"))
        rows = [
            (Cell(one.case.variant, href=_record(one)), f"{one.case.batch:,}", f"{one.case.dim:,}",
             f"{one.case.classes:,}", one.case.dtype, one.case.device, mark(name),
             Cell(units.size(peak), href=_record(one)), one.where)
            for one in found
            for name, peak in one.best.peaks
        ]  # fmt: skip
        columns = ("variant", "B", "D", "C", "dtype", "device", "contender", "peak memory",
                   "machine, date")  # fmt: skip
        blocks.append(table(columns, rows, numeric=("B", "D", "C", "peak memory")))
    counted = sorted(_counted())
    if counted:
        text = "Counted without a GPU, the Triton kernels allocate there, gradients included: "
        blocks.append(Text(text + "; ".join(counted) + ".", "note"))
    return Section("a-softmax-memory", title, blocks)


def _counted() -> Iterator[str]:
    for row in static_facts.exact("a-softmax"):
        _, _, variant, shape, dtype, target = row.case.split("/")
        peak = row.value if isinstance(row.value, str) else units.size(row.value)
        if variant == "m4" and row.metric == "peak_bytes" and shape.endswith(f"C{CLASSES}"):
            yield f"{shape} in {dtype} on {target}: {peak}"


def _right(made: Sequence[Made]) -> Section:
    title = "Is the Triton kernel right?"
    found = [(one, r) for one in made for r in one.summary.rightness.where(contender="triton")]
    ran = [(one, r) for one, r in found if r.comparisons]
    if not ran:
        command = "marginbench run --suite agreement"
        blocks: list[Block] = [
            Text("Not known yet: no committed record compares it with the reference.", "answer"),
            Text(command, "code"),
        ]
        return Section("triton-right", title, blocks)
    comparisons = sum(r.comparisons for _, r in ran)
    failed = sum(r.failed for _, r in ran)
    worst = max((r.worst for _, r in ran if r.worst is not None), default=None)
    multiple = "" if worst is None else (
        f"; at worst {units.digits3(worst)} times eager PyTorch's own error, which counts as at "
        "least float32's rounding step; twice is allowed"
    )  # fmt: skip
    verdict = "Yes" if not failed else "Not everywhere"
    said = (
        f"{verdict}: {failed:,} of {units.plural(comparisons, 'comparison')} with the float64 "
        f"reference failed, values and gradients{multiple}."
    )
    if all(r.interpreted for _, r in ran):
        said += (
            " All of them were computed by Triton's interpreter: that shows whether the kernels "
            "are right, not what a GPU's arithmetic does."
        )
    rows = [(one.summary.title, *_rightness(one, r)) for one, r in found]
    columns = ("machine", "computed", "comparisons", "failed", "worst multiple of eager's error",
               "not run")  # fmt: skip
    blocks = [Text(said, "answer"), table(columns, rows, numeric=columns[2:])]
    names = sorted({loss for one in made for loss in one.losses})
    links = tuple(Link(name, f"{loss_page(name)}#agreement") for name in names)
    blocks.append(Links(links, "Every variant and dtype, by loss:"))
    return Section("triton-right", title, blocks)


def _rightness(one: Made, found: Rightness) -> tuple[Cell | str, ...]:
    how = "by the interpreter" if found.interpreted else f"on {found.device}"
    if not found.comparisons:
        how = f"not run: {found.reason}"
    worst = Cell(units.digits3(found.worst), href=one.records.get(found.where, ""))
    return (how, f"{found.comparisons:,}", Cell(f"{found.failed:,}", "bad" if found.failed else ""),
            worst, f"{found.not_run:,}")  # fmt: skip


def _check() -> Section:
    commands = (
        "marginbench verify reports/published     # does this site match its "
        "records?\nmarginbench run --suite agreement        # every implementation against its "
        "definition\nmarginbench run --case CASE              # one figure again; CASE stands in "
        "its record"
    )
    return Section("check", "How do I check that myself?", [
        Text(commands, "code"),
        Links((Link("how to reproduce", REPRODUCE),), "Step by step:"),
    ])  # fmt: skip


def _open(what: str, case: str) -> list[Block]:
    return [
        Text(f"Not answered yet: no committed record has {what}. Measure it with:", "answer"),
        Text(f"marginbench run --case {case}", "code"),
    ]


def _no_such(wanted: str, nearest: str, case: str) -> str:
    return (
        f"No committed record has {wanted}; the nearest, {nearest}, is below. Measure what was "
        f"asked with: marginbench run --case {case}"
    )
