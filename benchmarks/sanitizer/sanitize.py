"""Hands the jobs of `jobs` to workers and gives the verdict.

Every line of every @triton.jit function that reads or writes memory must have been reached by at
least one lane that isn't masked off: a kernel that nothing ran is a failure. And every argument
that was ever larger than 2^31 elements must have been reached beyond them, which shows that its
offset has 64 bits. Of a sample only the first is asked.
"""

from __future__ import annotations

import ast
import itertools
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marginbench import catalogue

from .. import processes
from .jobs import Tally, jobs, work

CLEAN, FOUND, COULD_NOT_RUN = 0, 1, 3
KERNELS = Path(catalogue.__file__).parent


@dataclass(frozen=True)
class Site:
    """A line (or a call over several) of a @triton.jit function that reads or writes memory."""

    path: str
    function: str
    first: int
    last: int


def sites(folder: Path = KERNELS) -> list[Site]:
    """All of them, in the order of files and lines."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and _is_kernel(function):
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and _reaches_memory(node.func):
                        last = node.end_lineno or node.lineno
                        found.append(Site(str(path), function.name, node.lineno, last))
    return found


def _is_kernel(function: ast.FunctionDef) -> bool:
    return any("triton.jit" in ast.unparse(decorator) for decorator in function.decorator_list)


def _reaches_memory(called: ast.expr) -> bool:
    if not isinstance(called, ast.Attribute):
        return False
    in_registers = ast.unparse(called) in ("tl.gather", "tl.scatter")
    name = called.attr
    return name.startswith("atomic_") or (
        name in ("load", "store", "gather", "scatter") and not in_registers
    )


@dataclass(frozen=True)
class Row:
    """The verdict on one function: every one that reads or writes memory has a row."""

    function: str
    launches: int
    far: int
    lanes: int
    reached: int
    sites: int
    beyond: tuple[str, ...]
    verdict: str


def rows(tally: Tally, known: list[Site], *, sample: bool = False) -> list[Row]:
    found = []
    for (path, function), group in itertools.groupby(known, lambda s: (s.path, s.function)):
        here = list(group)
        lanes = [
            sum(
                n for (p, line), n in tally.lanes.items() if p == path and s.first <= line <= s.last
            )
            for s in here
        ]
        missed = [s.first for s, n in zip(here, lanes, strict=True) if not n]
        large = sorted(a for p, kernel, a in tally.large if (p, kernel) == (path, function))
        far = {a: tally.farthest.get((path, function, a), 0) > 1 << 31 for a in large}
        wrong = sum(f.kernel == function and f.path == path for f in tally.findings)
        verdict = f"{wrong} out of bounds" if wrong else "clean"
        if len(missed) == len(here):
            verdict = "never ran"
        elif missed:
            verdict += f"; not reached: line {', '.join(map(str, missed))}"
        if not all(far.values()) and not sample:
            verdict += f"; not reached past 2^31: {', '.join(a for a in far if not far[a])}"
        found.append(Row(
            f"{Path(path).relative_to(KERNELS).with_suffix('')}:{function}",
            tally.launches[path, function], tally.far[path, function],
            sum(lanes), len(here) - len(missed), len(here),
            tuple(a for a in far if far[a]), verdict,
        ))  # fmt: skip
    return found


def check(
    report: Any, workers: int = 2, only: str = "", *, sample: bool = False
) -> tuple[Tally, list[Row], int]:
    """Does all jobs whose name contains ``only``, or of a ``sample``, and reports each. The exit
    code comes last: 1 for a finding, a problem, or a line or a far argument that nothing reached; 3
    if a worker process died, the interpreter isn't as expected, or there was no job or kernel."""
    plan, known = [job for job in jobs(sample=sample) if only in str(job)], sites()
    environment = {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    tally, code = Tally(), CLEAN
    for there, what in ((plan, f"job's name holds {only!r}"), (known, "kernel reaches memory")):
        if not there:
            tally.problems.append(f"nothing was checked: no {what}")
            code = COULD_NOT_RUN
    if code:
        return tally, rows(tally, known), code
    # A worker imports the kernels again and reads it.
    with processes.inheriting(environment), processes.side_by_side(workers) as pool:
        waiting = {pool.submit(work, job): job for job in plan}
        report(0, len(plan), "")
        for done, future in enumerate(as_completed(waiting), 1):
            job = waiting[future]
            try:
                tally.add(future.result())
            except BrokenProcessPool:
                tally.problems.append(f"{job}: its process died")
                code = COULD_NOT_RUN
            except Exception as error:
                tally.problems.append(f"{job}: {type(error).__name__}: {error}")
                code = COULD_NOT_RUN
            report(done, len(plan), str(job))
    table = rows(tally, known, sample=sample)
    wrong = tally.findings or tally.problems or any(row.verdict != "clean" for row in table)
    if tally.findings:
        return tally, table, FOUND  # whatever else went wrong
    return tally, table, code or (FOUND if wrong else CLEAN)
