"""The record: one JSON line for each result, appended and flushed as it is measured.

A run's file holds five kinds of line: ``session`` (the machine and the plan; one for each start
or resumption), ``result``, ``training``, ``case_end`` (all results of a case are there) and
``run_end``. Results count only once their case has ended, so a killed run loses at most the case
it was in and measures nothing twice. What a run of ours can't have written (a line twice, a value
that is not its rounds' median, a number as text, a line of another run) is refused, never repaired.
Needs neither torch nor a GPU to read.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from . import record_files
from .record_files import RecordError

SCHEMA_VERSION: Literal[1] = 1

Status = Literal["ok", "worse", "not_run"]
# A result's status, and the word for it wherever people read it. (A training's: see
# `suites.quality.jobs.STATUS_WORDS`.)
STATUS_WORDS: dict[str, str] = {"ok": "passed", "worse": "failed", "not_run": "not run"}

# The median of an even number of rounds is one sum and one halving; half an ulp each, with room.
_MEDIAN_TOLERANCE = 4 * 2.0**-52


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    schema_version: Literal[1] = SCHEMA_VERSION
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

    @property
    def id(self) -> str:
        shape = f"B{self.batch}-D{self.dim}-C{self.classes}"
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
    def _is_its_median(self) -> Result:
        if self.rounds and self.value is not None:
            middle = statistics.median(self.rounds)
            if abs(self.value - middle) > _MEDIAN_TOLERANCE * abs(middle):
                raise ValueError(
                    f"value: expected the median of its rounds, {middle!r}; got {self.value!r}: "
                    "the line was changed after it was measured; measure the case again"
                )
        return self


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


class CaseEnd(_Line):
    kind: Literal["case_end"] = "case_end"
    case: str
    seconds: float


class RunEnd(_Line):
    kind: Literal["run_end"] = "run_end"
    seconds: float


Line = Session | Result | Training | CaseEnd | RunEnd
_ADAPTER: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def read_lines(path: Path) -> Iterator[Line]:
    """Every line of a record file, checked. Raises RecordError, naming line and remedy."""
    for where, text in record_files.lines(path):
        try:
            # Strict: "1" is no number and 1 no text; no line of ours needs the leniency.
            yield _ADAPTER.validate_json(text, strict=True)
        except ValidationError as error:
            raise RecordError(f"{where}: {explain(text, error)}") from None


def explain(text: str, error: ValidationError) -> str:
    """Why a line is not valid: its version, or the first field that is wrong."""
    try:
        version = json.loads(text).get("schema_version")
    except (ValueError, AttributeError):
        return "expected a JSON object; the line is damaged"
    if version != SCHEMA_VERSION or isinstance(version, bool):
        return f"expected schema version {SCHEMA_VERSION}; got {version!r}; {_mend(version)}"
    first = error.errors()[0]
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}; got {str(first.get('input'))[:80]!r}"


def _mend(version: object) -> str:
    if not isinstance(version, int) or isinstance(version, bool):
        return "it is not a record of MarginBench"
    if version < SCHEMA_VERSION:
        return "an older MarginBench wrote it: measure again with: marginbench run"
    return "a newer MarginBench wrote it: read it with that one"


@dataclass(frozen=True)
class Run:
    """What a record file holds that counts: each ended case once, as the session that ended it
    measured it (the last, if it was measured again). ``orphans`` counts results of cases that did
    not end; ``complete`` says that the last session reached its end."""

    sessions: tuple[Session, ...]
    results: tuple[Result, ...]
    trainings: tuple[Training, ...]
    ended: frozenset[str]
    complete: bool
    orphans: int


def load(path: Path) -> Run:
    """Reads a record file; raises RecordError where it is missing, cut off, damaged or, as a dry
    run's is (tiny shapes, to try a session out), no evidence."""
    return measured(arrange(read_lines(path)), path)


def measured(run: Run, path: Path) -> Run:
    if any(session.information.get("dry_run") for session in run.sessions):
        raise RecordError(
            f"records: expected a measured run; {path} is a dry run's, which is no evidence; "
            "measure with: python -m benchmarks.gpu_session"
        )
    return run


def arrange(lines: Iterable[Line]) -> Run:
    """A run's lines in the order written, as what counts of them.

    Raises RecordError where a line can't follow those before it: a second one for the same cell,
    case, network or end in one session, a result after its case has ended, another run's line.
    """
    sessions: list[Session] = []
    open_results: dict[tuple[str, str], list[Result]] = {}
    ended: dict[str, list[Result]] = {}
    trainings: dict[str, Training] = {}
    complete = False
    seen: dict[Any, int] = {}
    run = ""
    for number, line in enumerate(lines, start=1):
        run = run or line.run
        if line.run != run:
            raise RecordError(
                f"records: line {number}: expected run {run}, as in line 1; got run {line.run}: "
                "two runs were put into one file; keep each in a folder of its own"
            )
        _only_once(line, number, seen)
        match line:
            case Session():
                sessions.append(line)
                complete = False
            case Result():
                open_results.setdefault((line.session, line.case.id), []).append(line)
            case CaseEnd():
                ended[line.case] = open_results.pop((line.session, line.case), [])
            case Training():
                trainings[line.name] = line
            case RunEnd():
                complete = True
    return Run(
        sessions=tuple(sessions),
        results=tuple(result for results in ended.values() for result in results),
        trainings=tuple(trainings.values()),
        ended=frozenset(ended),
        complete=complete,
        orphans=sum(map(len, open_results.values())),
    )


def _only_once(line: Line, number: int, seen: dict[Any, int]) -> None:
    """Each key comes once in a session; ``seen`` holds the number of its line."""
    key: tuple[Any, ...] = (line.session, line.kind)
    if isinstance(line, Result):
        end = seen.get((line.session, "case_end", line.case.id))
        if end:
            raise RecordError(
                f"records: line {number}: expected no result of {line.case.id} after its end in "
                f"line {end}; {_EDITED}"
            )
        of = (*sorted(line.of.items()), str(line.protocol.get("mode")))
        key += (line.case.id, line.contender, line.metric, of)
    elif isinstance(line, CaseEnd):
        key += (line.case,)
    elif isinstance(line, Training):
        key += (line.name,)
    first = seen.setdefault(key, number)
    if first != number:
        raise RecordError(f"records: line {number}: it repeats line {first}; {_EDITED}")


_EDITED = "the file was edited or put together: restore it, or measure again with: marginbench run"
