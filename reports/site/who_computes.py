"""Who computes what: public implementations against our variants, and each target's slope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .. import drawing
from ..document import Block, Cell, Details, Document, Fact, Figure, Section, Table, Text, table
from ..plot import Axis, Field, Panel, Plot, Rule, Series, rows
from ..rows import Rows
from ..style import SOFT, style_at
from ..units import NOTHING
from .program_records import Record

SCHEMA_VERSION = 1
TITLE = "Who computes what"
# By verdict: words, what stands in the field, its colours.
_VERDICTS = {
    "same": ("same value and gradients", "same", "#1f4e82", "#fefefe"),
    "value": ("same value, another gradient", "value", "#94bbdd", "#222222"),
    "part": ("same value at some angles", "part", "#e6eff6", "#222222"),
    "different": ("different", "", "#ffffff", SOFT),
}
_QUANTITIES = {"value": "value", "embeddings": "gradient of embeddings",
               "class_weights": "gradient of class weights"}  # fmt: skip


def document(record: Record) -> Document:
    found = record["implementations"]
    alone = [one["name"] for one in found if not _with(one, "same")]
    ran = sum(bool(one["package"]) for one in found)
    lead = (
        f"Of {len(found)} public implementations ({ran} run as they are, {len(found) - ran} "
        f"written down from their equations and not run) {len(found) - len(alone)} have the value "
        f"and the gradients of one of our variants. The others: {', '.join(alone) or 'none'}."
    )
    measured = record["measured"]
    how = (
        f"In float64, at {len(measured['degrees'])} angles of the target from "
        f"{measured['degrees'][0]} to {measured['degrees'][-1]} degrees, and once with another "
        f"class as near as 0.3 degrees: the same is within {measured['tolerance']:g}. Embeddings "
        "and class weights have lengths other than 1. Each has the numbers of the public code, "
        "such as its margin. Packages were run as they are; the others were written down from "
        "their equations by file and line, and not run."
    )
    left = "; ".join(f"{name} takes {more}" for name, more in record["left_out"].items())
    blocks: list[Block] = [
        _matrix(found, _columns(record)), Text(how, "note"),
        Text("Hold your own implementation against the variants:"),
        Text("marginbench which --module FILE.py:FUNCTION --scale 64 --margin 0.5", "code"),
        Details(f"Each implementation, with its source ({len(found)} rows)", [_table(found)]),
        Text(f"Not compared: {left}.", "note"),
        Text("Work it out again with:", "note"), Text(str(measured["command"]), "code"),
    ]  # fmt: skip
    slopes = record["slopes"]
    taken = (
        "A margin on the angle multiplies the gradient of easy samples and fades for hard ones; "
        "detached it multiplies by 1, which is another training rule and not rounding."
    )
    return Document(
        title=TITLE, subtitle="public implementations against our variants", lead=lead,
        facts=[Fact("Implementations", str(len(found))), Fact("Run as they are", str(ran))],
        sections=[
            Section("implementations", "Which implementation is which variant", blocks),
            Section("slopes", "The slope of the target's logit", [
                Text(taken, "answer"), slope_figure(slopes["degrees"], slopes["by_variant"]),
            ]),
        ],
    )  # fmt: skip


def _with(one: Record, verdict: str) -> list[str]:
    return [
        held["variant"] + ("" if held["factor"] == 1 else f" (times {held['factor']:g})")
        for held in one["held"] if held["verdict"] == verdict
    ]  # fmt: skip


def _columns(record: Record) -> list[str]:
    """Each variant that has a slope or that an implementation was held against, by loss."""
    held = (held["variant"] for one in record["implementations"] for held in one["held"])
    every = dict.fromkeys((*record["slopes"]["by_variant"], *held))
    return sorted(every, key=lambda name: name.partition("/")[0])


def _matrix(found: Sequence[Record], columns: Sequence[str]) -> Figure:
    fields = [
        Field(list(columns).index(held["variant"]), row, *_VERDICTS[held["verdict"]][1:])
        for row, one in enumerate(found) for held in one["held"]
    ]  # fmt: skip
    x = Axis(limits=(-0.5, len(columns) - 0.5), ticks=range(len(columns)),
             names=[name.partition("/")[2] for name in columns])  # fmt: skip
    places = Rows(enumerate(columns)).by(lambda one: one[1].partition("/")[0])
    ends = {loss: (own[0][0], own[-1][0]) for loss, own in places.items()}
    headings = [((first + last) / 2, loss) for loss, (first, last) in ends.items()]
    edges = [Rule("x", first - 0.5, colour=SOFT, width=0.8) for first, _ in ends.values() if first]
    names = [one["name"] for one in found]
    ran = ", ".join(one["name"] for one in found if one["package"]) or "none"
    data = table(
        ("implementation", *columns),
        [(one["name"], *(_words(one, name) for name in columns)) for one in found],
    )
    said = "; ".join(f"{one['name']}: {', '.join(_with(one, 'same')) or NOTHING}" for one in found)
    key = [Field(0, 0, words, colour) for words, _, colour, _ in _VERDICTS.values()]
    return drawing.draw(Plot(
        "who-computes-what", TITLE,
        f"A row a public implementation, a column a variant of ours. Run as they are: {ran}. The "
        "others were written down from their equations, and not run.",
        f"Matrix of implementations by variants. The same: {said}.", data,
        [Panel(x, rows(names), rules=edges, fields=fields, headings=headings)],
        3.2 + 0.72 * len(columns), 1.6 + 0.235 * len(names), key=key,
    ))  # fmt: skip


def _words(one: Record, variant: str) -> str:
    held = next((held for held in one["held"] if held["variant"] == variant), None)
    return _VERDICTS[held["verdict"]][0] if held else NOTHING


def _table(found: Sequence[Record]) -> Table:
    made = []
    for one in found:
        near = [held for held in one["held"] if held["verdict"] in ("value", "part")][:2]
        where = "; ".join(f"{held['variant']}: {_where(held)}" for held in near)
        how = f"run, {one['version']}" if one["package"] else "from its equations, not run"
        made.append((
            one["name"], one["loss"], ", ".join(_with(one, "same")) or "none of ours",
            where or NOTHING, how, Cell(one["source"], code=True), one["note"] or NOTHING,
        ))  # fmt: skip
    columns = ("implementation", "loss", "computes", "where the nearest others differ", "how",
               "source", "note")  # fmt: skip
    return table(columns, made)


def _where(held: Record) -> str:
    return ", ".join(f"{_QUANTITIES[name]} {cases}" for name, cases in held["differs"].items())


def slope_figure(degrees: Sequence[float], by_variant: Mapping[str, Sequence[float]]) -> Figure:
    """All variants in one; those of one slope are one line."""
    alike: dict[tuple[float, ...], list[str]] = {}
    for name, slopes in by_variant.items():
        alike.setdefault(tuple(round(slope, 4) for slope in slopes), []).append(name)
    series = [
        Series(degrees, slopes, style_at(place), ", ".join(names), marks=10)
        for place, (slopes, names) in enumerate(alike.items())
    ]
    panel = Panel(
        Axis("angle of the target, degrees", limits=(0, 180)),
        Axis("slope by the plain cosine", limits=(-1.5, 6)), series,
        rules=[Rule("y", 0, colour=SOFT), Rule("y", 1, colour=SOFT, dashed=True)],
    )  # fmt: skip
    near = min(range(len(degrees)), key=lambda at: abs(degrees[at] - 10))
    said = "; ".join(f"{name} {slopes[near]:.2f}" for name, slopes in by_variant.items())
    made = [
        (f"{angle:g}", *(f"{slopes[at]:.4g}" for slopes in by_variant.values()))
        for at, angle in enumerate(degrees)
    ]
    columns = ("degrees", *by_variant)
    return drawing.draw(Plot(
        "target-slopes", "The slope of the target's logit",
        "What a margin multiplies the plain cosine's gradient by, over the angle; cut at 6. "
        "Eager's own gradient, at scale 1. Variants of one slope share a line.",
        f"Lines of the slope over the angle. At {degrees[near]:g} degrees: {said}.",
        table(columns, made, numeric=columns), [panel], 8.6, 4.4, legend="right",
    ))  # fmt: skip
