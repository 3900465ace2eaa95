"""A gate's outcome in Markdown: the summary of a job on GitHub, and a file to read or to paste."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from benchmarks.gate.records import GateVerdict

from .. import units
from . import words
from .reading import GateRun, of_verdict

# GitHub drops a step's whole summary above 1024 KiB; what another tool adds in the step counts too.
LIMIT_BYTES = 900 * 1024
# How many entries of a list are shown, from the most to the fewest that have to do.
_ENTRIES = (500, 100, 20, 0)
_LONGEST = 600
_MARKS = {0: "✅", 1: "❌"}
_PUNCTUATION = re.compile(r"([\\`*_\[\]|~#!])")
_HEAD = (
    "| case | verdict | candidate / base [95%] | base → candidate, a call | "
    "detectable slow-down | reason |\n|---|---|---|---|---|---|"
)


def escape(text: str) -> str:
    """Foreign text that shows as it is, in a paragraph as in a table's cell."""
    shown = words.plain(text[: 4 * _LONGEST])
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]}…"
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An @ would address whoever has that name, and :// make a link.
    shown = _PUNCTUATION.sub(r"\\\1", shown).replace("@", "&#64;")
    return shown.replace("://", "&#58;//")


def render(run: GateRun) -> str:
    """At most LIMIT_BYTES: what does not fit is counted, and stands in the record. Raises
    RecordError for a gate that was killed."""
    for entries in _ENTRIES:
        text = _render(run, entries)
        if len(text.encode()) <= LIMIT_BYTES:
            break
    return text


def _render(run: GateRun, entries: int) -> str:
    rows = run.rows()
    equivalent = of_verdict(rows, "EQUIVALENT")
    others = [row for row in rows if row.verdict != "EQUIVALENT"]
    parts = [f"## {_MARKS.get(run.exit_code, '⚠️')} Gate: {escape(words.sentence(run))}"]
    if run.start.planted:
        parts.append(f"Planted in the candidate on purpose: {escape(run.start.planted)}.")
    if others:
        parts.append(_table(others, entries))
    if equivalent:
        head = units.plural(len(equivalent), "case") + " EQUIVALENT"
        parts.append(_details(head, _table(equivalent, entries)))
    if not rows:
        parts.append("No case was timed.")
    if left := [*words.unpaired(run), *words.unchanged(run)]:
        parts.append(_list(left, entries))
    parts += ["### Exact figures", escape(words.exact(run))]
    if run.exact and run.exact.left_out:
        parts.append(escape(run.exact.left_out))
    if run.exact and run.exact.differences:
        parts.append(_list(run.exact.differences, entries))
    if run.exact and run.exact.repinned:
        head = f"Pinned again in this change: {len(run.exact.repinned)}"
        parts.append(_details(head, _list(run.exact.repinned, entries)))
    parts += ["### What was compared, and where", _facts(run), "### Run it again", _again(run)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[GateVerdict], entries: int) -> str:
    lines = [_HEAD]
    for row in rows[:entries]:
        worse = row.verdict in ("SLOWER", "WRONG")
        cells = (
            escape(row.case), f"**{row.verdict}**" if worse else row.verdict,
            escape(words.ratio(row)), words.times(row), words.detectable(row), escape(row.reason),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + _rest(len(rows), entries)


def _list(sentences: Sequence[str], entries: int) -> str:
    lines = [f"- {escape(sentence)}" for sentence in sentences[:entries]]
    return "\n".join(lines) + _rest(len(sentences), entries)


def _rest(number: int, entries: int) -> str:
    return f"\n\n{number - entries:,} more: see the record." if number > entries else ""


def _details(head: str, body: str) -> str:
    # The empty lines make GitHub read what is inside as Markdown.
    return f"<details>\n<summary>{head}</summary>\n\n{body}\n\n</details>"


def _facts(run: GateRun) -> str:
    start = run.start
    dirty = " with uncommitted changes, which no commit holds" if start.dirty else ""
    facts: dict[str, Any] = {
        "base": start.base_commit,
        "candidate": f"{start.candidate_commit}{dirty}",
        "suite": f"{start.suite} on {start.device}, seed {start.seed}, {start.threads} threads",
        "started": start.started_at,
        "took": units.time(run.ended.seconds),
    }
    for name, value in start.identity.items():
        if isinstance(value, dict):
            facts |= {str(inner): of_inner for inner, of_inner in value.items()}
        else:
            facts[name] = value
    facts["record"] = "each line has a digest" if start.digest else "schema 1: not protected"
    facts["load average"] = start.information.get("load_average", "unknown")
    lines = [f"| {escape(name)} | {escape(str(value))} |" for name, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _again(run: GateRun) -> str:
    command = words.plain(run.start.command)[: 4 * _LONGEST]
    lines = f"git switch --detach {words.plain(run.start.candidate_commit)}\n{command}"
    # A fence ends at as many backticks as it began with.
    longest = max((len(ticks) for ticks in re.findall("`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{lines}\n{fence}"
