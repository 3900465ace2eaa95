"""``marginbench quality recipe``: a paper's training, shown with its sources, and trained."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from benchmarks.records import folders, kinds, record_files

from .. import devices, progress
from ..endings import INTERRUPTED, fail
from ..messages import say
from ..parameters import Choice, Whole
from ..paths import QUALITY_RUNS, Folder, new_folder
from ..recorded import command_line
from .names import known_dataset


@click.command("recipe")
@click.argument("name", required=False)
@click.option("--dataset", default="", help="Train on this: folder:/path, lfw:/path, or a name.")
@click.option("--backbone", default="resnet", show_default=True,
              help="Our network, in place of the paper's.")  # fmt: skip
@click.option("--epochs", type=Whole(1), default=None,
              help="Number of epochs.  [default: the paper's iterations, or 10]")  # fmt: skip
@click.option("--seed", type=Whole(0, 2**31 - 1), default=0, show_default=True,
              help="Seed of the training.")  # fmt: skip
@click.option("--device", type=Choice(["cpu", "cuda"]), default="cpu", show_default=True,
              help="Where to train.")  # fmt: skip
@click.option("--out", type=Folder(), help="A new or empty folder, or that of the same command "
              "interrupted, which continues.  [default: a new one]")  # fmt: skip
@click.option("--no-mlflow", is_flag=True, help="Write our own records only.")
def recipe_command(name: str | None, **options: Any) -> None:
    """Show what a paper states about its training, and repeat it.

    NAME is the recipe; without it, all are listed. Each setting is shown with its source; then
    follows what the paper does not state, or a training here can't reproduce. Trains only with
    --dataset.

    \b
    Examples:
      marginbench quality recipe
      marginbench quality recipe facenet2015
      marginbench quality recipe facenet2015 --dataset folder:/path --epochs 2

    Exit codes: 0 shown, 2 bad usage; with --dataset those of marginbench quality run.
    """
    from marginbench.catalogue import UnknownName
    from suites import recipes, selection

    if name is None:
        for one in recipes.recipes():
            say(f"{one.name}: {one.title} ({one.paper})")
        return
    try:
        selection.known("NAME", name, [one.name for one in recipes.recipes()])
        if options["dataset"]:
            known_dataset(options["dataset"])
    except UnknownName as error:
        raise click.UsageError(str(error)) from None
    found = recipes.get(name)
    _show(found)
    if options["dataset"]:
        sys.exit(_train(found, options))


def _show(recipe: Any) -> None:
    """Every setting with its status and source, then what is left open."""
    from suites import recipes

    say(f"{recipe.title}\n{recipe.paper}\n")
    for key, one in recipe.settings.items():
        where = f"  [{one.status}: {one.source}]" if one.stated else ""
        say(f"  {key} = {one.value}{where}")
    say("\nWhat a training here can't say, or the paper does not state:")
    for limit in recipes.limits(recipe):
        say(f"  {limit}")


def _train(recipe: Any, options: dict[str, Any]) -> int:
    from benchmarks.training import datasets, planning, running
    from reports.quality.build import build
    from suites import recipes

    devices.chosen(options["device"], "train")
    out_dir = options["out"] or new_folder(QUALITY_RUNS, after=f"-{recipe.name}")
    command = command_line(
        f"marginbench quality recipe {recipe.name}", recipe_command, options,
        leave_out=("name", "out", "no_mlflow"), defaults_too=True,
    )  # fmt: skip
    _check_folder(out_dir, command)
    try:
        data = datasets.load(options["dataset"])
    except (datasets.Missing, datasets.DataError, OSError) as error:
        fail(f"--dataset: {error}")
    given = {key: options[key] for key in ("backbone", "seed", "device")}
    job = recipes.job(recipe, options["dataset"], len(data.rows("train")), **given)
    if options["epochs"]:
        epochs = options["epochs"]
        job = replace(job, settings=replace(job.settings, epochs=epochs, evaluate_every=epochs))
    say(f"\ntrains {job.name} for {job.settings.epochs} epochs, batches of "
               f"{job.settings.batch}, on the {job.settings.backbone} network")  # fmt: skip
    asked = planning.Asked(seed=options["seed"], device=options["device"])
    with progress.shown("starting") as report:
        outcome = running.run(
            planning.Plan([job]), asked, out_dir, command=command, processes=1,
            mlflow=not options["no_mlflow"], progress=progress.steps(report),
        )  # fmt: skip
        report(0, 0, "drawing the report")
        page = build(out_dir)
    for reason in outcome.not_run:
        say(f"not run: {running.first_line(reason)}", err=True)
    say(f"records: {outcome.records}\nreport:  {page}")
    if outcome.exit_code == INTERRUPTED:
        say(f"interrupted; go on with: {record_files.resumption(outcome.records)}", err=True)
    return outcome.exit_code


def _check_folder(out_dir: Path, command: str) -> None:
    """A run of another command is not gone on with: its networks are others' under these names."""
    record = record_files.find(out_dir)
    began = record_files.head(record).get("command") if record else command
    if began != command:
        what = f"the run of another command: {began}" if began else "a record of something else"
        raise click.BadParameter(f"{out_dir} holds {what}", param_hint="--out")
    folders.check(out_dir, kinds.QUALITY, "--out")
