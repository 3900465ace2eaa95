"""What a loss's Triton kernels compile to, for each target, from the pinned files: no GPU needed.

A loss's kernels are those that it launches: they are pinned in its folder. What several losses
compile alike stands on a page of its own, once.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter

from benchmarks.instruments import gpus
from benchmarks.snapshots import pin_files, pins
from benchmarks.snapshots.exact.rows import ExactRow, row_of
from benchmarks.snapshots.pin_files import EXACT, STATIC, Pin
from marginbench import catalogue
from marginbench.loss import Loss

from .. import units
from ..document import Block, Cell, Details, Document, Link, Links, Section, Table, Text, table
from ..rows import Rows
from ..sections.context import slug
from . import what_bounds
from .frame import SHARED, loss_page

_COUNT = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_INTRO = (
    "Every Triton kernel is compiled ahead of time with the very arguments that its launcher "
    "passes, for {} targets, without a GPU; the facts are pinned beside the kernels and a "
    "change of any of them fails. Ranges are over the dtypes and tiles that are compiled. "
    "Spilled: bytes a thread keeps outside its registers. Programs: how many a processor holds at "
    "once. Measure again with: marginbench static"
)


def section(loss: Loss) -> list[Block]:
    pinned = _newest(STATIC)
    if not pinned:
        return [Text("Nothing is pinned: marginbench static --pin")]
    rows = compiled(loss, pinned)
    if not rows:
        return [Text("No Triton kernel of this loss is pinned.")]
    blocks: list[Block] = [
        Text(_INTRO.format(_COUNT[len(gpus.TARGETS)])),
        _summary(rows, _compiler(pinned)),
    ]
    losses = _losses(pinned)
    by_losses = Rows(rows).by(lambda row: len(losses[pins.key(row)]) > 1)
    if own := by_losses.get(False):
        title = f"Each kernel that is compiled for this loss alone ({len(own)} rows)"
        blocks.append(Details(title, [_every(own)]))
    if shared := by_losses.get(True):
        links = tuple(
            Link(f"{kernel} ({len(found)} rows)", f"{SHARED}#{slug(kernel)}")
            for kernel, found in shared.by(itemgetter("kernel")).items()
        )
        blocks.append(Links(links, "Each kernel that is compiled alike for other losses:"))
    counted = exact(loss.name)
    if counted:
        columns = ("case", "contender", "metric", "counted")
        text = f"Counted without a GPU, for {gpus.MAIN}: what a call launches and allocates there"
        listed = table(columns, [_counted(row) for row in counted], text, numeric=("counted",))
        blocks.append(Details(f"{text} ({len(counted)} rows)", [listed]))
    return blocks


def shared() -> Document:
    """Each kernel that several losses compile alike, once."""
    pinned = _newest(STATIC)
    losses = _losses(pinned)
    rows = Rows(pins.once(map(pins.row_of, pinned))).where(lambda r: len(losses[pins.key(r)]) > 1)
    sections = []
    for kernel, found in rows.by(itemgetter("kernel")).items():
        blocks: list[Block] = []
        for names, own in found.by(lambda row: losses[pins.key(row)]).items():
            links = tuple(Link(name, f"{loss_page(name)}#compiled") for name in names)
            blocks += [Links(links, f"{units.plural(len(own), 'row')}, compiled for"), _every(own)]
        sections.append(Section(slug(kernel), kernel, blocks))
    by_loss = {
        loss.name: what_bounds.bounds(loss, compiled(loss, pinned)) for loss in catalogue.losses()
    }
    if each := what_bounds.of_all(by_loss):
        sections.append(Section(what_bounds.NAME, what_bounds.TITLE, each))
    return Document(
        title="Shared kernels", subtitle="what several losses compile alike",
        lead=f"{units.plural(len(rows), 'kernel')} that several losses compile with the same "
             "arguments, each here once. What a loss compiles alone is on its own page, and so "
             f"are the ranges over all. Compiled by Triton {_compiler(pinned)}." if rows else
             "No two losses compile the same kernel.",
        sections=sections,
    )  # fmt: skip


def _losses(pinned: Sequence[Pin]) -> Mapping[tuple[str, ...], tuple[str, ...]]:
    """By a compiled kernel's key the losses that launch it."""
    names = {pin_files.folder_of(loss.name): loss.name for loss in catalogue.losses()}
    found = Rows(pinned).where(folder=tuple(names)).by("key")
    return {key: tuple(sorted({names[pin.folder] for pin in own})) for key, own in found.items()}


def _compiler(pinned: Sequence[Pin]) -> str:
    return pinned[0].version.removeprefix("triton ")


def compiled(loss: Loss, pinned: Sequence[Pin]) -> list[pins.Row]:
    """The pinned kernels that this loss launches."""
    own = Rows(pinned).where(folder=pin_files.folder_of(loss.name))
    return list(pins.once(map(pins.row_of, own)))


def bounds(loss: Loss) -> list[Block]:
    """What bounds the kernels that it launches itself: see `what_bounds`."""
    return what_bounds.section(loss, compiled(loss, _newest(STATIC)))


@functools.cache
def _newest(kind: str) -> tuple[Pin, ...]:
    """The pins of a kind, of the newest version."""
    found = Rows(pin_files.read()).where(kind=kind)
    newest = max((_version(one.version) for one in found), default=())
    return tuple(one for one in found if _version(one.version) == newest)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def exact(loss: str) -> list[ExactRow]:
    """Exact figures of a loss on sm_90."""
    rows = map(row_of, _newest(EXACT))
    return [row for row in rows if row.loss == loss and row.case.endswith(f"/{gpus.MAIN}")]


def _counted(row: ExactRow) -> tuple[Cell | str, ...]:
    value = row.value
    number = None if isinstance(value, str) else value
    text = str(value) if number is None or not row.metric.endswith("bytes") else units.size(number)
    return (row.case.removeprefix("exact/"), Cell(row.contender, mark=row.contender),
            row.metric.replace("_", " "),
            Cell(text, sort="" if number is None else str(number)))  # fmt: skip


def _summary(rows: Sequence[pins.Row], version: str) -> Table:
    groups = Rows(rows).by(itemgetter("kernel", "target"))
    made = []
    for (kernel, target), found in sorted(groups.items()):
        compiled = [row for row in found if "error" not in row]
        spilled = [row["stack_bytes"] + row["local_bytes"] for row in compiled]
        wrong = sorted({rule for row in found for rule in pins.broken(row)})
        made.append(
            (Cell(kernel, code=True), target, ", ".join(sorted({row["dtype"] for row in found})),
             _range([row["registers"] for row in compiled]), _range(spilled),
             _range([row["shared_bytes"] for row in compiled]),
             _range([row["programs"] for row in compiled]), _products(target, compiled),
             _range([row["instructions"] for row in compiled]),
             Cell("; ".join(wrong) or "none", tone="quiet" if not wrong else "bad"))
        )  # fmt: skip
    columns = ("kernel", "target", "dtypes", "registers", "spilled (bytes)",
               "shared memory (bytes)", "programs", "tensor cores", "instructions",
               "rules broken")  # fmt: skip
    caption = f"By kernel and target, compiled by Triton {version}"
    return table(columns, made, caption, numeric=(*columns[3:7], "instructions"))


def _range(values: Sequence[int]) -> str:
    if not values:
        return units.NOTHING
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _products(target: str, rows: Sequence[pins.Row]) -> str:
    name = gpus.TARGETS[target].product
    multiplies = [row for row in rows if row["products"]]
    used = sum(bool(row["classes"].get(name)) for row in multiplies)
    return f"{name} in {used} of {len(multiplies)}" if multiplies else "no product"


def _every(rows: Sequence[pins.Row]) -> Table:
    made = [
        (Cell(row["kernel"], code=True), row["target"], row["dtype"],
         "yes" if row["aligned"] else "no", Cell(pins.short(row["arguments"]), code=True),
         *(f"{row.get(name, '–')}" for name in ("registers", "stack_bytes", "shared_bytes",
                                                "programs", "instructions")))
        for row in rows
    ]  # fmt: skip
    columns = ("kernel", "target", "dtype", "aligned", "arguments", "registers", "stack (bytes)",
               "shared (bytes)", "programs", "instructions")  # fmt: skip
    return table(columns, made, numeric=columns[5:])
