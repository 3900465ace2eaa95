"""The lines of a record, and what any of them may say.

Needs neither torch nor a GPU.
"""

from __future__ import annotations

import math
import shlex
import statistics
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from marginbench.fields import Shape

from . import metrics

SCHEMA_VERSION: Literal[2] = 2
# Of lines without a digest.
UNPROTECTED = 1

Status = Literal["ok", "worse", "not_run"]
# A result's status, and the word for it wherever people read it. (A training's: see
# `suites.quality.jobs.STATUS_WORDS`.)
STATUS_WORDS: dict[str, str] = {"ok": "passed", "worse": "failed", "not_run": "not run"}

# The median of an even number of rounds is one sum and one halving; half an ulp each, with room.
_MEDIAN_TOLERANCE = 4 * 2.0**-52


# What a case or a run took.
Seconds = Annotated[float, Field(ge=0, le=1e9)]
_CHANGED = "the line was changed after it was measured; measure the case again"


class Protected(BaseModel):
    """A line whose file gives it a digest."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    schema_version: Literal[1, 2] = SCHEMA_VERSION
    digest: str = ""

    def text(self) -> str:
        """The line as JSON, without its digest."""
        return self.model_dump_json(exclude={"digest"})

    @property
    def should_have_digest(self) -> bool:
        return self.schema_version > UNPROTECTED


class _Line(Protected):
    run: str
    session: str


class CaseKey(BaseModel):
    """What was measured. ``id`` is how the command line names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
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
    # The variant's own, by letter.
    sizes: tuple[tuple[str, int], ...] = Field(default=(), exclude_if=lambda sizes: not sizes)

    @property
    def shape(self) -> Shape:
        return Shape(self.batch, self.dim, self.classes, self.sizes)

    @property
    def own_sizes(self) -> str:
        """As a table shows them after the variant's name."""
        return "".join(f" {letter}={size:,}" for letter, size in self.sizes)

    @property
    def id(self) -> str:
        shape = str(self.shape)
        parts = (self.suite, self.loss, self.variant, shape, self.dtype, self.device, self.data)
        return "/".join((*parts, f"s{self.seed}"))


class Provenance(BaseModel):
    """Enough to measure the line again. ``machine`` and ``versions`` are identity: where they
    differ, timed figures are not compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    commit: str
    dirty: bool
    machine: str
    versions: dict[str, str]
    command: str
    measured_at: str


class Session(_Line):
    kind: Literal["session"] = "session"
    command: str
    preset: str
    seed: int
    started_at: str
    commit: str
    dirty: bool
    identity: dict[str, Any]
    information: dict[str, Any]
    plan: list[str]

    @field_validator("command")
    @classmethod
    def _can_be_given_again(cls, command: str) -> str:
        try:
            if shlex.split(command):
                return command
        except ValueError:  # a quote that is never closed
            pass
        raise ValueError(f"command: expected a command line; got {command!r}: {_CHANGED}")


def _check_range(field: str, metric: str, figure: float | None, low: float, high: float) -> None:
    if figure is not None and not low <= figure <= high:
        raise ValueError(
            f"{field}: expected {metric} from {low:g} to {high:g}; got {figure!r}: {_CHANGED}"
        )


class Result(_Line):
    """One metric of one contender in one case.

    ``of`` narrows the metric: reduction and quantity for errors, instrument for times.
    ``rounds`` are the raw figures in the order taken; round k of two contenders of a case was
    taken back to back. ``value`` is their median, or the exact figure; null where nothing was
    measured, with the reason. ``protocol`` says how: clock, cache, warm-up, rounds, order.
    """

    kind: Literal["result"] = "result"
    case: CaseKey
    contender: str
    metric: str
    of: dict[str, str] = {}
    status: Status
    reason: str = ""
    value: float | None = None
    rounds: list[float] = []
    protocol: dict[str, Any] = {}
    provenance: Provenance

    @model_validator(mode="after")
    def _can_have_been_measured(self) -> Result:
        for figure in (*self.rounds, self.value):
            _check_range("value", self.metric, figure, *metrics.range_of(self.metric))
        if self.rounds and self.value is not None:
            middle = statistics.median(self.rounds)
            if abs(self.value - middle) > _MEDIAN_TOLERANCE * abs(middle):
                raise ValueError(
                    f"value: expected the median of its rounds, {middle!r}; got {self.value!r}: "
                    f"{_CHANGED}"
                )
        limit = self._limit()
        if self.status == "ok" and self.value is not None and self.value > limit:
            raise ValueError(
                f"status: expected a figure that passed to be at most its limit, {limit!r}; "
                f"got {self.value!r}: {_CHANGED}"
            )
        return self

    def _limit(self) -> float:
        """Infinite where the line has none of its own: that of a ratio is its error's, and one
        that allows for a selection that flipped is of another distance."""
        limit = self.protocol.get("limit")
        own = self.metric != "error_over_eager" and "flipped" not in self.protocol
        return limit if own and isinstance(limit, int | float) else math.inf


class Training(_Line):
    """One trained network: its settings, its metrics by epoch, the final ones, and what figures
    are drawn from. ``job`` is all that it takes to train it again."""

    kind: Literal["training"] = "training"
    name: str
    loss: str
    variant: str
    contender: str
    dataset: str
    seed: int
    status: Status
    reason: str = ""
    study: str = ""
    arm: str = ""
    job: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    epochs: list[dict[str, float | None]] = []
    metrics: dict[str, float | None] = {}
    series: dict[str, list[float]] = {}
    mlflow: dict[str, str] = {}
    provenance: Provenance

    @model_validator(mode="after")
    def _can_have_been_measured(self) -> Training:
        for name, figure in (pair for row in (self.metrics, *self.epochs) for pair in row.items()):
            low, high = metrics.range_of(name)
            # Nothing is trained yet in the row of epoch 0.
            _check_range("metrics", name, figure, min(low, 0.0), high)
        return self


class CaseEnd(_Line):
    kind: Literal["case_end"] = "case_end"
    case: str
    seconds: Seconds


class RunEnd(_Line):
    kind: Literal["run_end"] = "run_end"
    seconds: Seconds


Line = Session | Result | Training | CaseEnd | RunEnd
