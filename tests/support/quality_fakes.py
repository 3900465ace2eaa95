"""Trainings that only say that they were trained, for the runner's tests; imported by workers.

``python tests/support/quality_fakes.py ARGUMENTS`` is ``marginbench quality run ARGUMENTS`` with
four slow ones as its plan.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import types
from pathlib import Path

from benchmarks.notices import warn_once
from benchmarks.training.planning import Plan
from suites.jobs import Job, Report, Settings, Term, Underway, at_fault
from suites.schema import TrainingResult


def job(arm: str, seed: int = 0, epochs: int = 2, study: str = "closed") -> Job:
    """``arm`` says what its training does: see `train`."""
    return Job(study, arm, (Term("softmax"),), "digits", seed, Settings(epochs))


def plan(*arms: str, seeds: int = 1, epochs: int = 2) -> Plan:
    return Plan([job(arm, seed, epochs) for arm in arms for seed in range(seeds)])


def train(job: Job, out_dir: Path, report: Report) -> TrainingResult:
    """Leaves a line in the folder for each beginning and each epoch, and goes on after the epoch
    that it had reached, as a training with checkpoints does."""
    log = out_dir / "trained.txt"
    reached = out_dir / job.name.replace("/", "-")
    append(log, f"begin {job.name}")
    first = int(reached.read_text()) if reached.exists() else 0
    for epoch in range(first + 1, job.settings.epochs + 1):
        time.sleep(0.3 if job.arm.startswith("slow") else 0.01)
        if job.arm == "killed" and first == 0:
            reached.write_text(str(epoch))
            os.kill(os.getpid(), signal.SIGKILL)
        if job.arm == "raises":
            raise OSError("no such luck")
        reached.write_text(str(epoch))
        append(log, f"epoch {epoch} {job.name}")
        report(Underway(result(job, "running", "", epoch), epoch, job.settings.epochs))
    status, reason = "ok", ""
    if job.arm == "missing":
        status, reason = "not_run", "fashion: install dataset-fashion-mnist"
    if job.arm == "damaged":
        warn_once("faces: left out: identities without a picture: 1 (none)")
        status, reason = "not_run", f"{at_fault(job.dataset)}images: can't be decoded"
    if job.arm == "diverges":
        status, reason = "worse", "diverged: loss is inf"
    return result(job, status, reason, job.settings.epochs)


def result(job: Job, status: str, reason: str, epochs: int) -> TrainingResult:
    rate = random.Random(job.name).random()
    rows = [{"epoch": float(epoch), "recall_at_1": rate} for epoch in range(epochs + 1)]
    return TrainingResult(
        name=job.name, loss=job.loss, variant="", contender=job.contender, dataset=job.dataset,
        seed=job.seed, status=status, reason=reason, study=job.study, arm=job.arm,
        job=job.plain(), metrics={"recall_at_1": rate}, epochs=[] if status == "not_run" else rows,
    )  # fmt: skip


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def main(arguments: list[str]) -> None:
    import functools

    from benchmarks.training import planning, running
    from commands.root import cli

    # In place of the module, whose import of Matplotlib takes longer than all of these trainings.
    build = types.ModuleType("reports.quality.build")
    build.build = lambda out_dir: out_dir / "index.html"
    sys.modules[build.__name__] = build
    planning.plan = lambda asked: plan("slow-a", "slow-b", seeds=2, epochs=3)
    running.run = functools.partial(running.run, train="quality_fakes:train")
    cli(["quality", "run", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
