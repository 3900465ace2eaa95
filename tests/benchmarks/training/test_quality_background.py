"""Trainings are sent to MLflow beside a run: none waits for the store, and nothing is left over."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import pytest
from tracking_cases import RUN, empty_store, result, with_a_store

from benchmarks.training.tracking import Background, Mirror, background
from benchmarks.training.tracking.store import Store

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def out(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return with_a_store(tmp_path / "run", empty, monkeypatch)


def test_nothing_is_left_running(out: Path, seed: int):
    before = set(threading.enumerate())
    mirroring = Mirror(out, tags={"run": RUN})
    with Background(mirroring) as sending:
        mirroring.hear(result(seed))
        assert list(sending.last())[-1] == 0
    assert set(threading.enumerate()) <= before


def test_a_store_that_says_nothing_is_waited_for_a_minute_alone(
    out: Path, seed: int, monkeypatch: pytest.MonkeyPatch
):
    answers = threading.Event()
    monkeypatch.setattr(Store, "check", lambda self: answers.wait())
    monkeypatch.setattr(background, "_EVERY_S", 0.01)
    monkeypatch.setattr(background, "_SILENT_S", 0.1)
    mirroring = Mirror(out, tags={"run": RUN})
    with Background(mirroring) as sending:
        mirroring.hear(result(seed))
        assert set(sending.last()) == {1}
        ((reason, number),) = mirroring.not_sent().items()
        assert "not answered" in reason and number == 1
        answers.set()


def test_a_training_does_not_wait_for_the_store(
    out: Path, seed: int, monkeypatch: pytest.MonkeyPatch
):
    """And the epochs of a while go together."""
    logged, begun = Store.log, []

    def slow(self: Store, *args: object, **named: object) -> None:
        time.sleep(0.3)
        begun.append(args)
        logged(self, *args, **named)

    monkeypatch.setattr(Store, "log", slow)
    one, mirroring = result(seed, epochs=40), Mirror(out, tags={"run": RUN})
    with Background(mirroring) as sending:
        start = time.monotonic()
        for row in range(1, len(one.epochs) + 1):
            mirroring.hear(dataclasses.replace(one, status="running", epochs=one.epochs[:row]))
        mirroring.hear(one)
        assert time.monotonic() < start + 0.2
        for _ in sending.last():
            pass
    assert mirroring.not_sent() == {} and len(begun) < 10
    (run,) = Store(out).runs()
    history = Store(out).client.get_metric_history(run.info.run_id, "recall_at_1")
    assert [p.value for p in history] == [row["recall_at_1"] for row in one.epochs]
