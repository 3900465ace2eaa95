"""The contract that every claim's module fills in.

A module of this package declares ``CLAIM = Claim(...)`` and is found by itself (`catalogue`).
Judging and drawing read finished trainings as plain data, so that a verdict can be worked out
again from the records alone, without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from suites.jobs import Job
from suites.schema import TrainingResult

FORMS = ("small", "full")
Outcome = Literal["reproduced", "not reproduced", "inconclusive"]
Kind = Literal["lines", "points", "scatter", "steps"]


@dataclass(frozen=True)
class Estimate:
    """A figure that the verdict rests on: the mean over ``count`` seeds with its 95% interval."""

    label: str
    value: float
    low: float | None
    high: float | None
    count: int
    unit: str = "1"


@dataclass(frozen=True)
class Part:
    """One part of a criterion by itself. ``label`` names it in a word, as the criterion does ("a"
    for its (a)); ``title`` says in a few words what is claimed, as a statement that ``outcome`` is
    about; ``reason`` says why."""

    label: str
    title: str
    outcome: Outcome
    reason: str
    estimates: tuple[Estimate, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """``reason`` says in a sentence why; ``inconclusive`` is also what a missing, failed or
    single-seed arm gives. ``parts`` are those that the criterion has, each with a whole sentence:
    a whole that is not reproduced may have parts that are."""

    outcome: Outcome
    reason: str
    estimates: tuple[Estimate, ...] = ()
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Line:
    """Points to draw; ``low`` and ``high`` are empty or the intervals of ``y``."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes. ``logarithmic`` names the axes that are: ``"x"``, ``"y"``, ``"xy"``."""

    title: str
    lines: tuple[Line, ...]
    logarithmic: str = ""


@dataclass(frozen=True)
class Plot:
    """A figure as data; panels share their axes. ``kind``: ``lines`` (points joined),
    ``points`` (not joined, with intervals), ``scatter`` (clouds) or ``steps`` (histograms: x holds
    one edge more than y). ``alt`` says what it shows to whoever can't see it."""

    name: str
    title: str
    kind: Kind
    x_label: str
    y_label: str
    panels: tuple[Panel, ...]
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Claim:
    """``statement`` is what the paper says, ``source`` where; ``criterion`` says in words and
    numbers, before anything is trained, what counts as reproduced and what as not, and is what
    ``judge`` computes.

    ``jobs(form, seeds, device)`` are the trainings it needs, in the study ``claims/NAME``:
    ``small`` on digits in seconds each, ``full`` on a harder dataset. ``judge`` and ``plots`` take
    those that are done, in any order, some perhaps missing.
    """

    number: int
    name: str
    title: str
    statement: str
    source: str
    criterion: str
    jobs: Callable[[str, Sequence[int], str], list[Job]]
    judge: Callable[[Sequence[TrainingResult]], Verdict]
    plots: Callable[[Sequence[TrainingResult]], list[Plot]]

    @property
    def study(self) -> str:
        return f"claims/{self.name}"
