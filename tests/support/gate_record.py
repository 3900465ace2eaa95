"""A gate's record, written through the gate's own writer: all six verdicts, a case without one, and
names that try to break out of a table, a tag, an attribute or a terminal."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gate.records import (
    FILE,
    GateEnd,
    GateExact,
    GateGroup,
    GateStart,
    GateVerdict,
    Line,
    Writer,
)

HOSTILE = (
    "a|b</td><script>x</script> &lt; `c` **d** [e](http://f.g) @h \x1b[31m\x00\n::error::i\u202e"
)
CASES = {
    "equal": "EQUIVALENT", "quick": "FASTER", "unsure": "INCONCLUSIVE", HOSTILE: "SLOWER",
    "bad": "WRONG", "lost": "NOT MEASURED",
}  # fmt: skip


def start(**changes) -> GateStart:
    fields = {
        "command": f"marginbench gate --only '{HOSTILE}' ```",
        "started_at": "2026-01-02T03:04:05+00:00", "base_commit": "b" * 40,
        "candidate_commit": "c" * 40, "dirty": True, "code": "d" * 64,
        "identity": {"cpu": "A | CPU", "versions": {"python": "3.11.9", "torch": "2.13.0"}},
        "information": {"load_average": [0.1, 0.2, 0.3]}, "suite": "smoke", "device": "cpu",
        "seed": 1, "threads": 1, "rule": {}, "cases": [*CASES, "vanished"],
    }  # fmt: skip
    return GateStart(**{**fields, **changes})


def verdict(case: str, name: str) -> GateVerdict:
    timed = name != "NOT MEASURED"
    return GateVerdict(
        case=case, verdict=name, reason=f"why {name} is said of {case}",
        ratio=1.05 if timed else None, low=1.04 if timed else None, high=1.06 if timed else None,
        p_value=None, base_s=2e-6 if timed else None, candidate_s=2.1e-6 if timed else None,
        groups=2 if timed else 0, seconds=1.5, detectable=0.02 if timed else None, shared=True,
    )  # fmt: skip


def group(case: str, number: int, legs: tuple[int, int]) -> GateGroup:
    return GateGroup(
        case=case, stage="screen", number=number, calls=10, orders=["ABBA"],
        base=[(20_000, 20_000)], candidate=[legs], retaken=0, interrupted=0,
    )  # fmt: skip


EXACT = GateExact(
    code=1, rows=40, repinned=["launches: 3, was 4"],
    differences=[f"peak_bytes of {HOSTILE}: 10, pinned 8", "::error::other"],
)  # fmt: skip
END = GateEnd(exit_code=1, outcome="1 SLOWER; 1 WRONG", seconds=33.25)


def lines() -> list[Line]:
    groups = [group("quick", 0, (21_000, 21_000)), group("quick", 1, (23_000, 25_000))]
    return [start(), EXACT, *groups, *(verdict(*item) for item in CASES.items()), END]


def written(folder: Path, what: list[Line]) -> Path:
    writer = Writer(folder / FILE)
    for line in what:
        writer.append(line)
    writer.close()
    (folder / FILE).touch()  # of no line, too
    return folder / FILE


def small(code: int, *what: Line, cases: list[str] | None = None) -> list[Line]:
    return [start(cases=cases or []), *what, GateEnd(exit_code=code, outcome="so", seconds=1.0)]
