"""What is said of a machine on its page: what it is, and what it was measured to reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .. import units
from ..document import Block, Link, Links, Text, table
from ..reading import Records
from ..sections import machine_words
from ..sections.context import Context
from . import roofline
from .sources import MACHINE_FILE, Folder, MachineFile

_PRODUCTS = "flops_per_s_"


def of_this(facts: MachineFile, records: Records) -> MachineFile:
    """Without the rates where they are another machine's: its roof is not this one's."""
    names = records.results.each(lambda row: row.provenance.machine)
    other = facts.measured.get("machine")
    if other is None or not names or str(other) in names:
        return facts
    return replace(facts, rates={}, foreign=str(other))


def blocks(context: Context, folder: Folder, facts: MachineFile) -> list[Block]:
    found: list[Block] = []
    if facts.description:
        found.append(Text(facts.description))
    if facts.missing:
        found.append(Text(
            "There is no machine.json beside these records: the machine is named after its "
            f"folder, and its peak rates were not measured. {roofline.NO_RATES}", "note",
        ))  # fmt: skip
    if facts.foreign:
        found.append(Text(
            "The rates in machine.json are left out: they were measured on another machine, "
            f"{facts.foreign}. {roofline.NO_RATES}", "warning",
        ))  # fmt: skip
    for number, identity in enumerate(context.records.machines, start=1):
        several = f" {number}" if len(context.records.machines) > 1 else ""
        caption = f"Machine{several}: facts that timed comparisons depend on"
        found.append(machine_words.identity(identity, caption))
    if facts.rates:
        found += _rates(folder, facts)
    return found


def _rates(folder: Folder, facts: MachineFile) -> Iterator[Block]:
    rows = [_rate(name, rate) for name, rate in facts.rates.items()]
    yield table(("measured", "rate"), rows, "Measured peak rates", numeric=("rate",))
    when, how = (str(facts.measured.get(name, "")) for name in ("at", "how"))
    if when:
        yield Text(f"Measured {when}{how and ': ' + how}. Measure again with:", "note")
    else:
        yield Text("Measure again with:", "note")
    yield Text(f"python -m benchmarks.rates reports/published/{folder.shown}", "code")
    if facts.measured.get("rounds"):
        yield Links((Link(MACHINE_FILE, folder.address(MACHINE_FILE)),), "All raw rounds:")


def _rate(name: str, rate: float) -> tuple[str, str]:
    """In decimal units, as data sheets have them."""
    if name == "bytes_per_s":
        return "copying memory", f"{units.decimal(rate)}B/s"
    if name.startswith(_PRODUCTS):
        return f"matrix products, {name.removeprefix(_PRODUCTS)}", f"{units.decimal(rate)}FLOP/s"
    return name.replace("_", " "), f"{units.digits3(rate)} a second"
