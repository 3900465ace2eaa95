"""Tuning finds the fastest tile and keeps it, in one process or several, and says so."""

from __future__ import annotations

import json
import subprocess
import sys
import types
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from marginbench.shared import launching, tile_cache, tuning

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Candidate:
    size: int


CANDIDATES = [Candidate(16), Candidate(32), Candidate(64)]
GIVEN = torch.zeros(5, 48)
SIZES = {"B": 5, "D": 48}


@pytest.fixture
def cache(monkeypatch, tmp_path: Path) -> Path:
    """A file of its own, and a GPU that isn't there: a call takes the seconds that it returns."""
    path = tmp_path / "folder" / "tiles.json"
    monkeypatch.setenv(tuning.CACHE, str(path))
    monkeypatch.setattr(tuning, "_can_time", lambda given: True)
    monkeypatch.setattr(tuning, "_time_s", lambda call: call())
    _new_process()
    yield path
    _new_process()


def _new_process() -> None:
    tuning.forget()
    tile_cache.TileCache.at.cache_clear()
    tuning._key.cache_clear()


SECONDS = {16: 3.0, 32: 1.0, 64: 2.0}


def _run(calls: list[int], failing: tuple[int, ...] = (), kind: str = "test") -> float:
    def call(tile: Candidate) -> float:
        calls.append(tile.size)
        if tile.size in failing:
            raise RuntimeError("out of resource: shared memory")
        return SECONDS[tile.size]

    return tuning.tuned(kind, GIVEN, SIZES, CANDIDATES, call)


def _sources() -> list[tuple[dict, str]]:
    return [(choice["tile"], choice["source"]) for choice in tuning.choices()]


def test_off_by_default(cache: Path, monkeypatch):
    monkeypatch.delenv(tuning.AUTOTUNE, raising=False)
    calls: list[int] = []
    assert _run(calls) == SECONDS[16]
    assert calls == [16] and not cache.exists()
    assert _sources() == [({"size": 16}, "table")]


def test_the_environment_turns_it_on(cache: Path, monkeypatch):
    monkeypatch.setenv(tuning.AUTOTUNE, "1")
    assert _run([]) == SECONDS[32]
    with tuning.autotuning(False):
        assert _run([]) == SECONDS[16]


def test_the_fastest_is_kept(cache: Path):
    with tuning.autotuning():
        first: list[int] = []
        assert _run(first) == SECONDS[32]
        assert first == [16, 32, 64, 32]
        assert _sources() == [({"size": 32}, "tuned")]
        again: list[int] = []
        _run(again)
        assert again == [32]
    (entry,) = json.loads(cache.read_text())["choices"].values()
    assert [tried["time_s"] for tried in entry["tried"]] == [3.0, 1.0, 2.0]


def test_what_fails_is_skipped_and_noted(cache: Path):
    with tuning.autotuning():
        assert _run([], failing=(16, 32)) == SECONDS[64]
    (entry,) = json.loads(cache.read_text())["choices"].values()
    assert "shared memory" in entry["tried"][0]["failed"]


def test_where_all_fail_the_error_says_why(cache: Path):
    with tuning.autotuning(), pytest.raises(RuntimeError, match="out of resource"):
        _run([], failing=(16, 32, 64))
    assert not cache.exists()


def test_another_process_reads_the_file(cache: Path):
    with tuning.autotuning():
        _run([])
        _new_process()
        calls: list[int] = []
        assert _run(calls) == SECONDS[32]
    assert calls == [32]
    assert _sources() == [({"size": 32}, "cache")]


def test_a_tile_that_is_no_candidate_any_more_is_timed_again(cache: Path):
    with tuning.autotuning():
        _run([])
        _new_process()
        text = cache.read_text().replace('"tile": {\n    "size": 32', '"tile": {\n    "size": 7')
        cache.write_text(text)
        calls: list[int] = []
        _run(calls)
    assert calls == [16, 32, 64, 32]


def test_another_triton_is_another_key(cache: Path, monkeypatch):
    with tuning.autotuning():
        _run([])
        _new_process()
        monkeypatch.setattr(tuning.triton, "__version__", "99.0")
        calls: list[int] = []
        _run(calls)
    assert len(calls) == 4
    assert len(json.loads(cache.read_text())["choices"]) == 2


def test_sizes_are_rounded_and_alignment_counts():
    def key(batch: int, dim: int, kind: str = "test") -> str:
        return tuning.key_of(kind, GIVEN, {"B": batch, "D": dim})

    assert key(600, 512) == key(1024, 512)
    assert len({key(600, 512), key(512, 512), key(600, 500), key(600, 512, "other")}) == 4
    with launching.recorded("gfx942"):
        assert "gfx942" in key(600, 512)


@pytest.mark.parametrize("content", ["{not json", "[]", '{"schema": "another", "choices": {}}'])
def test_a_damaged_file_is_reported_and_replaced(cache: Path, content: str):
    cache.parent.mkdir()
    cache.write_text(content)
    with tuning.autotuning(), pytest.warns(RuntimeWarning, match=r"tile cache .*tiles\.json"):
        assert _run([]) == SECONDS[32]
    assert json.loads(cache.read_text())["schema"] == tile_cache.SCHEMA
    _new_process()
    with tuning.autotuning(), warnings.catch_warnings():
        warnings.simplefilter("error")
        calls: list[int] = []
        _run(calls)
    assert calls == [32]


def test_a_file_that_cannot_be_written_costs_nothing_but_the_file(cache: Path):
    cache.parent.write_text("a file where a folder should be")
    with tuning.autotuning(), pytest.warns(RuntimeWarning, match="memory alone|can't be read"):
        assert _run([]) == SECONDS[32]
        calls: list[int] = []
        _run(calls)
    assert calls == [32]


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path):
    path = tmp_path / "tiles.json"
    code = (
        "import sys; from pathlib import Path\n"
        "from marginbench.shared.tile_cache import TileCache\n"
        "cache = TileCache(Path(sys.argv[1])); cache.get('')\n"
        "for n in range(20): cache.put(f'{sys.argv[2]} {n}', {'tile': {'size': n}})"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), name], cwd=ROOT) for name in "ab"
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    assert len(json.loads(path.read_text())["choices"]) == 40


def test_never_in_a_recording(cache: Path):
    calls: list[int] = []
    with tuning.autotuning(), launching.recorded("sm_90"):
        _run(calls)
    assert calls == [16] and not cache.exists()


def test_never_off_a_gpu_or_while_a_graph_is_captured(monkeypatch):
    gpu = types.SimpleNamespace(device=torch.device("cuda"))
    assert not tuning._can_time(GIVEN)
    monkeypatch.setattr(launching, "INTERPRETED", False)
    assert not tuning._can_time(GIVEN)
    for capturing in (False, True):
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda now=capturing: now)
        assert tuning._can_time(gpu) is not capturing
    monkeypatch.setattr(launching, "INTERPRETED", True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert not tuning._can_time(gpu)
