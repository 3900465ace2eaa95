"""What every record is made of, each declared once: a case, a result, a finished training.

Plain dataclasses, by the standard library alone. `benchmarks.records.lines` adds what a line of a
record has beside them, and `benchmarks.records.loading` checks the same classes when it reads one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from marginbench.fields import Shape

Status = Literal["ok", "worse", "not_run"]
# A status, and the word for it wherever people read it: of a result, and of a training.
STATUS_WORDS: dict[str, str] = {"ok": "passed", "worse": "failed", "not_run": "not run"}
TRAINING_WORDS: dict[str, str] = {"ok": "trained", "worse": "diverged", "not_run": "not run"}

Metrics = dict[str, float | None]
"""By name; None stands for what is not defined or was not finite."""


@dataclass(frozen=True)
class CaseKey:
    """What was measured. ``id`` is how the command line names it; ``sizes`` are the variant's own,
    each with its letter."""

    suite: str
    loss: str
    variant: str
    variant_version: int
    family: str
    batch: int
    dim: int
    classes: int
    dtype: str
    device: str
    data: str
    seed: int
    sizes: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        # JSON gives lists.
        object.__setattr__(self, "sizes", tuple((letter, size) for letter, size in self.sizes))

    @property
    def shape(self) -> Shape:
        return Shape(self.batch, self.dim, self.classes, self.sizes)

    @property
    def own_sizes(self) -> str:
        """As a table shows them after the variant's name."""
        return "".join(f" {letter}={size:,}" for letter, size in self.sizes)

    def plain(self) -> dict[str, Any]:
        """As a record holds it: no sizes where the variant has none of its own."""
        return {name: value for name, value in vars(self).items() if name != "sizes" or value}

    @property
    def id(self) -> str:
        parts = (self.suite, self.loss, self.variant, str(self.shape), self.dtype, self.device)
        return "/".join((*parts, self.data, f"s{self.seed}"))


@dataclass(frozen=True)
class Row:
    """One metric of one contender.

    ``of`` narrows the metric: reduction and quantity for errors, instrument for times.
    ``rounds`` are the raw figures in the order taken; round k of two contenders of a case was
    taken back to back. ``value`` is their median, or the exact figure; None where nothing was
    measured, with the reason. ``protocol`` says how: clock, cache, warm-up, rounds, order.
    """

    contender: str
    metric: str
    of: dict[str, str] = field(default_factory=dict)
    status: Status = "ok"
    reason: str = ""
    value: float | None = None
    rounds: list[float] = field(default_factory=list)
    protocol: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingResult:
    """One trained network, as plain data: its settings, its metrics, and what figures are drawn
    from.

    ``epochs`` has a row of metrics for each epoch that was evaluated, from 0 (untrained);
    ``metrics`` is the last one. ``series`` holds lists of equal meaning by name (see
    `benchmarks.training.series`). ``status`` is ``ok``, ``worse`` (it ran, and diverged) or
    ``not_run``, with the reason; ``running`` while it goes on, which no record holds. ``mlflow``
    says where its mirror is (the ``store``, and the ``key`` that its run has as a tag), or under
    ``reason`` why there is none yet. ``job`` is `suites.jobs.Job.plain`: all that it takes
    to train it again.
    """

    name: str
    loss: str
    variant: str
    contender: str
    dataset: str
    seed: int
    status: Status | Literal["running"]
    reason: str = ""
    study: str = ""
    arm: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    epochs: list[Metrics] = field(default_factory=list)
    metrics: Metrics = field(default_factory=dict)
    series: dict[str, list[float]] = field(default_factory=dict)
    mlflow: dict[str, str] = field(default_factory=dict)
