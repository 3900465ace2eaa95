"""From the words of ``marginbench compare`` to what compares them, or a mistake told as usage."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from kernels.catalogue import UnknownName

from ..commands import REPORTS, RUNS
from .ratios import Rule
from .runs import file_of
from .sides import Side, Unknown, resolve

STORE = (RUNS, REPORTS / "published")


def choose(
    files: Sequence[str],
    base: Sequence[str],
    candidate: Sequence[str],
    contenders: tuple[str, ...],
    rule: tuple[float, float],
    across: bool,
    out: Path | None,
) -> int:
    """The exit code. Raises click.UsageError. ``rule``: between processes, and what matters."""
    if files and (base or candidate):
        raise click.UsageError("expected runs, or --base and --candidate; got both")
    words = [*files, *base, *candidate]
    try:
        sides = {word: resolve(word, STORE, REPORTS.parent) for word in words}
    except Unknown as error:
        raise click.UsageError(str(error)) from None
    if any(_is_records(side) for side in sides.values()):
        from .across import Asked

        told = _command(files, base, candidate, contenders, across)
        asked = Asked(Rule(*rule), across, contenders, told)
        return _records(files, base, candidate, sides, asked, out or RUNS / "compare")
    if contenders:
        raise click.UsageError("--contender: expected runs of MarginBench; got other files")
    if files:
        if len(files) != 2:
            raise click.UsageError(f"expected BASE.json CANDIDATE.json; got {len(files)} files")
        base, candidate = files[:1], files[1:]
    if not base or not candidate:
        raise click.UsageError("expected two files, or --base and --candidate each at least once")
    from .command import run

    return run([Path(w) for w in base], [Path(w) for w in candidate], Rule(*rule),
               across_machines=across, tell=click.echo)  # fmt: skip


def _records(
    files: Sequence[str],
    base: Sequence[str],
    candidate: Sequence[str],
    sides: dict[str, Side],
    asked: object,
    out: Path,
) -> int:
    from . import across

    assert isinstance(asked, across.Asked)
    if len(files) == 1:
        (one,) = files
        if len(asked.contenders) != 2 or len(sides[one].paths) != 1:
            raise click.UsageError("expected two runs, or one run and two --contender")
        compared = partial(across.inside, sides[one])
    elif files:
        compared = partial(across.run, sides[files[0]], [sides[w] for w in files[1:]])
    elif not base or not candidate:
        raise click.UsageError("expected two runs, or --base and --candidate each at least once")
    else:
        joined = [_joined([sides[word] for word in words]) for words in (base, candidate)]
        compared = partial(across.run, joined[0], joined[1:])
    try:
        return compared(asked, out, click.echo)
    except UnknownName as error:
        raise click.UsageError(str(error)) from None


def _joined(sides: Sequence[Side]) -> Side:
    by = {side.by for side in sides}
    paths = tuple(path for side in sides for path in side.paths)
    return Side(", ".join(side.label for side in sides), paths, by.pop() if len(by) == 1 else "")


def _is_records(side: Side) -> bool:
    return bool(side.by) or any(file_of(path) for path in side.paths)


def _command(
    files: Sequence[str],
    base: Sequence[str],
    candidate: Sequence[str],
    contenders: Sequence[str],
    across: bool,
) -> str:
    words = ["marginbench", "compare", *files]
    for name, values in (("--base", base), ("--candidate", candidate), ("--contender", contenders)):
        for value in values:
            words += [name, value]
    return shlex.join([*words, *(["--across-machines"] if across else [])])
