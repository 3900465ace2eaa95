"""Kills runs with SIGKILL at random points, resumes them, and holds the files against a run that
nobody killed. ``python tests/support/killed_run.py FOLDER SEED KILLS`` prints what it did as JSON.

Only the figures are drawn instead of measured; the session, the journal and the disk are real. A
process of its own, without threads, so that each attempt is a fork of it and takes milliseconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.instruments.rows import Row
from benchmarks.records.loading import CaseEnd, Line, Result, Run, Training, load, read_lines
from benchmarks.run import session
from benchmarks.run.measurement import Measurement
from benchmarks.steps import Step
from benchmarks.training import training
from suites.presets import FAST
from suites.selection import parse

# What a resumed run may say differently from one that was never interrupted.
DECLARED = {"run", "session", "measured_at", "started_at", "seconds", "information",
            "digest"}  # fmt: skip
CASES = [
    replace(parse(f"speed/softmax/linear/B{batch}-D5-C3/float32/cpu/drawn/s0"), compile=False)
    for batch in range(4, 10)
]
TRAINED = ("softmax", "center")
REAL_WRITE, REAL_FSYNC = os.write, os.fsync


class Drawn(Measurement):
    """Rows whose figures follow from the case alone, so that measuring again gives them again."""

    def rows(self) -> Iterator[list[Row]]:
        draw = random.Random(self.case.id)
        for name in ("reference", "eager"):
            of = {"reduction": "mean", "quantity": "value"}
            yield [Row(name, "relative_error", of, value=draw.random() * 1e-7)]
        for name in ("reference", "eager"):
            rounds = [draw.uniform(1.0, 1.1) * 1e-3 for _ in range(5)]
            timed = {"instrument": "interleaved"}
            yield [
                Row(name, "both_time_s", timed, value=sorted(rounds)[2], rounds=rounds),
                Row(name, "peak_bytes", value=float(draw.randrange(10**6))),
            ]


def trained(preset: Any, folder: Path, seed: int, device: str, **given: Any) -> Iterator[Any]:
    """In place of `training.run_all`."""
    for job in training.plan(preset, seed, device):
        if job.loss in given["losses"] and job.name not in given["done"]:
            rate = random.Random(job.name).random()
            yield training.TrainingResult(
                name=job.name, loss=job.loss, variant=job.arm, contender=job.contender,
                dataset=job.dataset, seed=job.seed, status="ok", metrics={"recall_at_1": rate},
            )  # fmt: skip


def measure(folder: Path, ended: Any = lambda step: None) -> int:
    outcome = session.run(
        CASES, FAST, folder, contenders=["eager"], training=TRAINED, progress=ended
    )
    return outcome.exit_code


def doomed(folder: Path, pipe: int, after_bytes: float, after_calls: float) -> None:
    """A child that dies in the middle of a write, or between two calls; reports by the pipe what it
    took for safe on the disk."""
    left = {"bytes": after_bytes, "calls": after_calls}

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write(file: int, data: bytes) -> int:
        left["calls"] -= 1
        if left["calls"] < 0:
            die()
        if left["bytes"] < len(data):
            REAL_WRITE(file, data[: int(left["bytes"])])
            die()
        left["bytes"] -= len(data)
        return REAL_WRITE(file, data)

    def fsync(file: int) -> None:
        left["calls"] -= 1
        if left["calls"] < 0:
            die()
        REAL_FSYNC(file)

    def report(step: Step) -> None:
        if step.finished:
            REAL_WRITE(pipe, f"{step.finished}\n".encode())

    os.write, os.fsync = write, fsync
    os._exit(measure(folder, report))


def attempt(folder: Path, draw: random.Random, usual: dict[str, float]) -> tuple[bool, set[str]]:
    """One process, and one way to die: in a write, between two calls, or by the clock. Whether
    it was killed, and what it had reported as ended."""
    way = draw.choice(("bytes", "calls", "clock"))
    point = draw.random() * usual[way]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        endless = float("inf")
        doomed(
            folder, writing, point if way == "bytes" else endless,
            point if way == "calls" else endless,
        )  # fmt: skip
    os.close(writing)
    if way == "clock":
        time.sleep(point)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as pipe_end:
        names = set(pipe_end.read().split())
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status), names


def plain(line: Line | dict) -> Any:
    """A line without the declared fields, as text that can be compared."""
    fields = line if isinstance(line, dict) else asdict(line)
    kept = {k: plain(v) if isinstance(v, dict) else v for k, v in fields.items()}
    kept = {k: v for k, v in kept.items() if k not in DECLARED}
    return kept if isinstance(line, dict) else json.dumps(kept, sort_keys=True)


def whole(run: Run) -> Counter[str]:
    return Counter(map(plain, (*run.results, *run.trainings)))


def lines_of(folder: Path) -> list[Line]:
    """Whole lines only: what a reader sees once the cut-off one is dropped."""
    content = (folder / "records.jsonl").read_bytes() if folder.exists() else b""
    copy = folder.with_suffix(".copy")
    copy.write_bytes(content[: content.rfind(b"\n") + 1])
    found = list(read_lines(copy))
    copy.unlink()
    return found


def done_in(lines: list[Line]) -> list[str]:
    return [
        line.case if isinstance(line, CaseEnd) else line.name
        for line in lines
        if isinstance(line, CaseEnd | Training)
    ]


def after_a_kill(folder: Path, reported: set[str], before: list[Line]) -> None:
    """What was there is there still; what was reported as ended is; one case at most is open."""
    lines = lines_of(folder)
    assert lines[: len(before)] == before, "a line that was on the disk is lost or changed"
    done = Counter(done_in(lines))
    assert set(done.values()) <= {1}, f"ended twice: {done}"
    assert reported <= set(done), f"reported as ended, and lost: {reported - set(done)}"
    assert len(set(done) - set(done_in(before)) - reported) <= 1, "ended, and not reported"
    new = lines[len(before) :]
    open_cases = {line.case.id for line in new if isinstance(line, Result)} - set(done)
    assert len(open_cases) <= 1, f"more than the case being measured is lost: {open_cases}"


def main(folder: Path, seed: int, kills: int) -> dict[str, Any]:
    draw = random.Random(seed)
    measure(folder / "unkilled")
    path = folder / "unkilled" / "records.jsonl"
    usual = {"bytes": path.stat().st_size, "calls": 1.4 * len(path.read_bytes().splitlines())}
    start = time.monotonic()
    measure(folder / "warm")
    usual["clock"] = 1.5 * (time.monotonic() - start)
    expected = whole(load(path))
    done = runs = orphans = 0
    while done < kills:
        at = folder / f"run{runs}"
        for _ in range(draw.choice((1, 2, 3, 4))):
            before = lines_of(at) if (at / "records.jsonl").exists() else []
            killed, reported = attempt(at, draw, usual)
            done += killed
            if (at / "records.jsonl").exists():
                after_a_kill(at, reported, before)
        child = os.fork()
        if child == 0:
            os._exit(measure(at))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        found = load(at / "records.jsonl")
        assert found.complete and whole(found) == expected, f"run {runs} came out different"
        again = Counter(done_in(lines_of(at)))
        assert set(again.values()) == {1} and len(again) == len(found.sessions[0].plan)
        orphans += found.orphans
        runs += 1
    return {"kills": done, "runs": runs, "orphans": orphans}


if __name__ == "__main__":
    torch.set_num_threads(1)
    session.Measurement, training.run_all = Drawn, trained
    out = Path(sys.argv[1])
    tempfile.tempdir = str(out)
    print(json.dumps(main(out, int(sys.argv[2]), int(sys.argv[3]))))
