"""Trainings run side by side, each once, whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import quality_fakes as fakes

from benchmarks import library
from benchmarks.records.kinds import KEY
from benchmarks.records.loading import Training, load, read_lines
from benchmarks.steps import Step
from benchmarks.training import running
from benchmarks.training.planning import Asked, Plan
from benchmarks.training.tracking.store import COMPLETE, Store

ROOT = Path(__file__).resolve().parents[3]
TRAIN = "quality_fakes:train"


def run(plan: Plan, folder: Path) -> tuple[running.Outcome, list[Step]]:
    steps: list[Step] = []
    outcome = running.run(
        plan, Asked(), folder, processes=2, mlflow=False, progress=steps.append, train=TRAIN
    )
    return outcome, steps


def trained_lines(folder: Path) -> list[Training]:
    lines = read_lines(folder / "records.jsonl")
    return [line for line in lines if isinstance(line, Training)]


def said(folder: Path, word: str) -> list[str]:
    lines = (folder / "trained.txt").read_text().splitlines()
    return [line for line in lines if line.startswith(word)]


def test_what_goes_wrong_in_a_training_costs_that_one_alone_and_is_tried_again(tmp_path: Path):
    plan = fakes.plan("fine", "killed", "raises", "missing", "diverges")
    outcome, steps = run(plan, tmp_path)
    found = {one.arm: (one.status, one.reason) for one in trained_lines(tmp_path)}
    assert found["fine"] == ("ok", "") and found["diverges"][0] == "worse"
    assert found["killed"][0] == "not_run" and "signal 9" in found["killed"][1]
    assert found["raises"] == ("not_run", "OSError: no such luck")
    assert found["missing"][0] == "not_run" and "install" in found["missing"][1]
    assert outcome.exit_code == 1 and outcome.diverged == 1 and sum(outcome.not_run.values()) == 3
    ended = [step for step in steps if step.finished]
    assert [step.done for step in ended] == [1, 2, 3, 4, 5] and ended[-1].total == 5
    outcome, _ = run(plan, tmp_path)
    lines = trained_lines(tmp_path)
    # The one that was killed went on; the others came to the same again, which is recorded once.
    assert Counter(one.arm for one in lines) == {
        "fine": 1, "killed": 2, "raises": 1, "missing": 1, "diverges": 1
    }  # fmt: skip
    assert {one.arm: one.status for one in lines}["killed"] == "ok"
    assert load(outcome.records).complete


def test_only_what_this_machine_lacks_is_3(tmp_path: Path):
    outcome, _ = run(fakes.plan("fine", "missing", "diverges"), tmp_path)
    assert outcome.exit_code == running.NOT_POSSIBLE


def test_a_damaged_dataset_is_3_and_its_other_trainings_are_not_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    fakes.warn_once.cache_clear()  # each text is logged once a process
    bad = [replace(fakes.job("damaged", seed), dataset="folder:/faces") for seed in range(6)]
    outcome, _ = run(Plan([*bad, fakes.job("fine", seed=9)]), tmp_path)
    assert outcome.exit_code == running.NOT_POSSIBLE
    reason = "dataset folder:/faces: images: can't be decoded"
    assert outcome.not_run == {reason: 6} and outcome.done == outcome.total == 7
    begun = said(tmp_path, "begin closed/damaged")
    assert len(begun) <= 2, "those that the two workers had when the first failed"
    assert said(tmp_path, "epoch 2 closed/fine")
    logged = [record.getMessage() for record in caplog.records]
    assert logged == ["faces: left out: identities without a picture: 1 (none)"]


def test_the_command_reports_a_store_that_refuses_and_how_to_send_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import functools

    from click.testing import CliRunner

    from benchmarks.training import planning
    from commands.root import cli
    from reports.quality import build

    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setattr(planning, "plan", lambda asked: fakes.plan("fine", "diverges"))
    monkeypatch.setattr(running, "run", functools.partial(running.run, train=TRAIN))
    monkeypatch.setattr(build, "build", lambda out_dir: out_dir / "index.html")
    folder = tmp_path / "run"
    result = CliRunner().invoke(cli, ["quality", "run", "--out", str(folder)])
    assert result.exit_code == 3, result.output
    assert result.output.count("2 of 2 trainings not in MLflow: ") == 1
    assert "http://127.0.0.1:9" in result.output and "secret" not in result.output
    assert f"marginbench quality sync {folder}" in result.output


def test_each_row_has_the_command_that_trains_it_again(tmp_path: Path):
    outcome, _ = run(fakes.plan("fine"), tmp_path)
    (line,) = trained_lines(tmp_path)
    assert line.provenance.command == f"marginbench quality run --only {line.name}"
    before = outcome.records.read_bytes()
    assert run(fakes.plan("fine"), tmp_path)[1] == []
    assert outcome.records.read_bytes() == before, "a complete run is left as it is"


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "tests" / "support" / "quality_fakes.py"), *arguments]
    path = os.pathsep.join([*library.paths(), str(ROOT / "tests" / "support")])
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        # A shell that runs the tests in the background has them, and what they start, ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (folder / "trained.txt").exists() or not said(folder, "epoch"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


def held_against_the_plan(folder: Path) -> None:
    assert Counter(one.name for one in trained_lines(folder)) == {
        job.name: 1 for job in fakes.plan("slow-a", "slow-b", seeds=2).jobs
    }
    epochs = Counter(said(folder, "epoch"))
    assert len(epochs) == 12 and set(epochs.values()) == {1}, "a checkpoint was not gone on from"


def test_kill_9_of_the_run_ends_its_workers_and_it_goes_on(tmp_path: Path, seed: int):
    folder = tmp_path / "run"
    process = started(folder, "--out", str(folder), "--workers", "2", "--no-mlflow")
    time.sleep(random.Random(seed).uniform(0, 1.2))
    process.kill()
    process.communicate()
    # At once: the lock makes it wait for what the old workers still write.
    process = started(folder, "--resume", str(folder))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    held_against_the_plan(folder)


def test_a_run_that_was_killed_gives_mlflow_each_training_once(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "run"
    process = started(folder, "--out", str(folder), "--workers", "2")
    time.sleep(random.Random(seed).uniform(0, 6))
    process.kill()
    process.communicate()
    process = started(folder, "--resume", str(folder))
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    held_against_the_plan(folder)
    to, lines = Store(folder), {one.name: one for one in trained_lines(folder)}
    runs = list(to.runs())
    assert sorted(run.info.run_name for run in runs) == sorted(lines)
    for run in runs:
        line = lines[run.info.run_name]
        assert line.mlflow == {"store": "mlflow.db", "key": run.data.tags[KEY]}
        assert (run.info.status, run.data.tags[COMPLETE]) == ("FINISHED", "yes")
        history = to.client.get_metric_history(run.info.run_id, "recall_at_1")
        rows = [(int(row["epoch"] or 0), row["recall_at_1"]) for row in line.epochs]
        assert [(p.step, p.value) for p in history] == rows


def test_ctrl_c_is_130_says_how_to_go_on_and_goes_on(tmp_path: Path):
    folder = tmp_path / "run"
    process = started(folder, "--out", str(folder), "--workers", "2", "--no-mlflow")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"marginbench quality run --resume {folder}" in errors and "Traceback" not in errors
    process = started(folder, "--resume", str(folder))
    process.communicate(timeout=60)
    assert process.returncode == 0
    held_against_the_plan(folder)


@pytest.mark.parametrize("arguments", [("--seed", "3"), ("--full",)])
def test_a_resumed_run_keeps_its_options(tmp_path: Path, arguments: tuple[str, ...]):
    from click.testing import CliRunner

    from commands.root import cli

    result = CliRunner().invoke(cli, ["quality", "run", "--resume", str(tmp_path), *arguments])
    assert result.exit_code == 2 and "--resume" in result.output
