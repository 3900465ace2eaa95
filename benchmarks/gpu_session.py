"""Check, time and watch every kernel on this machine's GPU, within minutes.

    python -m benchmarks.gpu_session --out records    8 minutes; --minutes 20 for more
    python -m benchmarks.gpu_session --dry-run        the same plan on a CPU, on tiny shapes

Needs only torch, Triton and the standard library; optional packages that are missing are listed
with what they would add. The records of a dry run say so, and reports refuse them.

Exit codes: 0 fine, 1 something is wrong or failed, 2 bad usage, 3 it can't be measured here,
nothing was, or records can't be written, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from .module_commands import Parser, run

REQUIRED = {"torch": "torch>=2.11", "triton": "triton>=3.6"}
# Import name: its name for pip, and what is missing without it.
OPTIONAL = {
    "pynvml": ("nvidia-ml-py", "clocks, power, temperature and throttle reasons"),
    "pytorch_metric_learning": (
        "pytorch-metric-learning==2.9.0",
        "the peer pytorch-metric-learning",
    ),
    "liger_kernel": ("liger-kernel==0.8.5", "the peer liger-kernel"),
    "cut_cross_entropy": ("cut-cross-entropy==25.1.1", "the peer cut-cross-entropy"),
    "quack": ("quack-kernels==0.6.5", "the peer quack"),
}
# A dry run interprets kernels, in numpy.
FOR_DRY_RUN = {"numpy": "numpy"}


def absent(names: Sequence[str]) -> list[str]:
    """Those that can't be imported here."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def unmet(*, dry_run: bool) -> str:
    """What has to be installed first, as a sentence with the command; empty if nothing."""
    needed = REQUIRED | (FOR_DRY_RUN if dry_run else {})
    lacking = [needed[name] for name in absent(list(needed))]
    if not lacking:
        return ""
    line = " ".join(shlex.quote(name) for name in lacking)
    return f"a GPU session needs {' and '.join(lacking)}; install with: pip install {line}"


def optional() -> dict[str, str]:
    """The optional packages that are missing: name for pip, and what the session lacks."""
    return dict(OPTIONAL[name] for name in absent(list(OPTIONAL)))


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = Parser("python -m benchmarks.gpu_session", __doc__)
    parser.add_argument(
        "--dry-run", action="store_true", help="the same plan on a CPU, tiny shapes; no evidence"
    )
    parser.add_argument(
        "--out", type=_folder,
        help="a new or empty folder for the records; an earlier session's folder is continued  "
        "[default: reports/out/gpu-<time>]",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=_minutes, default=8.0, help="time for the whole session  [default: 8]"
    )
    return parser.parse_args(words)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder; got an empty path (here is .)")
    return Path(text)


def _minutes(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 24 * 60:
        raise argparse.ArgumentTypeError(f"expected minutes above 0, such as 8; got {text!r}")
    return found


def main(words: Sequence[str]) -> int:
    given = arguments(words)
    if problem := unmet(dry_run=given.dry_run):
        print(f"error: {problem}", file=sys.stderr)
        return 3
    from benchmarks.gpu import budget

    minutes = budget.new(given.minutes)  # what follows imports torch, which takes seconds
    from benchmarks.gpu.journal import Journal, Refused
    from benchmarks.gpu.session import Session
    from benchmarks.instruments import machine
    from benchmarks.records.record_files import RecordError
    from suites import gpu

    if not given.dry_run and (reason := machine.missing("cuda")):
        print(f"error: {reason}; --dry-run runs the plan without one", file=sys.stderr)
        return 3
    notes = optional()
    for package, without in notes.items():
        print(f"missing: {without}; install with: pip install {shlex.quote(package)}")
    prefix = "gpu-dry-run" if given.dry_run else "gpu"
    out = given.out or Path("reports/out") / f"{prefix}-{datetime.now():%Y%m%d-%H%M%S}"
    command = shlex.join(["python", "-m", "benchmarks.gpu_session", *words])
    try:
        journal = Journal(out, dry_run=given.dry_run)
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, Refused) else 3
    try:
        session = Session(gpu.plan(dry_run=given.dry_run), journal, minutes, command,
                          given.dry_run, notes=notes)  # fmt: skip
        code = session.run()
    except RecordError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(
            f"error: {error}; complete lines are kept: continue with --out {out}", file=sys.stderr
        )
        return 3
    finally:
        journal.close()
    for problem in session.problems[:20]:
        print(f"problem: {problem}")
    print(f"records: {journal.path} ({journal.worse} results failed)")
    return code


if __name__ == "__main__":
    run(main)
