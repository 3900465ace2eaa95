"""Text that a command keeps in a Markdown file: what stands between ``<!-- NAME -->`` and
``<!-- /NAME -->``, or a whole file. Written by ``--write``; without it, checked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.module_commands import Parser
from benchmarks.records import files
from benchmarks.records.loading import RecordError
from marginbench.catalogue import BrokenLoss

from .paths import ROOT

Wanted = Mapping[Path, str | None]


def command(
    program: str, text: str | None, words: Sequence[str], wanted: Callable[[], Wanted]
) -> int:
    """The exit code of a command that writes such files, or with no ``--write`` checks them;
    ``text`` is its help. Any other word ends it with exit code 2."""
    parser = Parser(program, text)
    parser.add_argument("--write", action="store_true", help="write what is out of date")
    write = bool(parser.parse_args(words).write)
    try:
        return settle(wanted(), write, f"{program} --write")
    except (RecordError, BrokenLoss, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


def put(text: str, name: str, content: str) -> str:
    """``text`` with ``content`` between the two comments of ``name``.

    Raises ValueError where the two are not there once each, in their order.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    once = text.count(start) == 1 == text.count(end)
    if not once or text.index(start) > text.index(end):
        raise ValueError(f"expected {start}, then {end}, once each")
    before, _, rest = text.partition(start)
    after = rest.partition(end)[2]
    return f"{before}{start}\n{content.strip()}\n{end}{after}"


def cell(text: str) -> str:
    """Text of a table's cell."""
    return " ".join(text.replace("|", r"\|").split())


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def settle(wanted: Wanted, write: bool, command: str) -> int:
    """Writes each file as wanted (None: removes it), or says which are not so. Returns the exit
    code: 1 where a file differs and ``write`` is off. Raises OSError for a file that can't be read
    or written."""
    stale = [path for path, text in wanted.items() if _now(path) != text]
    for path in stale:
        name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        text = wanted[path]
        if write and text is None:
            path.unlink()
        elif write and text is not None:
            files.write(path, text)
        print(f"{'written' if write else 'out of date'}: {name}")
    if stale and not write:
        print(f"write them with: {command}")
    return int(bool(stale) and not write)


def _now(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
