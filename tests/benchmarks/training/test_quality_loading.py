"""The measuring of what steps wait for: that it measures, not what comes out."""

from __future__ import annotations

from pathlib import Path

from benchmarks.training import loading_speed
from benchmarks.training.loader import readers


def test_the_share_that_steps_wait_is_measured_on_a_folder(tmp_path: Path):
    name = loading_speed.made_up_folder(tmp_path, identities=4, pictures=6)
    got = loading_speed.measured(name, steps=2)
    assert got.dataset == name
    assert got.trained_per_second > 0 and got.read_per_second > 0
    assert 0 < got.waited_share < 1


def test_a_gpu_is_given_more_readers_and_a_cpu_not_more_than_two():
    assert readers("cpu", cores=64) == readers("cpu", cores=1) == 2
    assert [readers("cuda", cores=c) for c in (1, 2, 4, 16, 64)] == [2, 2, 3, 8, 8]
