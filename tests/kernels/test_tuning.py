"""Tuning finds the fastest tile and keeps it, in one process or several, and says so."""

from __future__ import annotations

import json
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from marginbench.shared import launching, replays, tile_cache, tuning

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Candidate:
    size: int


CANDIDATES = [Candidate(16), Candidate(32), Candidate(64)]
GIVEN = torch.zeros(5, 48)
ON_A_GPU = types.SimpleNamespace(is_cuda=True, device=GIVEN.device, dtype=GIVEN.dtype)
SIZES = {"B": 5, "D": 48}


@pytest.fixture
def cache(monkeypatch, tmp_path: Path) -> Path:
    """A file of its own, and a GPU that isn't there: a call takes the seconds that it returns."""
    path = tmp_path / "folder" / "tiles.json"
    monkeypatch.setenv(tuning.CACHE, str(path))
    monkeypatch.setattr(tuning, "_can_time", lambda given: True)
    for way in ("replayed_s", "called_s"):
        monkeypatch.setattr(replays, way, lambda call: call())
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
    (timing,) = tuning.timings()
    assert (timing["kind"], timing["timed"], timing["tried"]) == ("test", "replay", entry["tried"])


def test_where_one_can_not_be_captured_all_are_timed_by_calls(cache: Path, monkeypatch):
    def replayed(call) -> float:
        seconds = call()
        if seconds == SECONDS[64]:
            raise replays.NotCaptured("it waits for the host")
        return seconds / 100

    monkeypatch.setattr(replays, "replayed_s", replayed)
    with tuning.autotuning():
        assert _run([], failing=(32,)) == SECONDS[64]
    (entry,) = json.loads(cache.read_text())["choices"].values()
    assert entry["timed"] == "calls"
    assert [tried.get("time_s") for tried in entry["tried"]] == [3.0, None, 2.0]


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


def test_never_off_a_gpu(monkeypatch):
    monkeypatch.setattr(launching, "INTERPRETED", False)
    assert not tuning._can_time(GIVEN)
    assert tuning._can_time(ON_A_GPU)
    monkeypatch.setattr(launching, "INTERPRETED", True)
    assert not tuning._can_time(ON_A_GPU)


@pytest.fixture
def capturing(cache: Path, monkeypatch) -> Callable[[bool], None]:
    """Begins and ends the capture of a graph that isn't there."""

    def set_to(now: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: now)

    set_to(False)
    return set_to


def _on_a_gpu(calls: list[int], sizes: dict[str, int] = SIZES) -> None:
    tuning.tuned("test", ON_A_GPU, sizes, CANDIDATES, lambda tile: calls.append(tile.size) or 1.0)


def test_a_capture_takes_the_tile_that_ran_last(capturing, monkeypatch):
    monkeypatch.setattr(replays, "replayed_s", lambda call: call() and 1 / calls[-1])
    calls: list[int] = []
    _on_a_gpu(calls)
    capturing(True)
    with tuning.autotuning():  # on or off: nothing is timed, and the tile stays
        _on_a_gpu(calls)
    assert calls == [16, 16]
    capturing(False)
    with tuning.autotuning():
        _on_a_gpu(calls)
    assert calls[2:] == [16, 32, 64, 64]
    capturing(True)
    _on_a_gpu(calls)
    assert calls[-1] == 64
    assert _sources() == [({"size": 64}, "tuned")]


@pytest.mark.parametrize("tuned_before", [False, True])
def test_what_never_ran_is_refused_in_a_capture_before_any_launch(capturing, tuned_before: bool):
    calls: list[int] = []
    if tuned_before:  # by another process: its choice was never compiled here
        with tuning.autotuning():
            _on_a_gpu(calls)
        _new_process()
    known = "test: not run .* capture .*B=5, D=48 .*float32.*warm up"
    capturing(True)
    with tuning.autotuning(tuned_before):
        calls.clear()
        with pytest.raises(RuntimeError, match=known):
            _on_a_gpu(calls)
    assert calls == [] and tuning.choices() == []
    capturing(False)
    _on_a_gpu(calls)
    capturing(True)
    # The same key, but other sizes: 16 divides one of them, for which Triton compiles once more.
    with pytest.raises(RuntimeError, match="B=5, D=64"):
        _on_a_gpu(calls, {"B": 5, "D": 64})
    other = types.SimpleNamespace(**vars(ON_A_GPU) | {"device": torch.device("meta")})
    with pytest.raises(RuntimeError, match="not run"):
        tuning.tuned("test", other, SIZES, CANDIDATES, _must_not_run)


def test_a_call_that_failed_is_none_that_ran(capturing):
    def fails(tile: Candidate) -> None:
        raise ValueError("out of resource")

    with pytest.raises(ValueError, match="out of resource"):
        tuning.tuned("test", ON_A_GPU, SIZES, CANDIDATES, fails)
    capturing(True)
    with pytest.raises(RuntimeError, match="not run"):
        _on_a_gpu([])


def test_a_tile_that_is_never_tuned_is_refused_too(capturing):
    capturing(True)
    with pytest.raises(RuntimeError, match="test: not run"):
        tuning.note("test", ON_A_GPU, SIZES, CANDIDATES[0])
    capturing(False)
    tuning.note("test", ON_A_GPU, SIZES, CANDIDATES[0])
    capturing(True)
    tuning.note("test", ON_A_GPU, SIZES, CANDIDATES[0])


def test_a_recording_runs_nothing_and_is_never_refused(capturing):
    calls: list[int] = []
    capturing(True)
    with launching.recorded("sm_90"):
        _on_a_gpu(calls)
        tuning.note("test", ON_A_GPU, SIZES, CANDIDATES[0])
    assert calls == [16]
    with pytest.raises(RuntimeError, match="not run"):
        _on_a_gpu(calls)


def _must_not_run(tile: Candidate) -> None:
    raise AssertionError(f"it ran with {tile}")
