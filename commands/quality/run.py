"""``marginbench quality run``: trains with the losses, and writes the report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.records import kinds
from benchmarks.records.record_files import FILE, head, resumption

from .. import devices, progress
from ..endings import INTERRUPTED
from ..messages import say
from ..parameters import Choice, Whole
from ..paths import QUALITY_RUNS, Folder, runs
from ..recorded import (
    command_line,
    folder_of_run,
    options_of_run,
    refuse_options_beside_resume,
)
from .names import known_dataset

# Not what is trained, but where and how: a record's command line leaves them out.
_NOT_OF_THE_PLAN = ("resume", "workers", "out")


@click.command()
@click.option("--full", is_flag=True, help="Glyphs and fashion, 5 seeds, claims in full.")
@click.option("--division", type=Choice(["closed", "open", "both"]),
              help="One recipe for all losses, or each loss tuned.  [default: closed]")  # fmt: skip
@click.option("--dataset", "datasets", multiple=True, help="Train on this; repeatable.")
@click.option("--loss", "losses", multiple=True, help="Only this loss; repeatable.")
@click.option("--claim", "claims", multiple=True, help="Test this claim; repeatable.")
@click.option("--seeds", type=Whole(1, 1000), default=None,
              help="Number of seeds.  [default: 3, with --full 5]")  # fmt: skip
@click.option("--seed", type=Whole(0, 2**31 - 1), default=0, show_default=True,
              help="The first seed.")  # fmt: skip
@click.option("--device", type=Choice(["cpu", "cuda"]), default="cpu", show_default=True,
              help="Where to train.")  # fmt: skip
@click.option(
    "--contender", default="eager", show_default=True, help="The implementation of the losses."
)
@click.option("--workers", type=Whole(1, 256), default=None,
              help="Trainings in parallel.  [default: one per core, 1 on a GPU]")  # fmt: skip
@click.option("--only", default="", help="Only trainings whose name contains this.")
@click.option("--out", type=Folder(), help="A new or empty folder for the run.  "
              "[default: reports/out/quality/<time>]")  # fmt: skip
@click.option("--resume", type=Folder(), help="Continue the run in this folder.")
@click.option("--no-mlflow", is_flag=True, help="Write our own records only.")
def run(**options: Any) -> None:
    """Train networks in parallel, and write records and a report.

    --division, --dataset and --loss choose trainings of the tables of results, --claim those of
    claims; without any of them, all are trained. An interrupted or killed run continues with
    --resume: finished trainings are kept, unfinished ones continue from their checkpoint.

    \b
    Examples:
      marginbench quality run                          digits, every loss, every claim (minutes)
      marginbench quality run --full                   glyphs and fashion, claims in full (long)
      marginbench quality run --loss triplet --loss contrastive --seeds 5
      marginbench quality run --resume reports/out/quality/RUN

    \b
    Exit codes:
      0  all trained; a network that diverged is a result too
      1  a training failed because of a fault in the suite
      2  bad usage
      3  something can't run here (a dataset is missing or damaged), and is recorded as such;
         MLflow's store did not take what was trained: `sync` sends it later; or a file can't be
         read or written
      130  interrupted
    """
    given = click.get_current_context()
    resume: Path | None = options["resume"]
    if resume is not None:
        refuse_options_beside_resume(given, allowed=("workers",))
        recorded = options_of_run(resume, "quality run", run, _began_with)
        options = {**recorded, "resume": resume, "workers": options["workers"]}
    out_dir = folder_of_run(resume, options["out"], kinds.QUALITY, QUALITY_RUNS)
    sys.exit(_run(options, out_dir))


def _run(options: dict[str, Any], out_dir: Path) -> int:
    from benchmarks.training import planning, running, tracking
    from marginbench.catalogue import UnknownName
    from reports.quality.build import build

    devices.chosen(options["device"], "train")
    asked = planning.Asked(
        full=options["full"], division=options["division"] or "", datasets=options["datasets"],
        losses=options["losses"], claims=options["claims"], seeds=options["seeds"] or 0,
        seed=options["seed"], device=options["device"], contender=options["contender"],
        only=options["only"],
    )  # fmt: skip
    try:
        _refuse_unknown(options)
        plan = planning.plan(asked)
    except (UnknownName, ValueError) as error:
        raise click.UsageError(str(error)) from None
    command = command_line("marginbench quality run", run, options, leave_out=_NOT_OF_THE_PLAN)
    if options["resume"] is None:
        _say_unfinished(command)
    with progress.shown("starting") as report:
        outcome = running.run(
            plan, asked, out_dir, command=command, processes=options["workers"] or 0,
            mlflow=not options["no_mlflow"], progress=progress.steps(report),
        )  # fmt: skip
        report(0, 0, "drawing the report")
        page = build(out_dir)
    say(f"records: {outcome.records}\nreport:  {page}")
    if outcome.diverged:
        say(f"{outcome.diverged} of {outcome.total} trainings diverged")
    for reason, count in outcome.not_run.items():
        say(f"{count} of {outcome.total} trainings not run: {running.first_line(reason)}",
                   err=True)  # fmt: skip
    for reason, count in outcome.not_mirrored.items():
        say(f"{count} of {outcome.total} trainings not in MLflow: {reason}", err=True)
    if set(outcome.not_mirrored) - {tracking.NOT_INSTALLED}:
        say(f"every record is safe; to send them: marginbench quality sync "
            f"{shlex.quote(str(out_dir))}", err=True)  # fmt: skip
    if outcome.not_run and outcome.exit_code != INTERRUPTED:
        say(f"to try again what was not run: {resumption(outcome.records)}", err=True)
    if outcome.exit_code == INTERRUPTED:
        done = f"{outcome.done} of {outcome.total} trainings"
        say(f"interrupted after {done}; go on with: {resumption(outcome.records)}", err=True)
    return outcome.exit_code


def _refuse_unknown(options: dict[str, Any]) -> None:
    """Before anything is trained; raises UnknownName."""
    from marginbench import catalogue
    from suites import selection

    for loss in options["losses"]:
        selection.known("--loss", loss, catalogue.names())
    for dataset in options["datasets"]:
        known_dataset(dataset)
    selection.known("--contender", options["contender"], selection.contenders())


def _began_with(path: Path) -> str | None:
    """From the first line; None where that is no session of a quality run."""
    command = head(path).get("command")
    is_ours = isinstance(command, str) and command.startswith("marginbench quality run")
    return command if is_ours else None


def _say_unfinished(command: str) -> None:
    """A long run that was cut off is seldom meant to start anew."""
    for folder in reversed(runs(QUALITY_RUNS)):
        path = folder / FILE
        if _began_with(path) != command:
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            if b'"kind":"run_end"' in file.read().splitlines()[-1]:
                return
        say(f"an earlier run of the same is unfinished; to go on with it: {resumption(path)}",
            err=True)  # fmt: skip
        return
