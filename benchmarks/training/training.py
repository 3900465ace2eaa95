"""Trains a network as a job says, each result as plain data."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from marginbench import catalogue
from suites.jobs import Job, Report, Settings, Term, Underway, at_fault
from suites.presets import Preset
from suites.schema import TrainingResult

from ..notices import warn_once
from . import backbones, datasets
from .checkpoints import Checkpoint, Unusable, model_path
from .loop import Diverged, Run, cpu_threads
from .preparing import check_batch
from .terms import NotRun, training_of
from .tracking import Mirror

# A search's trials and the bench's own look at training are made again in seconds by their seeds.
_NO_MODEL = ("search", "training")


def plan(preset: Preset, seed: int, device: str = "cpu", contender: str = "eager") -> list[Job]:
    """Every training of the preset: each loss of the catalogue, from each of the seeds."""
    jobs: list[Job] = []
    for loss in catalogue.losses():
        try:
            variant = training_of(loss).variant
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
    progress: Report | None = None,
) -> Iterator[TrainingResult]:
    """Trains with every loss (or those in ``losses``), yielding each result as it is there; skips
    the names in ``done``.

    A loss that fails takes only its own result with it. ``tags`` (commit, versions, machine) go
    to MLflow, whose store lies in ``out_dir`` unless MLFLOW_TRACKING_URI is set.
    """
    mirror = Mirror(out_dir, tags=tags)

    def heard(at: Underway) -> None:
        mirror.hear(at.result, at.facts)
        mirror.send()
        if progress:
            progress(at)

    for job in plan(preset, seed, device, contender):
        if job.name not in done and (losses is None or job.loss in losses):
            result = run(job, out_dir, heard)
            mirror.hear(result)
            mirror.send()
            yield replace(result, mlflow=mirror.place(result))


def run(
    job: Job,
    out_dir: Path | None = None,
    progress: Report | None = None,
    resume: bool = True,
) -> TrainingResult:
    """One training, whatever happens in it: see `TrainingResult` for how failures are recorded.

    With ``out_dir`` its state is kept there after each epoch until it has ended (in
    ``checkpoints``), and with ``resume`` one that was killed or has failed goes on from it, to bit
    for bit the same metrics on a CPU as if it had never stopped. A state that is damaged, or was
    saved of another job, dataset or PyTorch, is not used: the training starts anew. What was done
    about a state stands in the result's settings under ``checkpoint``. Its network is
    kept in ``models``, see `backbones.load`, but for a search's trial and the bench's own look.
    ``progress`` is called after each epoch, when its state is safe.
    """
    result = TrainingResult(
        name=job.name, loss=job.loss, variant=_variant(job), contender=job.contender,
        dataset=job.dataset, seed=job.seed, status="ok", study=job.study, arm=job.arm,
        job=job.plain(),
    )  # fmt: skip
    dataset = None
    with cpu_threads(job.settings.threads):
        try:
            _check_device(job.device)
            dataset = _load(job)
            training = Run(job, dataset.validation() if job.validation else dataset)
            checkpoint, note = _checkpoint(training, out_dir, resume)
            result = replace(result, settings={**training.description(), "checkpoint": note})
        except Exception as error:
            return _not_run(result, error, dataset)
        try:
            result = _trained(training, result, checkpoint, progress)
            if out_dir and job.study not in _NO_MODEL and result.status == "ok":
                _keep(training, out_dir)
        except Exception as error:
            result = _not_run(result, error, dataset)
        # Kept to the very end: a process that is killed before this repeats an epoch at most. And
        # after a failure (a disk that was gone, a GPU without memory), to go on once it is mended.
        if checkpoint and result.status != "not_run":
            checkpoint.delete()
        return result


def _load(job: Job) -> datasets.Dataset:
    try:
        dataset = datasets.load(job.dataset)
        check_batch(job.settings, dataset.images)
        return dataset
    except datasets.DataError as error:
        raise NotRun(f"{at_fault(job.dataset)}{error}") from error
    except OSError as error:  # a folder that can't be read, say
        raise NotRun(f"{at_fault(job.dataset)}{type(error).__name__}: {error}") from error


def _not_run(
    result: TrainingResult, error: Exception, dataset: datasets.Dataset | None
) -> TrainingResult:
    """``dataset`` is what was trained on, None where it came to none."""
    plain = isinstance(error, (NotRun, datasets.Missing, datasets.DataError))
    reason = str(error) if plain else f"{type(error).__name__}: {error}"
    if isinstance(error, datasets.Undecodable):
        reason = at_fault(result.dataset) + (_undecodable(result, dataset) or reason)
    return replace(result, status="not_run", reason=reason)


def _undecodable(result: TrainingResult, dataset: datasets.Dataset | None) -> str:
    """Every file that can't be decoded, so that all can be mended at once; empty for none."""
    if dataset is None or not isinstance(dataset.images, datasets.FileImages):
        return ""
    count = len(dataset.images.files)
    warn_once(f"{result.dataset}: a file can't be decoded; checks all {count:,}")
    return dataset.images.undecodable()


def _check_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise NotRun("needs CUDA")


def _variant(job: Job) -> str:
    """The variants that are trained, joined as their losses are."""
    try:
        return "+".join(t.variant or training_of(catalogue.get(t.loss)).variant for t in job.terms)
    except (NotRun, KeyError):
        return "none"


def _checkpoint(training: Run, out_dir: Path | None, resume: bool) -> tuple[Checkpoint | None, str]:
    """The file to keep the state in, and what was found there; the run goes on from it."""
    if out_dir is None:
        return None, "none kept"
    identity = {
        "layout": 2,
        "job": training.job.plain(),
        "dataset": training.dataset.manifest,
        "torch": str(torch.__version__),
    }
    checkpoint = Checkpoint(out_dir / "checkpoints", training.job.name, identity)
    if not resume:
        return checkpoint, "kept while training"
    try:
        state = checkpoint.load()
    except Unusable as why:
        return checkpoint, f"started anew: {why}"
    if state is None:
        return checkpoint, "kept while training"
    training.restore(state)
    return checkpoint, f"resumed after epoch {training.epoch}"


def _trained(
    training: Run,
    result: TrainingResult,
    checkpoint: Checkpoint | None,
    progress: Report | None,
) -> TrainingResult:
    """The result with its epochs; a training that diverges ends with a row of None."""
    rows, series = training.rows_so_far, dict[str, list[float]]()
    try:
        for _ in training.epochs():
            if checkpoint:
                checkpoint.save(training.state())
            if progress:
                so_far = replace(result, status="running", epochs=list(rows))
                epochs = training.settings.epochs
                progress(Underway(so_far, training.epoch, epochs, training.dataset.facts))
        series = training.evaluation.series()
    except Diverged as error:
        rows.append({**dict.fromkeys(rows[-1]), "epoch": float(error.epoch)})
        result = replace(result, status="worse", reason=f"diverged: {error}")
    final = {name: value for name, value in rows[-1].items() if name != "epoch"}
    return replace(result, epochs=rows, metrics=final, series=series)


def _keep(training: Run, out_dir: Path) -> None:
    """Keeps the network with what it takes to use it again."""
    s, job = training.settings, training.job
    facts = {
        "backbone": s.backbone, "image_shape": list(training.image_shape), "dim": s.dim,
        "last_relu": s.last_relu, "unit_embeddings": training.objective.unit_embeddings,
        "job": job.plain(), "dataset_sha256": training.dataset.manifest,
    }  # fmt: skip
    objective = training.objective
    used = {*objective.learnt, *objective.updated}
    beside = {name: field for name, field in objective.fields.items() if name in used}
    backbones.save(model_path(out_dir, job.name), training.network, facts, beside)
