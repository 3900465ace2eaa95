"""Compiles everything that is launched, for every target: in parallel, and nothing twice.

Facts are kept in a folder under the user's cache by a key of all that decides them: Triton's
version, the kernel's source with what it calls, its arguments, the target, and the files that read
the compiled code. The parent needs neither torch nor triton; its workers are processes without
``TRITON_INTERPRET`` or any other variable that would change what Triton compiles.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .. import processes, user_cache
from ..instruments.machine import ROOT
from ..records import files
from . import pin_files, pins

# So many kernels share the start of a disassembler, and a step of the progress bar.
CHUNK = 12
# What decides on a compiled kernel's facts beside the kernel; a change of one empties the cache.
_READERS = ("instruments/gpus.py", "snapshots/disassembly.py", "snapshots/specializations.py",
            "snapshots/static.py", "snapshots/static_matrix.py")  # fmt: skip


def cache_folder() -> Path:
    """``static`` in the user's cache."""
    return user_cache.folder() / "static"


def compile_matrix(
    targets: Sequence[str],
    kernels: Sequence[str] = (),
    *,
    cache: Path,
    dtypes: Sequence[str] = (),
    workers: int = 2,
    losses: Sequence[str] = (),
    report: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[pins.Row]:
    """The rows of every kernel whose name contains one of ``kernels`` and that works on one of
    ``dtypes`` (none given: of all), one for each loss that launches it.

    ``losses`` records only these. ``report(done, total, what)`` is called with the progress. A
    kernel that doesn't compile has a row with its ``error``.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _workers(workers) as pool:
        report(0, 0, "recording what is launched")
        surveys = [
            pool.submit(_survey, target, tuple(losses), tuple(kernels), tuple(dtypes))
            for target in targets
        ]
        rows, missing, total = [], [], 0
        folders: dict[pins.Key, list[str]] = {}
        for target, survey in zip(targets, surveys, strict=True):
            found = survey.result()
            total += len(found)
            absent = []
            for one, key, launchers in found:
                folders[one.kernel.short, one.text, target] = launchers
                kept = _kept(cache / f"{key}.json")
                if kept is None:
                    absent.append((one, key))
                else:
                    rows.append(kept)
            missing += [(target, absent[n : n + CHUNK]) for n in range(0, len(absent), CHUNK)]
        report(len(rows), total, "")
        jobs = {
            pool.submit(_compile, target, [one for one, _ in chunk]): (target, chunk)
            for target, chunk in missing
        }
        for job in concurrent.futures.as_completed(jobs):
            target, chunk = jobs[job]
            for row, (_, key) in zip(job.result(), chunk, strict=True):
                rows.append(row)
                if "error" not in row:
                    _keep(cache / f"{key}.json", row)
            report(len(rows), total, f"{target} {rows[-1]['kernel']}")
    return [
        {**_judged(row), "folder": folder}
        for row in sorted(rows, key=pins.key)
        for folder in folders[pins.key(row)]
    ]


@contextlib.contextmanager
def _workers(count: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Processes that compile without Triton's environment variables, into a temporary cache of
    Triton's: the user's would grow by hundreds of megabytes."""
    left_out = dict.fromkeys(name for name in os.environ if name.startswith("TRITON_"))
    with tempfile.TemporaryDirectory(prefix="marginbench-") as folder:
        changes = {**left_out, "TRITON_CACHE_DIR": folder, "OMP_NUM_THREADS": "1"}
        with processes.inheriting(changes), processes.side_by_side(count) as pool:
            yield pool


def _survey(target, losses, kernels, dtypes):
    """What is launched on a target, each with the key of its facts and its losses' folders."""
    from . import launches

    return [
        (one, _key(one, target), [pin_files.folder_of(loss) for loss in launchers])
        for one, launchers in launches.specializations(target, losses).items()
        if (not kernels or any(name in one.kernel.short for name in kernels))
        and (not dtypes or one.dtype in dtypes)
    ]


def _key(one, target: str) -> str:
    parts = (_version(), _readers(), target, one.kernel.short, one.text, one.source_key())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _version() -> str:
    return importlib.metadata.version("triton")


def _readers() -> str:
    return "".join((ROOT / "benchmarks" / name).read_text() for name in _READERS)


def _compile(target: str, made) -> list[pins.Row]:
    from . import static

    return [
        _row(one, target, facts)
        for one, facts in zip(made, static.compile_all(made, target), strict=True)
    ]


def _row(one, target: str, facts) -> pins.Row:
    row = {
        "kernel": one.kernel.short, "target": target, "dtype": one.dtype, "arguments": one.text,
        "aligned": one.aligned,
    }  # fmt: skip
    if isinstance(facts, Exception):
        row["error"] = f"{type(facts).__name__}: {facts}".splitlines()[0]
    else:
        row |= dataclasses.asdict(facts)
        row["products"] = list(facts.products)
    return row


def _judged(row: pins.Row) -> pins.Row:
    wrong = pins.broken(row)
    return {**row, "breaks": wrong} if wrong else row


def _kept(path: Path) -> pins.Row | None:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _keep(path: Path, row: pins.Row) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with files.naming(path):
        unfinished.write_text(json.dumps(row))
        unfinished.replace(path)
