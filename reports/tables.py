"""The same document as Markdown, and every result as one row of a tidy CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from . import statistics
from .comparison import ratio
from .document import (
    Block,
    Cell,
    Details,
    Document,
    Equation,
    Figure,
    Links,
    Part,
    Section,
    Table,
    Text,
)
from .reading import BASE, PASSES, Measured, Records

CSV_COLUMNS = (
    "suite", "loss", "variant", "variant_version", "family", "batch", "dim", "classes", "dtype",
    "device", "data", "seed", "machine", "contender", "metric", "of", "status", "reason", "value",
    "rounds", "q05", "q25", "median", "q75", "q95", "median_low", "median_high",
    "speed_over_eager", "speed_low", "speed_high", "protocol", "commit", "dirty", "measured_at",
    "command",
)  # fmt: skip
_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#~"})


def markdown(document: Document) -> str:
    parts = [f"# {_escaped(document.title)}", _escaped(document.subtitle)]
    parts += [f"> **{_escaped(notice.text)}**" for notice in document.notices]
    parts.append(_escaped(document.lead))
    facts = [f"- {_escaped(f.label)}: {_escaped(f'{f.value} {f.note}'.strip())}"
             for f in document.facts]  # fmt: skip
    parts.append("\n".join(facts))
    for number, section in enumerate(document.sections, start=1):
        parts += _section(number, section)
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(number: int, section: Section) -> Iterator[str]:
    yield f"## {number}. {_escaped(section.title)}"
    for block in section.blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield _text(block)
    elif isinstance(block, Table):
        yield _table(block)
    elif isinstance(block, Equation):
        yield f"```latex\n{_fenced(block.latex)}\n```"
    elif isinstance(block, Figure):
        yield f"![{_escaped(block.title)}](figures/{block.name}.svg)"
        yield _escaped(block.caption)
    elif isinstance(block, Links):
        listed = ", ".join(f"[{_escaped(one.label)}](<{one.href}>)" for one in block.items)
        yield f"{_escaped(block.label)} {listed}".strip()
    elif isinstance(block, Details | Part):
        if isinstance(block, Details):
            yield f"**{_escaped(block.summary)}**"
        for inner in block.blocks:
            yield from _block(inner)


def _text(block: Text) -> str:
    if block.kind == "heading":
        return f"### {_escaped(block.text)}"
    if block.kind == "label":
        return f"#### {_escaped(block.text)}"
    if block.kind == "code":
        return f"```\n{_fenced(block.text)}\n```"
    return f"> **{_escaped(block.text)}**" if block.kind == "warning" else _escaped(block.text)


def _table(made: Table) -> str:
    lines = []
    if made.caption:
        lines += [f"**{_escaped(made.caption)}**", ""]
    lines.append("| " + " | ".join(_escaped(c) or " " for c in made.columns) + " |")
    rule = ["---:" if i in made.numeric else "---" for i in range(len(made.columns))]
    lines.append("| " + " | ".join(rule) + " |")
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in made.rows]
    return "\n".join(lines)


def _cell(cell: Cell) -> str:
    if cell.code and cell.text:
        text = " ".join(cell.text.split()).replace("|", "\\|")
        return _escaped(text) if "`" in text else f"`{text}`"
    text = _escaped(cell.text) or " "
    return f"**{text}**" if cell.tone in ("strong", "bad") and cell.text else text


def _escaped(text: str) -> str:
    """On one line, with nothing that Markdown or HTML would act on."""
    return " ".join(text.translate(_SPECIAL).split())


def _fenced(text: str) -> str:
    return text.replace("```", "'''")


def results_csv(records: Records) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    # Only where a variant has sizes of its own.
    sized = any(measured.case.sizes for measured in records.cases)
    writer.writerow((*CSV_COLUMNS, "sizes") if sized else CSV_COLUMNS)
    for measured, result in records.results:
        own = [_pairs(dict(measured.case.sizes))] if sized else []
        writer.writerow([_safe(value) for value in (*_csv_row(measured, result), *own)])
    return buffer.getvalue()


def _csv_row(measured: Measured, result) -> Iterator[object]:
    case = measured.case
    yield from (
        case.suite, case.loss, case.variant, case.variant_version, case.family, case.batch,
        case.dim, case.classes, case.dtype, case.device, case.data, case.seed,
        measured.machine + 1, result.contender, result.metric, _pairs(result.of), result.status,
        result.reason, result.value, len(result.rounds),
    )  # fmt: skip
    yield from statistics.quantiles(result.rounds)
    middle = statistics.median_interval(result.rounds)
    yield from (middle.low, middle.high) if middle else (None, None)
    # Only the result that comparisons rest on has a ratio to eager's.
    rested_on = measured.figure(result.contender, result.metric) is result
    against = None
    if rested_on and result.metric in PASSES and result.contender != BASE:
        against = ratio(measured, result.metric, BASE, result.contender)
    yield from (against.estimate, against.low, against.high) if against else (None,) * 3
    made = result.provenance
    yield from (_pairs(result.protocol), made.commit, made.dirty, made.measured_at, made.command)


def _pairs(entries: dict) -> str:
    return "; ".join(f"{key}={value}" for key, value in sorted(entries.items()))


def _safe(value: object) -> object:
    """Empty for nothing; text that a spreadsheet would run as a formula is defused."""
    if value is None:
        return ""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
