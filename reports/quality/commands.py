"""``marginbench quality``: the command line, and no more than that."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from benchmarks.record_files import FILE, find

RUNS = Path(__file__).resolve().parent.parent / "out" / "quality"
NOT_POSSIBLE, INTERRUPTED = 3, 130
_WIDTH = 120
_NOT_OF_THE_PLAN = ("resume", "workers")

Folder = click.Path(path_type=Path, file_okay=False)


@click.group()
def quality() -> None:
    """Train with the losses: what does each buy, and is what the papers claim true?

    \b
    marginbench quality run                       digits, every loss, every claim (minutes)
    marginbench quality run --full                glyphs and fashion, claims in full (long)
    marginbench quality run --claim triplet-mining
    marginbench quality run --resume reports/out/quality/RUN
    marginbench quality again RECORDS NAME        train one row again, and compare
    marginbench quality ui                        MLflow's pages on the newest run
    """


@quality.command()
@click.option("--full", is_flag=True, help="Glyphs and fashion, 5 seeds, claims in full form.")
@click.option("--division", type=click.Choice(["closed", "open", "both"]),
              help="One recipe for all losses, or each tuned.  [default: closed]")  # fmt: skip
@click.option("--dataset", "datasets", multiple=True, help="Train on this; may be repeated.")
@click.option("--loss", "losses", multiple=True, help="Only this loss; may be repeated.")
@click.option("--claim", "claims", multiple=True, help="Test this claim; may be repeated.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=None,
              help="How many seeds.  [default: 3, with --full 5]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
              help="The first seed.")  # fmt: skip
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True,
              help="Where to train.")  # fmt: skip
@click.option("--contender", default="eager", show_default=True, help="Who computes the losses.")
@click.option("--workers", type=click.IntRange(1, 256), default=None,
              help="Trainings side by side.  [default: one a core, 1 on a GPU]")  # fmt: skip
@click.option("--only", default="", help="Only trainings whose name holds this.")
@click.option("--out", type=Folder,
              help="A new folder for the run.  [default: reports/out/quality/<time>]")  # fmt: skip
@click.option("--resume", type=Folder, help="Go on with the run in this folder.")
@click.option("--no-mlflow", is_flag=True, help="Keep our own records only.")
def run(**options: Any) -> None:
    """Train networks in parallel, record each as it ends, then write the report.

    What is named is run: --division, --dataset and --loss ask for the tables of results, --claim
    for claims; without any of them it is both. A run that is interrupted or killed goes on by
    --resume: what has ended is not trained again, what was under way goes on from its checkpoint.

    \b
    Exit codes:
      0  all trained; a network that diverged is a result too
      1  a training failed by a fault of the suite
      2  bad usage
      3  something can't be run here (a dataset that is missing or damaged), and is recorded as
         such; or MLflow's store did not take what was trained, which `sync` sends later
      130  interrupted
    """
    given = click.get_current_context()
    resume: Path | None = options["resume"]
    if resume is not None:
        _refuse_options_beside_resume(given)
        options = {**_as_recorded(resume), "workers": options["workers"]}
    out_dir = resume or options["out"] or RUNS / time.strftime("%Y-%m-%d-%H%M%S")
    if resume is None and find(out_dir):
        raise click.BadParameter(f"{out_dir} holds a run; go on with it by --resume",
                                 param_hint="--out")  # fmt: skip
    sys.exit(_run(options, out_dir))


def _run(options: dict[str, Any], out_dir: Path) -> int:
    from benchmarks import progress
    from benchmarks.quality import planning, running
    from kernels.catalogue import UnknownName

    _check_device(options["device"])
    asked = planning.Asked(
        full=options["full"], division=options["division"] or "", datasets=options["datasets"],
        losses=options["losses"], claims=options["claims"], seeds=options["seeds"] or 0,
        seed=options["seed"], device=options["device"], contender=options["contender"],
        only=options["only"],
    )  # fmt: skip
    try:
        plan = planning.plan(asked)
    except (UnknownName, ValueError) as error:
        raise click.UsageError(str(error)) from None
    if options["resume"] is None:
        _say_unfinished(_command(options))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    with progress.shown(console) as tell:
        outcome = running.run(
            plan, asked, out_dir, command=_command(options), processes=options["workers"] or 0,
            mlflow=not options["no_mlflow"], progress=tell,
        )  # fmt: skip
    click.echo(f"records: {outcome.records}\nreport:  {_page(out_dir)}")
    if outcome.diverged:
        click.echo(f"{outcome.diverged} of {outcome.total} trainings diverged")
    for reason, count in outcome.not_run.items():
        click.echo(f"{count} of {outcome.total} trainings not run: {running.first_line(reason)}",
                   err=True)  # fmt: skip
    folder = shlex.quote(str(out_dir))
    for reason, count in outcome.not_mirrored.items():
        click.echo(f"{count} of {outcome.total} trainings not in MLflow: {reason}", err=True)
    if set(outcome.not_mirrored) - {running.NO_MLFLOW}:
        click.echo(f"every record is safe; to send them: marginbench quality sync {folder}",
                   err=True)  # fmt: skip
    if outcome.not_run and outcome.exit_code != INTERRUPTED:
        click.echo(f"to try again what was not run: marginbench quality run --resume {folder}",
                   err=True)  # fmt: skip
    if outcome.exit_code == INTERRUPTED:
        go_on = f"marginbench quality run --resume {folder}"
        done = f"{outcome.done} of {outcome.total} trainings"
        click.echo(f"interrupted after {done}; go on with: {go_on}", err=True)
    return outcome.exit_code


def _page(out_dir: Path) -> Path:
    from .build import build

    return build(out_dir)


def _check_device(device: str) -> None:
    from benchmarks.machine import missing

    unmet = missing("cuda") if device == "cuda" else None
    if unmet:
        raise click.BadParameter(f"this machine can't train on CUDA: {unmet}",
                                 param_hint="--device")  # fmt: skip


def _command(options: dict[str, Any]) -> str:
    """The command line that plans the same: what a record and a resumption go by."""
    words = ["marginbench", "quality", "run"]
    for parameter in run.params:
        value = options[parameter.name or ""]
        if parameter.name in (*_NOT_OF_THE_PLAN, "out"):
            continue
        if value in (None, False, (), parameter.default):
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0]] if value is True else [parameter.opts[0], str(one)]
    return shlex.join(words)


def _refuse_options_beside_resume(given: click.Context) -> None:
    from click.core import ParameterSource

    for name in given.params:
        typed = given.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if typed and name not in _NOT_OF_THE_PLAN:
            raise click.UsageError(
                f"--resume goes on with the options of its run; leave out {name}"
            )


def _as_recorded(folder: Path) -> dict[str, Any]:
    """The options that the run in this folder was started with."""
    path = find(folder)
    command = _recorded_command(path) if path and path.name == FILE else None
    if command is None:
        raise click.BadParameter(f"expected the folder of a quality run, with its {FILE}; got "
                                 f"{folder}", param_hint="--resume")  # fmt: skip
    return run.make_context("run", shlex.split(command)[3:]).params | {"resume": folder}


def _recorded_command(path: Path) -> str | None:
    """From the first line; None where that is no session of a quality run."""
    import json

    try:
        with path.open() as file:
            command = json.loads(file.readline()).get("command")
    except (OSError, ValueError, AttributeError):
        return None
    is_ours = isinstance(command, str) and command.startswith("marginbench quality run")
    return command if is_ours else None


def _say_unfinished(command: str) -> None:
    """A long run that was cut off is seldom meant to start anew."""
    for path in sorted(RUNS.glob(f"*/{FILE}"), reverse=True):
        if _recorded_command(path) != command:
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            if b'"kind":"run_end"' in file.read().splitlines()[-1]:
                return
        click.echo(f"an earlier run of the same is unfinished; to go on with it: marginbench "
                   f"quality run --resume {shlex.quote(str(path.parent))}", err=True)  # fmt: skip
        return


@quality.command()
@click.argument("records", type=click.Path(path_type=Path, exists=True))
@click.argument("name")
def again(records: Path, name: str) -> None:
    """Train NAME of RECORDS again, and say whether every figure comes out the same.

    RECORDS is a record file (.jsonl or .jsonl.xz), a run's own or a published one, or its folder;
    NAME is the name that the report prints. Times and memory are shown, not compared.

    \b
    Exit codes:
      0  equal bit for bit
      1  not equal, on the same machine and versions
      3  not compared: it can't be trained here, or machine or versions differ
    """
    from benchmarks.quality import again as comparing

    try:
        recorded = comparing.find(comparing.read(records), name)
    except comparing.NotThere as error:
        raise click.BadParameter(str(error), param_hint="NAME") from None
    found = comparing.again(recorded)
    table = Table("metric", "recorded", "again", "", title=name)
    for metric, then, now in found.metrics:
        timed = metric in comparing.TIMED
        word = "timed" if timed else "" if metric not in found.differences else "differs"
        table.add_row(metric, *("-" if v is None else f"{v:.9g}" for v in (then, now)), word)
    console = Console()
    (console if console.is_terminal else Console(width=_WIDTH)).print(table)
    for other in found.others:
        click.echo(f"differs: {other}")
    if found.differences and found.exit_code != 0:
        shown = ", ".join(found.differences[:5])
        click.echo(f"first that differ: {shown}")
    if found.largest and found.exit_code != 0:
        click.echo(f"largest relative difference: {found.largest}")
    click.echo(found.verdict)
    sys.exit(found.exit_code)


@quality.command()
@click.argument("run_dir", required=False, type=Folder)
def report(run_dir: Path | None) -> None:
    """Draw a quality run's page again from its records (by default the newest run's)."""
    click.echo(f"report: {_page(run_dir or newest())}")


def newest() -> Path:
    """The newest run's folder; a usage error where there is none."""
    runs = sorted(path.parent for path in RUNS.glob(f"*/{FILE}"))
    if not runs:
        raise click.UsageError(f"expected a run under {RUNS}; there is none yet: marginbench "
                               "quality run")  # fmt: skip
    return runs[-1]


def fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


def register(group: click.Group) -> None:
    from . import listing, recipe, stores

    stores.register(quality)
    quality.add_command(listing.list_command)
    quality.add_command(recipe.recipe_command)
    group.add_command(quality)
