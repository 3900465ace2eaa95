"""What the kernels compile to, compared with what is pinned; or pinned.

    python -m benchmarks.snapshots.static_check           compile every kernel for sm_90
    python -m benchmarks.snapshots.static_check gfx942    for another target

As a module it uses whatever Triton is installed and compares with no pins: all kernels have to
compile. An older Triton's code may spill where the pinned one's does not: that is printed and
allowed, for it is slower and not wrong. It needs torch, Triton and numpy alone.

Exit codes: 0 all compile, 1 not, 2 bad usage, 3 nothing was compiled.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..instruments import gpus
from ..instruments.machine import ROOT
from ..module_commands import Parser, run
from . import pin_files, pins, static_matrix

SAME, DIFFERS, UNCHECKED = 0, 1, 3
REPIN = "marginbench static --pin"
# What is compiled where nobody asks for all of it.
SMALL_TARGETS, SMALL_DTYPES = (gpus.MAIN,), ("bfloat16", "float32")
NO_TRITON = "not checked: Triton isn't installed"


@dataclass(frozen=True)
class Examined:
    """The outcome. ``differences`` from the pins (while pinning: the changes of the pins);
    ``broken`` rules; ``compiled`` how many kernels; ``version`` of the pins. ``left_out`` says
    which kernels were not compiled, ``problem`` why nothing was compared."""

    code: int
    compiled: int = 0
    differences: list[pins.Difference] = field(default_factory=list)
    broken: list[pins.Difference] = field(default_factory=list)
    version: str = ""
    left_out: str = ""
    problem: str = ""


def examine(
    *,
    pin: bool,
    targets: Sequence[str] = (),
    kernels: Sequence[str] = (),
    losses: Sequence[str] = (),
    whole: bool = False,
    tree: Path = ROOT,
    every: Sequence[pin_files.Pin] | None = None,
    cache: Path | None = None,
    report: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Examined:
    """Compile kernels and compare with the pins of ``tree``, or pin them there.

    Compiled are all for ``SMALL_TARGETS`` and ``SMALL_DTYPES``; with ``whole``, and always where it
    is pinned, for every target and dtype. ``targets`` are taken in place of those, with every
    dtype. ``losses`` and names in ``kernels`` narrow what is compiled, compared and pinned.
    ``every``: all pins of ``tree``, where the caller has read them.
    ``report(done, total, what)`` is called with the progress.
    """
    if importlib.util.find_spec("triton") is None:
        return Examined(UNCHECKED, problem=NO_TRITON)
    version = pin_files.version_of("triton", importlib.metadata.version("triton"))
    small = not (pin or whole or targets)
    dtypes = SMALL_DTYPES if small else ()
    targets = tuple(targets) or (SMALL_TARGETS if small else tuple(gpus.TARGETS))
    try:
        every = pin_files.read(tree) if every is None else every
        if not pin and not any(pins.is_of(one, version) for one in every):
            return Examined(UNCHECKED, problem=_nothing_pinned(version, every))
        folders = [pin_files.folder_of(loss) for loss in losses]
        now = static_matrix.compile_matrix(
            targets, kernels, cache=cache or static_matrix.cache_folder(), dtypes=dtypes,
            workers=len(os.sched_getaffinity(0)), losses=losses, report=report,
        )  # fmt: skip
    except (pin_files.PinError, RuntimeError) as error:
        return Examined(UNCHECKED, problem=f"not checked: {error}")
    pinned = [pins.row_of(one) for one in every if pins.is_of(one, version)]
    asked = [row for row in pinned if not folders or row["folder"] in folders]
    before = [row for row in asked if chosen(row, targets, kernels, dtypes)]
    if not now and (pin or not before):
        problem = "not checked: no kernel was selected, so none was compiled"
        return Examined(UNCHECKED, problem=f"{problem}{', nor pinned' if pin else ''}")
    found = pins.differences(before, now)
    compiled = len(pins.once(now))
    if not pin:
        wrong = pins.breaks(now, before)
        code = DIFFERS if found or wrong else SAME
        left_out = _left_out(asked, kernels) if small else ""
        return Examined(code, compiled, found, wrong, version, left_out)
    replaced = {(row["folder"], pins.key(row)) for row in before}
    kept = [one for one in every
            if not (pins.is_of(one, version) and (one.folder, one.key) in replaced)]  # fmt: skip
    pin_files.write([*kept, *(pins.pin_of(row, version) for row in now)], tree)
    # All that is pinned is known now; what is never allowed remains.
    wrong = pins.breaks(now, now)
    return Examined(DIFFERS if wrong else SAME, compiled, found, wrong, version)


def _nothing_pinned(version: str, every: Sequence[pin_files.Pin]) -> str:
    return (
        f"not checked: nothing is pinned for {version} "
        f"(pinned: {pin_files.versions(every, pin_files.STATIC)}); "
        f"pin what is compiled now with: {REPIN}"
    )


def _left_out(pinned: Sequence[pins.Row], kernels: Sequence[str]) -> str:
    """What of the pins the small matrix leaves out, in a sentence; empty if nothing."""
    there = [row for row in pinned if chosen(row, tuple(gpus.TARGETS), kernels)]
    out = [row for row in there if not chosen(row, SMALL_TARGETS, kernels, SMALL_DTYPES)]
    if not out:
        return ""
    return (
        f"{len(pins.once(out))} of {len(pins.once(there))} pinned kernels were not compiled "
        f"(only {', '.join(SMALL_TARGETS)} in {' and '.join(SMALL_DTYPES)} was): "
        "marginbench static --all"
    )


def chosen(
    row: pins.Row, targets: Sequence[str], kernels: Sequence[str], dtypes: Sequence[str] = ()
) -> bool:
    """Whether the command's filters include this row."""
    return (
        row["target"] in targets
        and (not dtypes or row["dtype"] in dtypes)
        and (not kernels or any(name in row["kernel"] for name in kernels))
    )


def main(words: Sequence[str]) -> int:
    parser = Parser("python -m benchmarks.snapshots.static_check", __doc__)
    parser.add_argument("targets", metavar="TARGET", nargs="*", default=[gpus.MAIN],
                        help=", ".join(gpus.TARGETS))  # fmt: skip
    targets = parser.parse_args(words).targets
    unknown = [name for name in targets if name not in gpus.TARGETS]
    if unknown:
        known = ", ".join(gpus.TARGETS)
        parser.error(f"TARGET: expected one of {known}; got {unknown[0]!r}")
    if importlib.util.find_spec("triton") is None:
        print(NO_TRITON, file=sys.stderr)
        return UNCHECKED
    try:
        rows = pins.once(static_matrix.compile_matrix(
            targets, cache=static_matrix.cache_folder(), workers=len(os.sched_getaffinity(0))
        ))  # fmt: skip
    except (RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNCHECKED
    failed = [row for row in rows if "error" in row]
    for row in rows:
        if "breaks" in row:
            said = row.get("error") or ", ".join(row["breaks"])
            print(f"{row['kernel']} for {row['target']}: {said} ({pins.short(row['arguments'])})")
    version = importlib.metadata.version("triton")
    print(f"Triton {version}: {len(rows)} kernels, {len(failed)} don't compile")
    return UNCHECKED if not rows else DIFFERS if failed else SAME


if __name__ == "__main__":
    run(main)
