"""From a gate's record file to one gate: checked to be whole, of one gate, and not at odds with
itself."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gate import records
from benchmarks.gate.records import GateEnd, GateExact, GateGroup, GateStart, GateVerdict, Line
from benchmarks.records.loading import RecordError

WORSE = ("SLOWER", "WRONG")
UNKNOWN = ("INCONCLUSIVE", "NOT MEASURED")
_ORDER = (*WORSE, *UNKNOWN, "FASTER", "EQUIVALENT")
MEANING = {0: "no regression", 1: "regression", 2: "bad usage", 3: "inconclusive or not measured"}
_AGAIN = "run the gate again: make gate"
_LOST = "it vanished: the base has it, the candidate has not, and no list says that it was to go"


@dataclass(frozen=True)
class GateRun:
    """One gate. ``verdicts`` are as recorded; ``groups`` are by case and stage, in the order taken.
    ``exact`` is None where the exact half was not asked for, ``end`` where the gate was killed."""

    path: Path
    start: GateStart
    exact: GateExact | None
    verdicts: tuple[GateVerdict, ...]
    groups: Mapping[tuple[str, str], tuple[GateGroup, ...]]
    end: GateEnd | None

    @property
    def ended(self) -> GateEnd:
        """Raises RecordError for a gate that was killed."""
        if self.end is None:
            raise RecordError(f"gate: {self.path} has no last line: that gate was killed; {_AGAIN}")
        return self.end

    @property
    def exit_code(self) -> int:
        return self.ended.exit_code

    @property
    def meaning(self) -> str:
        """Of the exit code, in words."""
        return MEANING[self.exit_code]

    def rows(self) -> list[GateVerdict]:
        """A verdict for each case that was to be timed: the worst first, then in the order of the
        plan. A case without one is NOT MEASURED: it must not vanish from what is shown. So is one
        that the candidate has lost."""
        found = {verdict.case: verdict for verdict in self.verdicts}
        why = self.end.outcome if self.end else "the gate was killed"
        rows = [
            found.get(case) or _missing(case, f"no verdict was reached: {why}")
            for case in self.start.cases
        ]
        rows += [_missing(case, _LOST) for case in self.start.lost]
        return sorted(rows, key=lambda row: _ORDER.index(row.verdict))

    def spread_s(self, case: str) -> float | None:
        """Half the distance between the quartiles of the candidate's seconds a call, over the legs
        of the last stage; None with fewer than two legs."""
        groups = self.groups.get((case, "confirmation")) or self.groups.get((case, "screen"), ())
        legs = [leg / group.calls for group in groups for block in group.candidate for leg in block]
        if len(legs) < 2:
            return None
        low, _, high = statistics.quantiles(legs, n=4, method="inclusive")
        return (high - low) / 2 * 1e-9


def _missing(case: str, reason: str) -> GateVerdict:
    return GateVerdict(
        case=case, verdict="NOT MEASURED", reason=reason, ratio=None, low=None, high=None,
        p_value=None, base_s=None, candidate_s=None, groups=0, seconds=0.0, detectable=None,
        shared=False,
    )  # fmt: skip


def load(path: Path, *, unfinished: bool = False) -> GateRun:
    """The gate in ``path``. With ``unfinished``, one that was killed between two lines too.

    Raises RecordError where the file is missing, empty, cut off or damaged, where its gate was
    killed, where it holds lines of more than one gate, and where its exit code says that all is
    well and its lines say otherwise.
    """
    lines = list(records.read(path))
    if not lines:
        raise RecordError(f"gate: expected a gate's records in {path}; it is empty; {_AGAIN}")
    run = _arranged(lines, path)
    if not unfinished:
        _check_code(run)
    return run


def _arranged(lines: Sequence[Line], path: Path) -> GateRun:
    start, end = lines[0], lines[-1]
    if not isinstance(start, GateStart):
        raise RecordError(f"gate: {path}, line 1: expected a gate's start; got {start.kind!r}: "
                          f"the beginning is gone; {_AGAIN}")  # fmt: skip
    whole = isinstance(end, GateEnd)
    exact: GateExact | None = None
    verdicts: dict[str, GateVerdict] = {}
    groups: dict[tuple[str, str], dict[int, GateGroup]] = {}
    inner = lines[1:-1] if whole else lines[1:]
    for number, line in enumerate(inner, start=2):
        if isinstance(line, GateStart | GateEnd):
            raise _mixed(path, number, f"a second {line.kind!r}")
        if isinstance(line, GateExact):
            if exact is not None:
                raise _mixed(path, number, "a second outcome of the exact half")
            exact = line
            continue
        if line.case not in start.cases:
            raise _mixed(path, number, f"{line.case!r}, which its first line does not list")
        if isinstance(line, GateVerdict):
            if line.case in verdicts:
                raise _mixed(path, number, f"a second verdict on {line.case!r}")
            verdicts[line.case] = line
        else:
            of_stage = groups.setdefault((line.case, line.stage), {})
            if line.number in of_stage:
                raise _mixed(path, number, f"group {line.number} of {line.case!r} twice")
            of_stage[line.number] = line
    return GateRun(
        path, start, exact, tuple(verdicts.values()),
        {key: tuple(of_stage.values()) for key, of_stage in groups.items()},
        end if isinstance(end, GateEnd) else None,
    )  # fmt: skip


def _mixed(path: Path, number: int, what: str) -> RecordError:
    return RecordError(f"gate: {path}, line {number}: expected the lines of one gate; got {what}: "
                       f"two gates' records are mixed; {_AGAIN}")  # fmt: skip


def _check_code(run: GateRun) -> None:
    """A code that the lines do not bear out would be shown as a pass, or as less than it is."""
    code = run.exit_code
    if code not in MEANING:
        raise RecordError(f"gate: {run.path}: exit_code: expected one of 0 to 3; got {code}")
    worse, unknown = _against(run)
    against = (worse if code != 1 else "") or (unknown if code == 0 else "")
    if against:
        raise RecordError(f"gate: {run.path}: its exit code is {code}, but {against}: it was "
                          f"changed by hand; {_AGAIN}")  # fmt: skip


def _against(run: GateRun) -> tuple[str, str]:
    """What demands a code of 1, and what speaks against a code of 0; empty where nothing does."""
    said = {row.verdict: f"{row.case!r} is {row.verdict}" for row in reversed(run.rows())}
    worse = next((said[name] for name in WORSE if name in said), "")
    unknown = next((said[name] for name in UNKNOWN if name in said), "")
    if run.exact is None and not run.verdicts and not run.start.unchanged:
        unknown = "nothing was measured"
    elif run.exact is not None and run.exact.code:
        of_exact = f"the exact half ended with {run.exact.code}"
        worse, unknown = (worse or of_exact, unknown) if run.exact.code == 1 else (worse, of_exact)
    return worse, unknown


def of_verdict(rows: Iterable[GateVerdict], *names: str) -> list[GateVerdict]:
    return [row for row in rows if row.verdict in names]
