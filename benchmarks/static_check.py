"""What the kernels compile to, compared with what is pinned; or pinned.

    python -m benchmarks.static_check           compile every kernel for sm_90
    python -m benchmarks.static_check gfx942    for another target

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

from . import gpus, pins, static_matrix
from .module_commands import Parser, run

SAME, DIFFERS, UNCHECKED = 0, 1, 3
REPIN = "marginbench static --pin"
NO_TRITON = "not checked: Triton isn't installed"


@dataclass(frozen=True)
class Examined:
    """The outcome. ``differences`` from the pins (while pinning: the changes of the pins);
    ``broken`` rules; ``compiled`` how many kernels; ``path`` of the pins. ``problem`` says why
    nothing was compared."""

    code: int
    compiled: int = 0
    differences: list[pins.Difference] = field(default_factory=list)
    broken: list[pins.Difference] = field(default_factory=list)
    path: Path | None = None
    problem: str = ""


def examine(
    *,
    pin: bool,
    targets: Sequence[str] = (),
    kernels: Sequence[str] = (),
    folder: Path = pins.FOLDER,
    cache: Path | None = None,
    losses: Sequence[str] = (),
    report: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Examined:
    """Compile every kernel and compare with the pins in ``folder``, or pin them there.

    ``targets`` and names in ``kernels`` narrow what is compiled, compared and pinned.
    ``report(done, total, what)`` is called with the progress.
    """
    if importlib.util.find_spec("triton") is None:
        return Examined(UNCHECKED, problem=NO_TRITON)
    version = importlib.metadata.version("triton")
    path = pins.path_for(version, folder)
    if not pin and not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("triton-*.jsonl"))) or "none"
        problem = (
            f"not checked: nothing is pinned for Triton {version} (pinned: {there}); "
            f"pin what is compiled now with: {REPIN}"
        )
        return Examined(UNCHECKED, problem=problem)
    targets = tuple(targets or gpus.TARGETS)
    try:
        everything = pins.read(path) if path.is_file() else []
        now = static_matrix.compile_matrix(
            targets, kernels, cache=cache or static_matrix.cache_folder(),
            workers=len(os.sched_getaffinity(0)), losses=losses, report=report,
        )  # fmt: skip
    except (pins.PinError, RuntimeError) as error:
        return Examined(UNCHECKED, problem=f"not checked: {error}")
    before = [row for row in everything if chosen(row, targets, kernels)]
    if not now and (pin or not before):
        problem = "not checked: no kernel was selected, so none was compiled"
        return Examined(UNCHECKED, problem=f"{problem}{', nor pinned' if pin else ''}")
    found = pins.differences(before, now)
    if not pin:
        wrong = pins.breaks(now, before)
        code = DIFFERS if found or wrong else SAME
        return Examined(code, len(now), found, wrong, path)
    replaced = {pins.key(row) for row in before}
    pins.write(path, [*(row for row in everything if pins.key(row) not in replaced), *now])
    # All that is pinned is known now; what is never allowed remains.
    wrong = pins.breaks(now, now)
    return Examined(DIFFERS if wrong else SAME, len(now), found, wrong, path)


def chosen(row: pins.Row, targets: Sequence[str], kernels: Sequence[str]) -> bool:
    """Whether the command's filters include this row."""
    return row["target"] in targets and (
        not kernels or any(name in row["kernel"] for name in kernels)
    )


def main(words: Sequence[str]) -> int:
    parser = Parser("python -m benchmarks.static_check", __doc__)
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
        rows = static_matrix.compile_matrix(
            targets, cache=static_matrix.cache_folder(), workers=len(os.sched_getaffinity(0))
        )
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
