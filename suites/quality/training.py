"""Trains a network with every loss of the catalogue, each result as plain data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from kernels import catalogue

from ..presets import Preset
from . import datasets
from .jobs import Job, Row, Settings, Term, TrainingResult
from .loop import Diverged, Run, cpu_threads
from .objective import NotRun, recipe
from .tracking import Mirror

Progress = Callable[[str, int, int], None]


def plan(preset: Preset, seed: int, device: str = "cpu", contender: str = "eager") -> list[Job]:
    """Every training of the preset: each loss of the catalogue, from each of the seeds."""
    jobs: list[Job] = []
    for loss in catalogue.losses():
        try:
            variant = recipe(loss).variant
        except NotRun:
            variant = "none"
        jobs += [
            Job(
                "training", f"{loss.name}/{variant}", (Term(loss.name),), "digits", seed + offset,
                Settings(preset.training_epochs), contender, device,
            )
            for offset in range(preset.training_seeds)
        ]  # fmt: skip
    return jobs


def run_all(
    preset: Preset,
    out_dir: Path,
    seed: int,
    device: str = "cpu",
    *,
    contender: str = "eager",
    losses: Collection[str] | None = None,
    done: Collection[str] = (),
    tags: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Iterator[TrainingResult]:
    """Trains with every loss (or those in ``losses``), yielding each result as it is there; skips
    the names in ``done``.

    A loss that fails takes only its own result with it. ``tags`` (commit, versions, machine) go
    to MLflow, whose store lies in ``out_dir`` unless MLFLOW_TRACKING_URI is set.
    ``progress(name, epoch, epochs)`` is called after each epoch, and with 0 before the first.
    """
    mirror = Mirror(out_dir, tags or {})
    for job in plan(preset, seed, device, contender):
        if job.name not in done and (losses is None or job.loss in losses):
            yield run(job, mirror, progress)


def run(job: Job, mirror: Mirror | None = None, progress: Progress | None = None) -> TrainingResult:
    """One training, whatever happens in it: see `TrainingResult` for how failures are told."""
    result = TrainingResult(
        name=job.name, loss=job.loss, variant=job.arm.partition("/")[2], contender=job.contender,
        dataset=job.dataset, seed=job.seed, status="ok", study=job.study, arm=job.arm,
        job=job.plain(),
    )  # fmt: skip
    with cpu_threads(job.settings.threads):
        try:
            training = Run(
                catalogue.get(job.loss), job.contender, datasets.load(job.dataset), job.settings,
                job.seed, job.device,
            )  # fmt: skip
            result = replace(result, settings=training.description())
            result = _trained(training, result, progress)
        except NotRun as error:
            return replace(result, status="not_run", reason=str(error))
        except Exception as error:
            return replace(result, status="not_run", reason=f"{type(error).__name__}: {error}")
        if mirror is None:
            return result
        test = training.tests["test"]
        x_ND = training.embed(test.images) if result.status == "ok" else None
        return replace(result, mlflow=mirror.log(result, x_ND, test.identities))


def _trained(training: Run, result: TrainingResult, progress: Progress | None) -> TrainingResult:
    """The result with its epochs; a training that diverges ends with a row of None."""
    rows: list[Row] = []
    try:
        for row in training.epochs():
            rows.append(row)
            if progress:
                progress(result.name, len(rows) - 1, training.settings.epochs)
    except Diverged as error:
        rows.append({**dict.fromkeys(rows[-1]), "epoch": float(len(rows))})
        result = replace(result, status="worse", reason=f"diverged: {error}")
    final = {name: value for name, value in rows[-1].items() if name != "epoch"}
    return replace(result, epochs=rows, metrics=final)
