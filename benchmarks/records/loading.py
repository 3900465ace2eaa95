"""The record: one JSON line for each result, appended and flushed as it is measured.

A run's file holds five kinds of line: ``session`` (the machine and the plan; one for each start
or resumption), ``result``, ``training``, ``case_end`` (all results of a case are there) and
``run_end``. Results count only once their case has ended, so a killed run loses at most the case
it was in and measures nothing twice. What a run of ours can't have written (a line twice, a value
that is not its rounds' median, a number as text, a line of another run) is refused, never repaired.
Since schema 2 each line ends with a running digest (`digests`), so that any change is found; lines
of schema 1 are read, and are not protected. Needs neither torch nor a GPU to read.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from . import digests, record_files
from .lines import (
    SCHEMA_VERSION,
    UNPROTECTED,
    CaseEnd,
    Line,
    Provenance,
    Result,
    RunEnd,
    Session,
    Training,
)
from .record_files import RecordError

__all__ = [
    "SCHEMA_VERSION", "CaseEnd", "Line", "Provenance", "RecordError", "Result", "Run", "RunEnd",
    "Session", "Training", "adapter", "arrange", "explain", "load", "read_lines",
]  # fmt: skip


def adapter(line: Any) -> TypeAdapter[Any]:
    """Checks the kinds of line that a file holds: a union of dataclasses, of which ``kind`` says
    one. Nothing but the declared fields is taken, and no NaN."""
    strict = ConfigDict(extra="forbid", allow_inf_nan=False)
    return TypeAdapter(Annotated[line, Field(discriminator="kind")], config=strict)


_ADAPTER: TypeAdapter[Line] = adapter(Line)


def read_lines(path: Path) -> Iterator[Line]:
    """Every line of a record file, checked. Raises RecordError, naming line and remedy."""

    def refused(number: int, text: str, error: Exception) -> RecordError:
        match error:
            case digests.CutOff():
                mend = f"complete the run with: {record_files.resumption(path)}"
                if number == 1:
                    mend = "the run never began: delete the file and start anew"
                why = f"expected a whole line; got one that is cut off; {mend}"
            case digests.Changed():
                why = f"{error}; {_EDITED}"
            case _:
                why = explain(text, error)
        return RecordError(f"records: {path}, line {number}: {why}")

    # Strict: "1" is no number and 1 no text; no line of ours needs the leniency.
    parse = functools.partial(_ADAPTER.validate_json, strict=True)
    expected = operator.attrgetter("should_have_digest")
    return digests.read(record_files.texts(path), parse, refused, expected=expected)


def explain(text: str, error: Exception) -> str:
    """Why a line is not valid: its version, or the first field that is wrong."""
    if not isinstance(error, ValidationError):
        return str(error)
    try:
        version = record_files.parsed(text).get("schema_version")
    except ValueError:
        return "expected a JSON object; the line is damaged"
    if version not in (UNPROTECTED, SCHEMA_VERSION) or isinstance(version, bool):
        known = f"{UNPROTECTED} or {SCHEMA_VERSION}"
        return f"expected schema version {known}; got {version!r}; {_mend(version)}"
    first = error.errors()[0]
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    place = ".".join(str(part) for part in first["loc"])
    extra = first["type"] == "unexpected_keyword_argument"
    said = "Extra inputs are not permitted" if extra else first["msg"]
    return f"{place}: {said}; got {str(first.get('input'))[:80]!r}"


def _mend(version: object) -> str:
    if not isinstance(version, int) or isinstance(version, bool):
        return "it is not a record of MarginBench"
    if version < UNPROTECTED:
        return "an older MarginBench wrote it: measure again with: marginbench run"
    return "a newer MarginBench wrote it: read it with that one"


@dataclass(frozen=True)
class Run:
    """What a record file holds that counts: each ended case once, as the session that ended it
    measured it (the last, if it was measured again). ``orphans`` counts results of cases that did
    not end; ``complete`` says that the last session reached its end, ``protected`` that each line
    has a digest."""

    sessions: tuple[Session, ...]
    results: tuple[Result, ...]
    trainings: tuple[Training, ...]
    ended: frozenset[str]
    complete: bool
    orphans: int
    protected: bool


def load(path: Path) -> Run:
    """Reads a record file; raises RecordError where it is missing, cut off, damaged or, as a dry
    run's is (tiny shapes, to try a session out), no evidence."""
    run = arrange(_shared(read_lines(path)))
    if any(session.information.get("dry_run") for session in run.sessions):
        raise RecordError(
            f"records: expected a measured run; {path} is a dry run's, which is no evidence; "
            "measure with: python -m benchmarks.gpu_session"
        )
    return run


def _shared(lines: Iterable[Line]) -> Iterator[Line]:
    """What many results say alike (case, provenance, protocol) is kept once: half the memory."""
    kept: dict[tuple[str, str], Any] = {}
    for line in lines:
        for name in ("case", "provenance", "protocol", "of") if isinstance(line, Result) else ():
            part = getattr(line, name)
            # As it is written: what differs in the order of its entries is kept twice.
            object.__setattr__(line, name, kept.setdefault((name, repr(part)), part))
        yield line


def arrange(lines: Iterable[Line]) -> Run:
    """A run's lines in the order written, as what counts of them.

    Raises RecordError where a line can't follow those before it: a second one for the same cell,
    case, network or end in one session, a result after its case has ended, another run's line.
    """
    sessions: list[Session] = []
    open_results: dict[tuple[str, str], list[Result]] = {}
    ended: dict[str, list[Result]] = {}
    trainings: dict[str, Training] = {}
    complete, protected = False, True
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
        protected = protected and bool(line.digest)
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
        protected=protected,
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
