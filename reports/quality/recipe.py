"""``marginbench quality recipe``: a paper's training, shown with its sources, and trained."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click


@click.command("recipe")
@click.argument("name", required=False)
@click.option("--dataset", default="", help="Train it on this: folder:/path, lfw:/path, or any.")
@click.option("--backbone", default="resnet", show_default=True,
              help="Ours, in place of the paper's network.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), default=None,
              help="So many.  [default: the paper's iterations; 10 if not stated]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="The run's folder; one cut off goes on.  [default: a new one]")  # fmt: skip
@click.option("--no-mlflow", is_flag=True, help="Keep our own records only.")
def recipe_command(name: str | None, **options: Any) -> None:
    """Show what the paper of NAME states of its training, and train it on a dataset.

    Without NAME the recipes are listed. Each setting has its value and where it was read; then
    comes what a training here can't say or the paper does not state. Exit codes are those of
    marginbench quality run.
    """
    from suites import recipes

    if name is None:
        for one in recipes.recipes():
            click.echo(f"{one.name}: {one.title} ({one.paper})")
        return
    try:
        found = recipes.get(name)
    except KeyError as error:
        raise click.BadParameter(str(error.args[0]), param_hint="NAME") from None
    show(found)
    if options["dataset"]:
        sys.exit(_train(found, options))


def show(recipe: Any) -> None:
    """Every setting with its status and source, then what is left open."""
    from suites import recipes

    click.echo(f"{recipe.title}\n{recipe.paper}\n")
    for key, one in recipe.settings.items():
        where = f"  [{one.status}: {one.source}]" if one.stated else ""
        click.echo(f"  {key} = {one.value}{where}")
    click.echo("\nWhat a training here can't say, or the paper does not state:")
    for limit in recipes.limits(recipe):
        click.echo(f"  {limit}")


def _train(recipe: Any, options: dict[str, Any]) -> int:
    from benchmarks.quality import planning, running
    from suites import recipes
    from suites.quality import datasets

    from .build import build
    from .commands import RUNS, _check_device

    _check_device(options["device"])
    try:
        data = datasets.load(options["dataset"])
    except (datasets.Missing, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--dataset") from None
    given = {key: options[key] for key in ("backbone", "seed", "device")}
    job = recipes.job(recipe, options["dataset"], len(data.rows("train")), **given)
    if options["epochs"]:
        epochs = options["epochs"]
        job = replace(job, settings=replace(job.settings, epochs=epochs, evaluate_every=epochs))
    click.echo(f"\ntrains {job.name} for {job.settings.epochs} epochs, batches of "
               f"{job.settings.batch}, on the {job.settings.backbone} network")  # fmt: skip
    out_dir = options["out"] or RUNS / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{recipe.name}"
    command = ["marginbench", "quality", "recipe", recipe.name, "--dataset", options["dataset"]]
    for key in ("backbone", "epochs", "seed", "device"):
        command += [f"--{key}", str(options[key])] if options[key] is not None else []
    asked = planning.Asked(seed=options["seed"], device=options["device"])
    outcome = running.run(
        planning.Plan([job]), asked, out_dir, command=shlex.join(command), processes=1,
        mlflow=not options["no_mlflow"],
    )  # fmt: skip
    for reason in outcome.not_run:
        click.echo(f"not run: {running.first_line(reason)}", err=True)
    click.echo(f"records: {outcome.records}\nreport:  {build(out_dir)}")
    return outcome.exit_code
