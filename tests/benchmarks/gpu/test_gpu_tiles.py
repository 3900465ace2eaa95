"""Tiles timed one by one and the table that follows, on stand-ins for a GPU's times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_gpu_session import recorded, session, small, with_child

from benchmarks.gpu import cells, tiles
from benchmarks.gpu.journal import Journal
from benchmarks.instruments.rows import Row
from marginbench.shared import linear_lse_tiles, replays, tuning
from suites import gpu
from suites.schema import CaseKey

CASES = gpu.plan(dry_run=True).tiles
CASE = next(case for case in CASES if case.dtype == "float32")


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """Tuning as on a GPU; each call is run once, and the later, the faster."""
    calls: list[Callable[[], Any]] = []

    def replayed_s(call: Callable[[], Any]) -> float:
        calls.append(call)
        call()
        return 1.0 / len(calls)

    monkeypatch.setattr(tuning, "_can_time", lambda given: True)
    monkeypatch.setattr(replays, "replayed_s", replayed_s)
    return calls


def test_the_plan_has_rows_many_and_few_a_bias_and_cosines_and_both_kinds_of_number():
    cases = gpu.plan().tiles
    entries = {
        (linear_lse_tiles._shape_class(case.batch, case.dim), case.dtype, case.loss)
        for case in cases
    }
    assert len(entries) == len(cases) == 8
    assert {entry[:2] for entry in entries} == {
        (shape, dtype) for shape in ("many rows", "few rows") for dtype in ("bfloat16", "float32")
    }
    assert len({case.id for case in gpu.plan().cases}) == len(gpu.plan().cases)


def test_every_candidate_is_timed_in_both_passes_and_the_fastest_marked(timed: list):
    reason, timings = tiles.timed(CASE)
    found = [tiles._rows(CASE, name, timings[name], reason) for name in timings]
    streams = linear_lse_tiles.streams(*_given())
    backwards = linear_lse_tiles.backwards(*_given())
    assert list(timings) == ["forward", "backward"]
    assert [len(rows) for rows in found] == [len(streams), len(backwards)]
    assert len(timed) == len(streams) + len(backwards)
    for rows, candidates in zip(found, (streams, backwards), strict=True):
        assert [row.protocol["tile"] for row in rows] == [asdict(one) for one in candidates]
        assert all(row.status == "ok" and row.protocol["timed"] == "replay" for row in rows)
        assert [row.protocol["fastest"] for row in rows] == [False] * (len(rows) - 1) + [True]
        assert [row.protocol["table"] for row in rows] == [True] + [False] * (len(rows) - 1)
    assert tuning.timings() == []  # and nothing of it stays


def test_what_does_not_compile_says_so(timed: list, monkeypatch: pytest.MonkeyPatch):
    def fails(call: Callable[[], Any]) -> float:
        timed.append(call)
        if len(timed) == 2:
            raise RuntimeError("out of resource: shared memory")
        return 1.0

    monkeypatch.setattr(replays, "replayed_s", fails)
    reason, timings = tiles.timed(CASE)
    rows = tiles._rows(CASE, "forward", timings["forward"], reason)
    assert [row.status for row in rows] == ["ok", "not_run"] + ["ok"] * (len(rows) - 2)
    assert "shared memory" in rows[1].reason


def test_without_a_gpu_each_candidate_says_why_and_float32_is_multiplied_in_two_ways():
    rows = [row for part in tiles.rows(CASE) for row in part]
    assert {(row.of["pass"], row.of["numbers"]) for row in rows} == {
        (name, numbers) for name in ("forward", "backward") for numbers in ("ieee", "tf32")
    }
    assert {(row.status, row.reason) for row in rows} == {("not_run", tiles.NO_GPU)}


def test_a_tile_is_spelt_as_the_call_that_makes_it():
    @dataclass(frozen=True)
    class Wide(linear_lse_tiles.Tile):
        descriptors: bool = False
        registers: int | None = None

    assert tiles._parts(Wide(128, 256, 64, 8, 3, descriptors=True)) == [
        "Wide(128, 256, 64, 8, 3, descriptors=True)"
    ]
    one = linear_lse_tiles.Tile(64, 64, 32, 4, 3)
    backward = linear_lse_tiles.Backward(one, one, replace(one, rows=128))
    assert tiles._parts(backward)[1:] == ["Tile(64, 64, 32, 4, 3)", "Tile(128, 64, 32, 4, 3)"]


def _given() -> tuple[Any, ...]:
    return torch.device(CASE.device), getattr(torch, CASE.dtype), CASE.batch, CASE.dim


def _line(case: CaseKey, name: str, tile: str, seconds: float, **how: Any) -> dict[str, Any]:
    parts = [tile] if name == "forward" else [tile, tile, tile]
    protocol = {"entry": ["SHARED", "sm_90", "16-bit", "many rows"], "parts": parts,
                "table": tile == "A", "timed": "replay", **how}  # fmt: skip
    of = {"pass": name, "numbers": "16-bit", "tile": tile}
    return {"kind": "result", "case": case.plain(), "metric": tiles.METRIC, "status": "ok",
            "of": of, "value": seconds, "protocol": protocol}  # fmt: skip


def test_an_entry_changes_where_a_tile_is_clearly_faster_over_all_cases():
    bias, cosines = CASES[0].key, CASES[1].key
    lines = [
        # B is a half of the time in one case and level in the other; C is faster, but in one alone.
        _line(bias, "forward", "A", 2.0), _line(cosines, "forward", "A", 4.0),
        _line(bias, "forward", "B", 1.0), _line(cosines, "forward", "B", 4.0),
        _line(bias, "forward", "C", 0.5),
        # Nearly level: not worth another order of sums.
        _line(bias, "backward", "A", 1.0), _line(bias, "backward", "B", 0.98, timed="calls"),
    ]  # fmt: skip
    said, pasted = tiles.proposal(lines)
    assert said == (
        '# sm_90, ("16-bit", "many rows"), today from SHARED: forward 0.71 of today\'s time '
        "(cases: 2, by replay); backward stays (cases: 1, by calls and replay)"
    )
    assert pasted == 'OWN["sm_90"]: ("16-bit", "many rows"): _tiles(B, A, A, A),'


def test_without_todays_time_or_any_gain_nothing_is_pasted():
    case = CASES[0].key
    assert tiles.proposal([]) == []
    lines = [_line(case, "forward", "A", 1.0), _line(case, "forward", "B", 1.1)]
    (said,) = tiles.proposal(lines)
    assert "forward stays" in said and "backward not timed" in said
    (said,) = tiles.proposal([_line(case, "forward", "B", 1.0)])
    assert "forward not timed" in said


def test_a_session_times_tiles_before_the_rest_and_writes_what_follows(tmp_path: Path):
    handed: list[str] = []
    plan = replace(small(speed=1), tiles=CASES[:2])
    session(tmp_path, plan, with_child(before=lambda lane: handed.append(lane.name)))
    assert handed[-3:] == ["tiles", "tiles", "speed"]
    assert recorded(tmp_path).complete
    assert not (tmp_path / tiles.FILE).exists()  # the stand-in timed none


def test_the_proposal_is_put_beside_the_records(tmp_path: Path, timed: list):
    journal = Journal(tmp_path, dry_run=True)
    journal.begin("python -m benchmarks.gpu_session", "gpu-dry-run", [CASE.id], {})
    reason, timings = tiles.timed(CASE)
    for name, timing in timings.items():
        journal.results(CASE, tiles._rows(CASE, name, timing, reason))
    journal.end_case(CASE, 1.0)
    journal.end_run(1.0)
    journal.close()
    found = tiles.propose(journal.path)
    (last,) = tiles._parts(linear_lse_tiles.streams(*_given())[-1])
    assert found[1].startswith(f'OWN["sm_90"]: ("ieee", "few rows"): _tiles({last}, Tile(')
    assert (tmp_path / tiles.FILE).read_text().splitlines() == found
    assert tiles.propose(journal.path) == found  # it is ours, and is replaced
    assert all(result.metric == tiles.METRIC for result in recorded(tmp_path).results)


def test_a_case_without_time_has_a_cell_that_says_so(tmp_path: Path):
    (row,) = cells.rest(CASE, gpu.DRY_RUN, "time budget spent", set())
    assert (row.contender, row.metric, row.status) == ("triton", tiles.METRIC, "not_run")
    assert cells.rest(CASE, gpu.DRY_RUN, "late", {(Row("triton", tiles.METRIC).contender,
                                                   tiles.METRIC)}) == []  # fmt: skip
