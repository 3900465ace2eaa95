"""``marginbench run``: measures, writes the records as they are made, then the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from benchmarks.records import folders, kinds, record_files

from . import devices, progress
from .endings import fail
from .messages import console, say
from .parameters import Choice, Whole
from .paths import Folder
from .recorded import (
    command_line,
    folder_of_run,
    options_of_run,
    refuse_options_beside_resume,
)

if TYPE_CHECKING:
    from suites.cases import Case
    from suites.presets import Preset

# How wide the summary is in a log.
_WIDTH = 120


@click.command()
@click.option("--fast", is_flag=True, help="Small sizes, each variant once: about a minute.")
@click.option("--rigorous", is_flag=True, help="More shapes and rounds: up to two hours.")
@click.option("--suite", "suites", multiple=True, help="Only this suite; repeatable.")
@click.option("--loss", "losses", multiple=True, help="Only this loss; repeatable.")
@click.option("--contender", "contenders", help="Only these, comma-separated; eager always runs.")
@click.option("--case", "case_ids", multiple=True, help="Only the case with this id; repeatable.")
@click.option("--device", type=Choice(["auto", "cpu", "cuda"]), default="auto",
              show_default=True, help="Where to measure.")  # fmt: skip
@click.option("--seed", type=Whole(0, 2**31 - 1), default=0, show_default=True,
              help="Seed of all inputs.")  # fmt: skip
@click.option("--out", type=Folder(),
              help="A new or empty folder for the run.  [default: reports/out/<time>]")  # fmt: skip
@click.option("--resume", type=Folder(),
              help="Continue the run in this folder; nothing is measured twice.")  # fmt: skip
def run(resume: Path | None, out: Path | None, **_: Any) -> None:
    """Measure the losses, and write records and a report.

    Each result is written to OUT/records.jsonl as soon as it is there, so a run that is interrupted
    or killed loses at most the case it was in.

    \b
    Examples:
      marginbench run                                   everything, in about eight minutes
      marginbench run --fast --loss triplet --suite speed
      marginbench run --resume reports/out/RUN

    \b
    Exit codes:
      0  measured; the report says what can't run here, and why
      1  a contender gave wrong results
      2  bad usage
      3  nothing was measured, or a file can't be read or written
      130  interrupted
    """
    given = click.get_current_context()
    options = given.params
    if resume is not None:
        refuse_options_beside_resume(given)
        options = options_of_run(resume, "run", run, _began_with)
    out_dir = folder_of_run(resume, out, kinds.RUN)
    preset, cases, training = _plan(options)
    _measure(options, preset, cases, training, out_dir)


def _measure(
    options: dict[str, Any],
    preset: Preset,
    cases: list[Case],
    training: list[str],
    out_dir: Path,
) -> NoReturn:
    from benchmarks.run import session
    from reports.build import build, summary_table

    only = options["contenders"].split(",") if options["contenders"] else None
    shown_on = console(_WIDTH)
    with progress.shown("starting") as report:
        outcome = session.run(
            cases, preset, out_dir, seed=options["seed"], device=_device(options),
            command=command_line("marginbench run", run, options), contenders=only,
            training=training or None, progress=progress.steps(report),
        )  # fmt: skip
        page = build(out_dir, report=report)
    progress.summary(shown_on, summary_table(out_dir))
    say(f"records: {outcome.records}\nreport:  {page}")
    if outcome.exit_code == session.INTERRUPTED:
        say(f"interrupted; go on with: {record_files.resumption(outcome.records)}", err=True)
    elif outcome.exit_code == session.NOT_MEASURED:
        say("nothing was measured; the report says why", err=True)
    elif outcome.worse:
        say(f"{outcome.worse} results failed; the report names them", err=True)
    sys.exit(outcome.exit_code)


def _plan(options: dict[str, Any]) -> tuple[Preset, list[Case], list[str]]:
    """The preset, the cases, and the losses to train with, from the options; or a usage error."""
    from marginbench import catalogue
    from marginbench.catalogue import UnknownName
    from suites import presets, selection

    if options["fast"] and options["rigorous"]:
        raise click.UsageError("--fast and --rigorous: expected one of them; got both")
    name = "fast" if options["fast"] else "rigorous" if options["rigorous"] else "default"
    preset, suites, losses = presets.PRESETS[name], options["suites"], options["losses"]
    try:
        for contender in (options["contenders"] or "").split(","):
            if contender:
                selection.known("--contender", contender, selection.contenders())
        if options["case_ids"]:
            return preset, [selection.parse(case_id) for case_id in options["case_ids"]], []
        cases = selection.select(preset, _device(options), options["seed"], suites, losses)
    except (UnknownName, selection.BadCase) as error:
        raise click.UsageError(str(error)) from None
    only = options["contenders"]
    if "training" in suites and only and "eager" not in only.split(","):
        raise click.UsageError(f"--contender: expected eager for the training suite; got {only}")
    trained = not suites or "training" in suites
    return preset, cases, list(losses or catalogue.names()) if trained else []


def _device(options: dict[str, Any]) -> str:
    return devices.chosen(options["device"], "measure")


def _began_with(record: Path) -> str:
    """The command line of the run; what is no run of this command is refused."""
    from benchmarks.records.loading import Session, read_lines

    first = next(iter(read_lines(record)), None)
    if not isinstance(first, Session):
        fail(f"{record}: expected a session in the first line; the run never began: "
             "delete the file and start anew")  # fmt: skip
    folders.expect(record.parent, kinds.RUN, "--resume")
    if not first.command.startswith("marginbench run"):
        fail(f"{record}: expected a session that began with marginbench run; got "
             f"{first.command!r}: the line was changed")  # fmt: skip
    return first.command
