"""Base and candidate in separate processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.gate import apart
from benchmarks.gate.decision import Rule
from benchmarks.gate.worker import NO_PLANT, WorkerRequest
from suites.gate import plan

ROOT = Path(__file__).resolve().parents[3]


def test_a_process_gives_each_case_a_time():
    cases = tuple(plan("smoke", "cpu")[:2])
    got = apart._ask(WorkerRequest((ROOT,), "screen", cases, Rule(), 2, 0, 1))
    assert set(got) == {case.id for case in cases}
    assert all(isinstance(value, int) and value > 0 for value in got.values()), got


def test_a_stage_is_pairs_of_processes(monkeypatch):
    """One of each side in turn, planted in the candidate alone, until every sample is settled."""
    cases = tuple(plan("smoke", "cpu")[:2])
    ask = WorkerRequest((ROOT, ROOT / "new"), "screen", cases, Rule(), 2, 0, 1, ("p:q", 0.5))
    asked: list[WorkerRequest] = []

    def answer(one: WorkerRequest) -> dict[str, Any]:
        asked.append(one)
        slow = 2_000 if one.plant[0] else 1_000
        return {case.id: "broke" if case == cases[1] else slow for case in one.cases}

    monkeypatch.setattr(apart, "_ask", answer)
    first, second = apart.stage(ask, lambda kind, what: None)
    assert first.flagged and not first.shared
    assert {(group.base, group.candidate) for group in first.groups} == {
        (((1_000, 1_000),), ((2_000, 2_000),))
    }
    assert (second.side, second.reason) == ("unknown", "base: broke")
    assert {(one.trees, one.plant) for one in asked} == {
        ((ROOT,), NO_PLANT), ((ROOT / "new",), ("p:q", 0.5)),
    }  # fmt: skip
    assert len({one.trees for one in asked[:2]}) == 2 and asked[0].seed == asked[1].seed
    assert [len(one.cases) for one in asked[:3]] == [2, 2, 1]
