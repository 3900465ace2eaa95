"""What a loss's Triton kernels compile to, for each target, from the pinned files: no GPU needed.

A loss's kernels are those that it launches: they are pinned in its folder.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from operator import itemgetter

from benchmarks.instruments import gpus
from benchmarks.snapshots import pin_files, pins
from benchmarks.snapshots.exact.rows import ExactRow, row_of
from benchmarks.snapshots.pin_files import EXACT, STATIC, Pin
from marginbench.loss import Loss

from .. import units
from ..document import Block, Cell, Details, Table, Text, table
from ..rows import Rows
from . import what_bounds

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
    version = pinned[0].version.removeprefix("triton ")
    blocks: list[Block] = [
        Text(_INTRO.format(_COUNT[len(gpus.TARGETS)])),
        _summary(rows, version),
        Details(f"Each compiled kernel ({len(rows)} rows)", [_every(rows)]),
    ]
    counted = exact(loss.name)
    if counted:
        columns = ("case", "contender", "metric", "counted")
        text = f"Counted without a GPU, for {gpus.MAIN}: what a call launches and allocates there"
        listed = table(columns, [_counted(row) for row in counted], text, numeric=("counted",))
        blocks.append(Details(f"{text} ({len(counted)} rows)", [listed]))
    return blocks


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
