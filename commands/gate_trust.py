"""``marginbench gate-trust``: measures the gate itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks.records import folders, kinds

from . import progress
from .endings import fail
from .messages import say
from .parameters import Whole
from .paths import RUNS, Folder


@click.command("gate-trust")
@click.option("--smoke", is_flag=True, help="A handful of trials, as a check (some minutes).")
@click.option("--quiet-only", is_flag=True, help="No trials under load.")
@click.option("--seed", type=Whole(0, 2**31 - 1), default=0, show_default=True,
              help="Seed of inputs and orders.")  # fmt: skip
@click.option("--out", type=Folder(), default=RUNS / "gate-trust",
              help="A new folder, or one with trials, which are not run again.  "
              "[default: reports/out/gate-trust]")  # fmt: skip
@click.option("--page-only", is_flag=True, help="Only draw the page of the trials there are.")
def gate_trust(smoke: bool, quiet_only: bool, seed: int, out: Path, page_only: bool) -> None:
    """Measure the gate itself: false alarms, power, intervals.

    Writes a page on how far the gate can be trusted on this machine. It compares the commit with
    itself and with copies that do real extra work, half of the time while every core is busy with
    something else. Takes about an hour on two cores, in which the machine should do nothing else. A
    run that was killed continues where it stopped.

    \b
    Examples:
      marginbench gate-trust --smoke
      marginbench gate-trust
      marginbench gate-trust --page-only --out FOLDER

    Exit codes: 0 the page is written, 2 bad usage, 3 it could not be measured, or a record is
    damaged.
    """
    from benchmarks.gate import trees, trust
    from reports.gate.trust import page

    if not page_only:
        folders.check(out, kinds.TRIAL, "--out")
        if (packed := out / f"{trust.FILE}.xz").is_file():
            raise click.BadParameter(
                f"{packed} holds trials, and nothing can be appended to it: choose another folder",
                param_hint="--out",
            )
        loads = ("quiet",) if quiet_only else ("quiet", "loaded")
        try:
            with (
                trees.alone(), trees.checked_out("HEAD") as both,
                progress.shown("preparing") as report,
            ):  # fmt: skip
                trust.run(
                    trust.SMOKE if smoke else trust.FULL, both, out, seed=seed, loads=loads,
                    command=f"marginbench gate-trust --seed {seed}", report=_trial(report),
                )  # fmt: skip
        except (trees.NoTree, trees.Busy, trust.Mixed) as error:
            fail(f"not measured: {error}")
    with progress.shown("reading the trials") as report:
        made = page.build(out, report=report)
    say(f"page: {made}")


def _trial(report: progress.Report) -> Callable[[Any, int, int, dict[str, Any]], None]:
    def ended(trial: Any, done: int, total: int, line: dict[str, Any]) -> None:
        verdicts = ", ".join(sorted({one["verdict"] for one in line["verdicts"]}))
        planted = f"{trial.fraction:.0%} slower" if trial.fraction else "unchanged"
        report(done, total, f"{trial.load}, {planted}: {verdicts}")

    return ended
