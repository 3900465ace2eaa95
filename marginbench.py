"""The command line: ``marginbench run | quality | list | report | compare | history | gate | ...``.

Only the standard library, click and rich are imported here; a command imports what it needs when
it runs, so that ``--help`` answers at once. Exit codes: 0 fine, 1 the run failed or an
implementation was found wrong, 2 bad usage, 3 it could not be checked, 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console

from benchmarks import commands as examining
from benchmarks import record_files
from reports import commands as reading
from reports.gate import commands as gating
from reports.quality import commands as quality
from reports.site import commands as site

if TYPE_CHECKING:
    from suites.cases import Case
    from suites.presets import Preset


class _Told(click.Group):
    """Whatever a command finds damaged or can't write is told in a sentence, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read the output has enough: click ends quietly
        except OSError as error:
            _fail(reading.unwritable(error))
        except Exception as error:
            if not isinstance(error, record_files.RecordError):
                raise
            _fail(str(error))


@click.group(
    cls=_Told, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
def cli() -> None:
    """Measure the losses of face recognition and deep metric learning.

    \b
    Start here:
      marginbench doctor            what this machine can measure, and why not
      marginbench list              the losses, who computes them, the suites
      marginbench run               measure everything (about six minutes), write the report
      marginbench run --fast        the same on small sizes (about a minute)
      marginbench run --loss triplet --suite speed
      marginbench run --resume reports/out/RUN     go on after an interruption
      marginbench report            draw the newest run's report again
      marginbench quality run       train with every loss, test the papers' claims (minutes)
      marginbench gate              slower, larger or wrong? against where the branch left main
      marginbench compare A.json B.json            pytest-benchmark's files, base and candidate
      marginbench publish           the site of reports/published, from its records
      marginbench verify            is every published page what its records say
      marginbench history           every metric over the commits, with what changed
      marginbench static            are the kernels compiled as pinned; needs no GPU
      marginbench sanitize          does no kernel leave its tensors; needs no GPU
    """


@cli.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def list_command(as_json: bool) -> None:
    """List the losses with their variants and contenders, and the suites.

    Reads declarations only: neither torch nor triton is imported.
    """
    from suites.listing import everything, show

    listing = everything()
    if as_json:
        click.echo(json.dumps(listing, indent=2, ensure_ascii=False))
        return
    show(listing, Console())


@cli.command()
@click.option("--fast", is_flag=True, help="Small sizes, every variant once: about a minute.")
@click.option("--rigorous", is_flag=True, help="More shapes and rounds: what is published.")
@click.option("--suite", "suites", multiple=True, help="Only this suite; may be repeated.")
@click.option("--loss", "losses", multiple=True, help="Only this loss; may be repeated.")
@click.option("--contender", "contenders", help="Only these, by comma; eager is kept, and trains.")
@click.option("--case", "case_ids", multiple=True, help="Only the case of this id; repeatable.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto",
              show_default=True, help="Where to measure.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
              help="Seed of every input.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="A new folder for the run.  [default: reports/out/<time>]")  # fmt: skip
@click.option("--resume", type=click.Path(path_type=Path, file_okay=False),
              help="Go on with the run in this folder; nothing is measured twice.")  # fmt: skip
def run(
    fast: bool,
    rigorous: bool,
    suites: tuple[str, ...],
    losses: tuple[str, ...],
    contenders: str | None,
    case_ids: tuple[str, ...],
    device: str,
    seed: int,
    out: Path | None,
    resume: Path | None,
) -> None:
    """Measure, write the records as they are made, then the report.

    Records go to OUT/records.jsonl, one line a result. A run that is interrupted or killed loses
    at most the case it was in.
    """
    given = click.get_current_context()
    if resume is not None:
        _refuse_options_beside_resume(given)
        given = _as_recorded(resume)
    options, out_dir = given.params, resume or out or reading.new_folder()
    if resume is None and record_files.find(out_dir):
        raise click.BadParameter(
            f"{out_dir} holds a run; go on with it by --resume", param_hint="--out"
        )
    preset, cases, training = _plan(options)
    _measure(options, preset, cases, training, out_dir, _command(options))


def _measure(
    options: dict[str, Any],
    preset: Preset,
    cases: list[Case],
    training: list[str],
    out_dir: Path,
    command: str,
) -> NoReturn:
    from benchmarks import progress, session
    from reports.build import build, summary_table

    only = options["contenders"].split(",") if options["contenders"] else None
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    with progress.shown(console) as tell:
        outcome = session.run(
            cases, preset, out_dir, seed=options["seed"], device=_device(options),
            command=command, contenders=only, training=training or None, progress=tell,
        )  # fmt: skip
    page = build(out_dir)
    progress.summary(console, summary_table(out_dir))
    click.echo(f"records: {outcome.records}\nreport:  {page}")
    if outcome.exit_code == session.INTERRUPTED:
        click.echo(f"interrupted; go on with: marginbench run --resume {out_dir}", err=True)
    elif outcome.worse:
        click.echo(
            f"{outcome.worse} results are worse than allowed; the report names them", err=True
        )
    sys.exit(outcome.exit_code)


def _plan(options: dict[str, Any]) -> tuple[Preset, list[Case], list[str]]:
    """The preset, the cases, and the losses to train with, from the options; or a usage error."""
    from kernels import catalogue
    from kernels.catalogue import UnknownName
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
    from benchmarks.machine import missing

    unmet = missing("cuda")
    if options["device"] == "auto":
        return "cpu" if unmet else "cuda"
    if options["device"] == "cuda" and unmet:
        raise click.BadParameter(
            f"this machine can't measure on CUDA: {unmet}", param_hint="--device"
        )
    return str(options["device"])


def _command(options: dict[str, Any]) -> str:
    """The command line that says the same: what a record and a resumption go by."""
    words = ["marginbench", "run"]
    for parameter in run.params:
        value = options[parameter.name or ""]
        if value == parameter.default or value in (None, False, ()):
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[-1]] if value is True else [parameter.opts[-1], str(one)]
    return shlex.join(words)


def _refuse_options_beside_resume(given: click.Context) -> None:
    from click.core import ParameterSource

    for name in given.params:
        if name != "resume" and given.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--resume goes on with the options of its run; leave out {name}"
            )


def _as_recorded(folder: Path) -> click.Context:
    """The options that the run in this folder was started with."""
    from benchmarks.records import Session, read_lines

    path = record_files.find(folder)
    if path is None or record_files.is_packed(path):
        raise click.BadParameter(
            f"expected a folder with {record_files.FILE}; got {path or folder}",
            param_hint="--resume",
        )
    first = next(iter(read_lines(path)), None)
    if not isinstance(first, Session):
        _fail(f"{path}: expected a session in the first line; the run never began: "
              "delete the file and start anew")  # fmt: skip
    return run.make_context("run", shlex.split(first.command)[2:])


examining.register(cli)
reading.register(cli)
gating.register(cli)
quality.register(cli)
site.register(cli)


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)


def main() -> None:
    """The entry of the installed command: the user's mistakes in a sentence, never a traceback."""
    cli(prog_name="marginbench")


if __name__ == "__main__":
    main()
