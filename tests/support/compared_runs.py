"""Runs to compare: the same code in other processes, slowed, changed; and the command on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from page_reader import Page
from synthetic_run import LOSSES, Maker

from benchmarks.records.loading import Line, Result
from commands.root import cli

FEW = LOSSES[1:3]
VERSIONS = {"python": "3.11.7", "torch": "2.13.0+cpu"}


def lines(process: int = 0, **rest) -> list[Line]:
    """The same code in another process: each figure's rounds share a factor, 2% as its sd."""
    draw = np.random.default_rng(process)
    made = list(Maker(losses=FEW, agreement_shapes=((37, 19, 7),), **rest).lines())
    return [
        timed_by(one, float(np.exp(draw.normal(0, 0.02)))) if process and is_timed(one) else one
        for one in made
    ]


def is_timed(line: Line) -> bool:
    return isinstance(line, Result) and bool(line.rounds)


def timed_by(line: Line, factor: float) -> Line:
    assert isinstance(line, Result) and line.value is not None
    return changed(line, value=line.value * factor, rounds=[r * factor for r in line.rounds])


def changed(line: Line, **fields) -> Line:
    return replace(line, **fields)


def slowed(run: list[Line], factor: float, contender: str = "eager") -> list[Line]:
    return [
        timed_by(one, factor) if is_timed(one) and one.contender == contender else one
        for one in run
    ]


def call(out: Path, *arguments: object) -> tuple[int, str, Page | None]:
    words = ["compare", *map(str, arguments), "--out", str(out)]
    found = CliRunner().invoke(cli, words)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    file = out / "index.html"
    return found.exit_code, found.output, Page(file.read_text()) if file.exists() else None
