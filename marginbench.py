"""The command line: ``marginbench run | list | report | doctor``.

Only the standard library, click and rich are imported here; a command imports what it needs when
it runs, so that ``--help`` answers at once. Exit codes: 0 fine, 1 the run failed or an
implementation was found wrong, 2 bad usage, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

RUNS = Path(__file__).resolve().parent / "reports" / "out"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
    """


@cli.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def list_command(as_json: bool) -> None:
    """List the losses with their variants and contenders, and the suites.

    Reads declarations only: neither torch nor triton is imported.
    """
    from kernels import catalogue
    from suites.cases import SUITES
    from suites.presets import PRESETS

    listing: dict[str, Any] = {
        "losses": [
            {
                "name": loss.name,
                "title": loss.title,
                "source": loss.source,
                "variants": [
                    {
                        "name": variant.name,
                        "summary": variant.summary,
                        "equation": variant.equation,
                        "family": variant.family,
                        "contenders": [c.name for c in variant.contenders],
                    }
                    for variant in loss.variants
                ],
            }
            for loss in catalogue.losses()
        ],
        "failed": [{"name": f.name, "reason": f.reason} for f in catalogue.failures()],
        "suites": SUITES,
        "presets": {name: preset.summary for name, preset in PRESETS.items()},
    }
    if as_json:
        click.echo(json.dumps(listing, indent=2, ensure_ascii=False))
        return
    console = Console()
    table = Table("loss", "variant", "contenders", "what it is", title="Losses")
    for loss in listing["losses"]:
        for variant in loss["variants"]:
            contenders = ", ".join(variant["contenders"])
            table.add_row(loss["name"], variant["name"], contenders, variant["summary"])
    console.print(table)
    for failure in listing["failed"]:
        console.print(f"[red]failed to import[/] {failure['name']}: {failure['reason']}")
    for title, entries in (("Suites", SUITES), ("Presets", listing["presets"])):
        table = Table("name", "what it measures", title=title)
        for name, summary in entries.items():
            table.add_row(name, summary)
        console.print(table)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def doctor(as_json: bool) -> None:
    """Say what this machine can measure, and what it can't and why."""
    from benchmarks.machine import doctor as examine

    facts = examine()
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    console = Console()
    for title, entries in facts.items():
        table = Table("", "", title=title.replace("_", " "), show_header=False)
        for name, value in entries.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(name.replace("_", " "), shown)
        console.print(table)


@cli.command()
@click.option("--fast", is_flag=True, help="Small sizes, every variant once: about a minute.")
@click.option("--rigorous", is_flag=True, help="More shapes and rounds: what is published.")
@click.option("--suite", "suites", multiple=True, help="Only this suite; may be repeated.")
@click.option("--loss", "losses", multiple=True, help="Only this loss; may be repeated.")
@click.option("--contender", "contenders", help="Only these, by comma; eager is kept beside them.")
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
    raise click.ClickException("not yet")


@cli.command()
@click.argument("run_dir", required=False, type=click.Path(path_type=Path))
def report(run_dir: Path | None) -> None:
    """Draw a run's report again from its records (by default the newest run's)."""
    from benchmarks.records import RecordError
    from reports.build import build

    if run_dir is None:
        run_dir = _newest_run()
    try:
        page = build(run_dir)
    except RecordError as error:
        _fail(str(error))
    click.echo(f"report: {page}")


def _newest_run() -> Path:
    runs = sorted(path.parent for path in RUNS.glob("*/records.jsonl"))
    if not runs:
        _fail(f"RUN_DIR: expected a run under {RUNS}; there is none yet: marginbench run")
    return runs[-1]


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)


def main() -> None:
    """The entry of the installed command: the user's mistakes in a sentence, never a traceback."""
    cli(prog_name="marginbench")


if __name__ == "__main__":
    main()
