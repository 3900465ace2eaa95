"""``marginbench gate``: compares the working tree with a base."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.records import folders, kinds

from . import devices, progress
from .endings import NOT_POSSIBLE, fail
from .messages import console, say
from .parameters import Choice, Number, Whole, known_losses
from .paths import Folder, new_folder
from .recorded import command_line

_SECONDS = 14.0


@click.command()
@click.option(
    "--base",
    help="Revision to compare with.  [default: where this branch left main; on main: "
    "HEAD if kernels/ has uncommitted changes, else the commit before]",
)
@click.option("--suite", type=Choice(["smoke", "default", "thorough"]), default="default",
              show_default=True, help="Which cases are timed.")  # fmt: skip
@click.option("--case", "only", default="", help="Only timed cases whose id contains this.")
@click.option("--loss", "losses", multiple=True,
              help="Only this loss, changed or not; repeatable.")  # fmt: skip
@click.option("--all", "whole", is_flag=True,
              help="Time unchanged losses too; compile for every GPU and dtype.")  # fmt: skip
@click.option("--exact", "half", flag_value="exact", help="Only the exact figures: no timing.")
@click.option("--timed", "half", flag_value="timed", help="Only the times.")
@click.option("--pin", is_flag=True, help="Accept exact figures and timed cases as they are.")
@click.option("--device", type=Choice(["auto", "cpu", "cuda"]), default="auto",
              show_default=True, help="Where to time.")  # fmt: skip
@click.option("--threads", type=Whole(1, 1024), default=1, show_default=True,
              help="Threads of torch while timing on a CPU.")  # fmt: skip
@click.option("--smallest-effect", type=Number(0.006, 0.5), default=0.03,
              show_default=True, help="Versions closer than this fraction are equal.")  # fmt: skip
@click.option("--seconds", type=Number(0.2, 3600), default=_SECONDS, show_default=True,
              help="Timed seconds per case, in each of two stages.")  # fmt: skip
@click.option("--apart", is_flag=True, help="Each side in its own processes: slower, less precise.")
@click.option("--seed", type=Whole(0, 2**31 - 1), default=None,
              help="Seed of inputs and orders.  [default: random, and recorded]")  # fmt: skip
@click.option("--out", type=Folder(), help="A new or empty folder for the records.  "
              "[default: reports/out/gate-<time>]")  # fmt: skip
@click.option("--show", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Show an earlier gate, recomputed from its records; its exit code.")  # fmt: skip
def gate(**options: Any) -> None:
    """Is the working tree slower, larger or less exact than a base?

    Exact figures (bytes, counts, registers, machine code) are compared with the pinned ones. Times
    are compared with the base's, both versions loaded in one process, until each case is SLOWER,
    FASTER, EQUIVALENT or its time is spent (INCONCLUSIVE). Losses that are unchanged since the
    base, with all that they share, are not timed; kernels are compiled for sm_90 in bfloat16 and
    float32. What was left out is said; --all leaves nothing out.

    \b
    Examples:
      marginbench gate                    exact figures and times, against the branch point
      marginbench gate --base HEAD~1 --timed --case triplet
      marginbench gate --exact            no timing
      marginbench gate --exact --pin      accept the exact figures as they are

    \b
    Exit codes:
      0  no regression          2  bad usage
      1  a regression           3  inconclusive, or not measured
      130  interrupted
    """
    sys.exit(_gate(options))


def _gate(options: dict[str, Any]) -> int:
    from benchmarks.gate import trees
    from benchmarks.gate.records import FILE

    known_losses(options["losses"])
    if options["pin"] and (options["half"] == "timed" or options["only"] or options["base"]):
        raise click.UsageError(
            "--pin pins all exact figures: expected no other option but --exact or --loss"
        )
    if options["apart"] and options["seconds"] != _SECONDS:
        raise click.UsageError("--apart takes pairs of processes: expected no --seconds beside it")
    if options["half"] == "exact" and (options["only"] or options["apart"]):
        raise click.UsageError("--exact: expected no option of the timed half beside it")
    if options["show"]:
        return _show(options["show"])
    options["seed"] = _seed(options["seed"])
    out_dir = options["out"] or new_folder(before="gate-")
    if (out_dir / FILE).exists():
        raise click.BadParameter(f"{out_dir} holds a gate's records already", param_hint="--out")
    folders.check(out_dir, kinds.GATE, "--out")
    try:
        with trees.alone():
            if options["pin"]:
                return _pin(options["losses"])
            with trees.checked_out(options["base"]) as both:
                if options["base"] and options["half"] != "exact" and both.are_one_commit:
                    raise trees.NoTree(_itself(options["base"]))
                return _compare(options, both, out_dir)
    except (trees.NoTree, trees.Busy) as error:
        fail(f"not measured: {error}")


def _itself(base: str) -> str:
    return (
        f"BASE: {base} is the commit that is checked out, and nothing is uncommitted: there is "
        "nothing to compare (gate-trust compares a commit with itself; --exact needs no other)"
    )


def _compare(options: dict[str, Any], both: Any, out_dir: Path) -> int:
    from dataclasses import replace

    from benchmarks.gate.decision import Rule
    from benchmarks.gate.session import Asked, run
    from reports.gate import reading, terminal, write

    stage_s, smallest = options["seconds"], options["smallest_effect"]
    asked = Asked(
        suite=options["suite"], device=devices.chosen(options["device"], "time"),
        seed=options["seed"], threads=options["threads"],
        rule=Rule(smallest_effect=smallest, stage_s=stage_s),
        command=_command(options, both.base_commit), timed=options["half"] != "exact",
        only=options["only"], apart=options["apart"], losses=options["losses"],
        whole=options["whole"],
    )  # fmt: skip
    with progress.shown("preparing") as report:
        if options["half"] != "timed":
            exact = partial(_exact, report, options["losses"] or None, options["whole"])
            asked = replace(asked, exact=exact)
        outcome = run(asked, both, out_dir, _Stages(report).hear)
    written = write.write_all(out_dir)
    terminal.show(reading.load(outcome.records), console())
    say(f"records: {outcome.records}")
    for name, path in written.items():
        say(f"{name}: {path}")
    return outcome.code


def _show(folder: Path) -> int:
    from benchmarks.gate.records import FILE
    from reports.gate import reading, replay, terminal

    found = reading.load(folder / FILE)
    replay.check(found)
    terminal.show(found, console())
    return found.exit_code


def _exact(report: progress.Report, losses: tuple[str, ...] | None, whole: bool, base: Path) -> Any:
    from benchmarks.snapshots.exact.check import check

    return check(pin=False, base=base, losses=losses, whole=whole, report=report)


def _pin(losses: tuple[str, ...]) -> int:
    """What is measured first: only then is the list of timed cases taken as it is."""
    from benchmarks.gate import inventory

    from .exact import checked

    code = checked(pin=True, losses=losses or None)
    if code == NOT_POSSIBLE:
        return code
    now, before = (inventory.of(losses, ids) for ids in (inventory.declared(), inventory.read()))
    found = inventory.compare(before, now)
    for word, ids in (("new", found.unpinned), ("gone", found.vanished)):
        for one in ids:
            say(f"timed case {word}: {one}")
    inventory.write(now, losses)
    return code


def _seed(asked: int | None) -> int:
    import random

    return random.SystemRandom().randrange(2**31) if asked is None else asked


def _command(options: dict[str, Any], base_commit: str) -> str:
    """What runs this gate again; the base by its commit, for a branch moves on."""
    given = {**options, "base": base_commit[:12]}
    line = command_line("marginbench gate", gate, given, leave_out=("half", "pin", "out", "show"))
    return f"{line} --{options['half']}" if options["half"] else line


class _Stages:
    """What the timed half says, as steps: a stage's cases one after the other; apart, its pairs of
    processes, of which it seldom takes all."""

    def __init__(self, report: progress.Report) -> None:
        self.report = report
        self.stage, self.done, self.total = "", 0, 0

    def hear(self, kind: str, what: dict[str, Any]) -> None:
        if kind == "stage":
            self.stage, self.done, self.total = what["stage"], 0, what["steps"]
        elif kind == "start":
            self.report(self.done, self.total, f"{self.stage}: {what['case']}")
        elif kind == "end":
            self.done += 1
