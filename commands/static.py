"""``marginbench static``: what the kernels compile to, compared with what is pinned."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from benchmarks.instruments import gpus

from . import progress
from .messages import console, say
from .parameters import Choice, known_losses

if TYPE_CHECKING:
    from benchmarks.snapshots import pins

# How wide tables are in a log.
_WIDTH = 160


@click.command()
@click.option("--all", "whole", is_flag=True, help="For every target, in every dtype.")
@click.option("--pin", is_flag=True, help="Pin what is compiled now, and show what changes.")
@click.option("--loss", "losses", multiple=True, help="Only what this loss launches; repeatable.")
@click.option("--target", "targets", multiple=True, type=Choice(list(gpus.TARGETS)),
              help="Only this target; repeatable.")  # fmt: skip
@click.option("--kernel", "kernels", multiple=True,
              help="Only kernels whose name contains this; repeatable.")  # fmt: skip
def static(
    whole: bool,
    pin: bool,
    losses: tuple[str, ...],
    targets: tuple[str, ...],
    kernels: tuple[str, ...],
) -> None:
    """Compile the kernels for a GPU and compare with the pins.

    Needs Triton, but no GPU. The pins are each kernel's registers, shared memory, spills and
    machine code, as committed. For sm_90 in bfloat16 and float32; with --all for every GPU in every
    dtype, which takes minutes, as --pin does. What was compiled before is cached.

    \b
    Examples:
      marginbench static
      marginbench static --all
      marginbench static --target sm_90 --kernel triplet
      marginbench static --pin                          accept what is compiled now

    Exit codes: 0 as pinned, 1 something differs or breaks a rule, 2 bad usage, 3 there are no pins
    to compare with, they are damaged, no kernel was selected, a loss can't be imported, or a
    worker died.
    """
    known_losses(losses)
    sys.exit(check(pin=pin, targets=targets, kernels=kernels, losses=losses, whole=whole))


def check(
    *, pin: bool, targets: Sequence[str] = (), kernels: Sequence[str] = (), **options: Any
) -> int:
    """Compile, compare (or pin, showing what changes) and say it; returns the exit code.

    ``targets`` and names in ``kernels`` narrow what is compiled, compared and pinned; ``options``
    are those of `benchmarks.snapshots.static_check.examine`.
    """
    from benchmarks.snapshots import pin_files, static_check

    with progress.shown() as report:
        found = static_check.examine(
            pin=pin, targets=targets, kernels=kernels, report=report, **options
        )
    if found.problem:
        say(found.problem, err=True)
        return found.code
    counts = f"{_count(found.differences)} {'changed' if pin else 'not as pinned'}"
    _show(found.differences, f"{'Changed' if pin else 'Not as pinned'} for {found.version}")
    _show(found.broken, "Rules that are broken")
    if pin:
        say(f"{pin_files.WHERE}: {found.compiled} compiled kernels pinned, {counts}")
    else:
        say(f"{found.compiled} compiled kernels, {counts}, {_count(found.broken)} wrong")
        if found.left_out:
            say(found.left_out)
        if found.differences:
            say(f"where that is meant, pin it with: {static_check.REPIN}", err=True)
    return found.code


def _count(found: list[pins.Difference]) -> int:
    return len({(d.kernel, d.target, d.arguments) for d in found})


def _show(found: list[pins.Difference], title: str) -> None:
    from benchmarks.snapshots import pins

    if not found:
        return
    table = Table("kernel", "target", "compiled for", "metric", "pinned", "now", title=title)
    for one in found:
        table.add_row(
            one.kernel, one.target, pins.short(one.arguments), one.metric,
            one.pinned[:40], one.now[:80],
        )  # fmt: skip
    console(_WIDTH).print(table)
