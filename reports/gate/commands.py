"""``marginbench gate`` and ``marginbench gate-trust``: the command line, and no more than that."""

from __future__ import annotations

import shlex
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import click
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "reports" / "out"
_SECONDS = 14.0
NOT_MEASURED, INTERRUPTED = 3, 130


@click.command()
@click.option(
    "--base",
    help="Revision to compare with.  [default: where this branch left main; on "
    "main the commit before]",
)
@click.option("--suite", type=click.Choice(["smoke", "default", "thorough"]), default="default",
              show_default=True, help="Which cases are timed.")  # fmt: skip
@click.option("--case", "only", default="", help="Only timed cases whose id holds this.")
@click.option("--exact", "half", flag_value="exact", help="Only the exact half: no timing.")
@click.option("--timed", "half", flag_value="timed", help="Only the timed half.")
@click.option("--pin", is_flag=True, help="Pin exact figures and timed cases as they are.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto",
              show_default=True, help="Where to time.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True,
              help="torch's threads while timing on a CPU.")  # fmt: skip
@click.option("--smallest-effect", type=click.FloatRange(0.006, 0.5), default=0.03,
              show_default=True, help="Within this fraction two versions are equal.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0.2, 3600), default=_SECONDS, show_default=True,
              help="Timed work a case may take, in each of two stages.")  # fmt: skip
@click.option("--apart", is_flag=True, help="Each side in processes of its own: slower, coarser.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=None,
              help="Of inputs and orders.  [default: drawn and recorded]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="A new folder for the records.  [default: reports/out/gate-<time>]")  # fmt: skip
@click.option("--show", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Check and show an earlier gate; its exit code.")  # fmt: skip
def gate(**options: Any) -> None:
    """Is the working tree slower, larger or less exact than a base?

    Exact figures (bytes, counts, registers, machine code) are held against the pinned ones. Times
    are compared with the base's, both versions loaded in one process, until each case is SLOWER,
    FASTER, EQUIVALENT or its time is spent (UNDECIDED).

    \b
    Exit codes:
      0  no regression          2  bad usage
      1  a regression           3  it could not be measured, or is undecided
      130  interrupted
    """
    sys.exit(_gate(options))


def _gate(options: dict[str, Any]) -> int:
    from benchmarks.gate import trees
    from benchmarks.gate.records import FILE
    from benchmarks.records import RecordError

    if options["pin"] and (options["half"] == "timed" or options["only"] or options["base"]):
        raise click.UsageError("--pin pins all exact figures: expected no other option but --exact")
    if options["apart"] and options["seconds"] != _SECONDS:
        raise click.UsageError("--apart takes pairs of processes: expected no --seconds beside it")
    if options["half"] == "exact" and (options["only"] or options["apart"]):
        raise click.UsageError("--exact: expected no option of the timed half beside it")
    if options["show"]:
        try:
            return _show(options["show"])
        except RecordError as error:
            click.echo(f"error: {error}", err=True)
            return NOT_MEASURED
    options["seed"] = _seed(options["seed"])
    out_dir = options["out"] or OUT / time.strftime("gate-%Y-%m-%d-%H%M%S")
    if (out_dir / FILE).exists():
        raise click.BadParameter(f"{out_dir} holds a gate's records already", param_hint="--out")
    try:
        with trees.alone():
            if options["pin"]:
                return _pin()
            with trees.checked_out(options["base"]) as both:
                return _compare(options, both, out_dir)
    except KeyboardInterrupt:
        click.echo("not measured: interrupted", err=True)
        return INTERRUPTED
    except click.ClickException:
        raise
    except OSError as error:
        reason = _os_reason(error, out_dir)
    except (trees.NoTree, trees.Busy, RecordError) as error:
        reason = str(error)
    except Exception as error:  # whatever broke, it is no regression of the candidate's
        traceback.print_exc()
        reason = f"the gate itself failed: {type(error).__name__}: {error}"
    click.echo(f"not measured: {reason}", err=True)
    return NOT_MEASURED


def _os_reason(error: OSError, folder: Path) -> str:
    """A full disk is found in writing, which names no file; some errors have a text alone."""
    return f"{error.strerror}: {error.filename or folder}" if error.strerror else str(error)


def _compare(options: dict[str, Any], both: Any, out_dir: Path) -> int:
    from benchmarks.gate.decision import Rule
    from benchmarks.gate.session import Asked, run

    from . import reading, terminal, write

    stage_s, smallest = options["seconds"], options["smallest_effect"]
    asked = Asked(
        suite=options["suite"], device=_device(options["device"]), seed=options["seed"],
        threads=options["threads"], rule=Rule(smallest_effect=smallest, stage_s=stage_s),
        command=_command(options, both.base_commit), timed=options["half"] != "exact",
        exact=None if options["half"] == "timed" else _exact, only=options["only"],
        apart=options["apart"],
    )  # fmt: skip
    outcome = run(asked, both, out_dir, Told(Console(stderr=True)).tell)
    written = write.write_all(out_dir)
    console = Console()
    terminal.show(reading.load(outcome.records), console)
    click.echo(f"records: {outcome.records}")
    for name, path in written.items():
        click.echo(f"{name}: {path}")
    return outcome.code


def _show(folder: Path) -> int:
    from benchmarks.gate.records import FILE

    from . import reading, replay, terminal

    found = reading.load(folder / FILE)
    replay.check(found)
    terminal.show(found, Console())
    return found.exit_code


def _exact(base_pins: Path) -> Any:
    from benchmarks.exact.check import check

    return check(pin=False, base_pins=base_pins)


def _pin() -> int:
    """What is measured first: only then is the list of timed cases taken as it is."""
    from benchmarks.exact.command import command
    from benchmarks.gate import inventory

    code = command(pin=True, base_pins=None)
    if code == NOT_MEASURED:
        return code
    now = inventory.declared()
    try:
        pinned = inventory.read()
    except FileNotFoundError:
        pinned = []
    found = inventory.compare(pinned, now)
    for word, ids in (("new", found.unpinned), ("gone", found.vanished)):
        for one in ids:
            click.echo(f"timed case {word}: {one}")
    inventory.write(now)
    return code


def _device(asked: str) -> str:
    from benchmarks.machine import missing

    unmet = missing("cuda")
    if asked == "cuda" and unmet:
        raise click.BadParameter(f"this machine can't time on CUDA: {unmet}", param_hint="--device")
    return asked if asked != "auto" else "cpu" if unmet else "cuda"


def _seed(asked: int | None) -> int:
    import random

    return random.SystemRandom().randrange(2**31) if asked is None else asked


def _command(options: dict[str, Any], base_commit: str) -> str:
    """What runs this gate again; the base by its commit, for a branch moves on."""
    words = ["marginbench", "gate", "--base", base_commit[:12]]
    for parameter in gate.params:
        name = parameter.name or ""
        value = options.get(name)
        if name in ("base", "out", "half", "help", "pin", "show") or value is None or value == "":
            continue
        if value is False or (value == parameter.default and name != "seed"):
            continue
        words += [parameter.opts[-1]] if value is True else [parameter.opts[-1], str(value)]
    if options["half"]:
        words.append(f"--{options['half']}")
    return shlex.join(words)


class Told:
    """Progress on the error stream: a line a case, and in a terminal how many groups it has."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.groups = 0

    def tell(self, kind: str, what: dict[str, Any]) -> None:
        if kind == "exact":
            self._say("exact figures")
        elif kind == "start":
            self.groups = 0
            self._say(f"{what['stage']}: {what['case']}")
        elif kind == "group":
            self.groups += 1
            if self.console.is_terminal and self.groups % 8 == 0:
                self.console.print(f"  {self.groups} groups", end="\r")

    def _say(self, text: str) -> None:
        self.console.print(text, style="dim", highlight=False)


@click.command("gate-trust")
@click.option("--smoke", is_flag=True, help="A handful of trials: does it run (some minutes).")
@click.option("--quiet-only", is_flag=True, help="Leave out the trials under load.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              default=OUT / "gate-trust", show_default=True,
              help="Folder of the trials; what is there already is not run again.")  # fmt: skip
@click.option("--page-only", is_flag=True, help="Only draw the page from what is there.")
def gate_trust(smoke: bool, quiet_only: bool, seed: int, out: Path, page_only: bool) -> None:
    """Measure the gate itself on this machine: false alarms, power, intervals; writes a page.

    Verdicts of the commit against itself and against copies with real extra work, half of them
    while every core is busy with something else. About an hour on two cores; a run that is killed
    goes on where it was. Leave the machine alone meanwhile.
    """
    from benchmarks.gate import trees, trust

    from .trust import page

    if not page_only:
        loads = ("quiet",) if quiet_only else ("quiet", "loaded")
        try:
            with trees.alone(), trees.checked_out("HEAD") as both:
                trust.run(
                    trust.SMOKE if smoke else trust.FULL, both, out, seed=seed, loads=loads,
                    command=f"marginbench gate-trust --seed {seed}", tell=_tell_trial,
                )  # fmt: skip
        except OSError as error:
            click.echo(f"not measured: {_os_reason(error, out)}", err=True)
            sys.exit(NOT_MEASURED)
        except (trees.NoTree, trees.Busy, trust.Mixed) as error:
            click.echo(f"not measured: {error}", err=True)
            sys.exit(NOT_MEASURED)
    click.echo(f"page: {page.build(out)}")


def _tell_trial(trial: Any, done: int, total: int, line: dict[str, Any]) -> None:
    verdicts = ", ".join(sorted({one["verdict"] for one in line["verdicts"]}))
    planted = f"{trial.fraction:.0%} slower" if trial.fraction else "unchanged"
    click.echo(f"{done}/{total} {trial.load}, {planted}: {verdicts} ({line['seconds']:.0f} s)",
               err=True)  # fmt: skip


def register(group: click.Group) -> None:
    group.add_command(gate)
    group.add_command(gate_trust)
