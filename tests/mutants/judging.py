"""Puts each mutant into a copy of the tree, runs the tests that should find it, and judges.

A mutant is **found** where a test fails by an assertion (or by the error that it declares). If the
tests named for it do not find it, the wider ones are tried; then it **survives**. A mutant that
cannot be imported, runs too long, or only makes a test stumble over another error is **invalid**:
it shows nothing about what the tests hold.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .declared import Mutant
from .forking import NOT_IMPORTED, TIMEOUT_S, WIDER_TIMEOUT_S, Ran, Run

FOUND, SURVIVES, INVALID = "found", "survives", "invalid"


@dataclass(frozen=True)
class Judged:
    """One mutant: what became of it, the test that found it or the reason, and what it took."""

    mutant: Mutant
    state: str
    reason: str
    by: str = ""
    seconds: float = 0.0
    cpu_s: float = 0.0
    elsewhere: bool = False
    output: str = ""


def verdict(mutant: Mutant, ran: Ran) -> tuple[str, str]:
    """The state and the reason that one run gives."""
    if ran.code is None:
        return INVALID, "took too long"
    if ran.code == NOT_IMPORTED:
        return INVALID, "cannot be imported"
    if ran.code == 0 and ran.passed:
        return SURVIVES, "no test went red"
    if ran.code != 1 or not ran.failed:
        return INVALID, f"pytest ended with exit code {ran.code}, {ran.passed} tests passed"
    if mutant.raises and ran.error.startswith(mutant.raises):
        return FOUND, ran.error
    if not ran.asserted:
        return INVALID, f"went red by no assertion: {ran.error}"
    return FOUND, ran.error


def function_of(test: str) -> str:
    """The test without its parameters."""
    return test.split("[")[0]


@dataclass
class _Job:
    mutant: Mutant | None
    tests: Sequence[str]
    spent: tuple[float, float] = (0.0, 0.0)
    wider: bool = False


class Judge:
    """Runs up to ``workers`` at a time, each in the copy of the tree that it is given."""

    def __init__(self, root: Path, folders: Sequence[Path], seed: int, wait: Callable) -> None:
        self._root, self._seed, self._wait = root, seed, wait
        self._free = list(folders)
        self._running: list[tuple[_Job, Path, Run, str]] = []

    def unmutated(self, tests: Sequence[str]) -> list[Ran]:
        """The same tests over the tree as it is, a part for each worker."""
        parts = [tests[k :: len(self._free)] for k in range(len(self._free))]
        waiting = collections.deque(_Job(None, part) for part in parts if part)
        return [ran for _, ran in self._run(waiting)]

    def judge(self, mutants: Sequence[Mutant]) -> Iterator[Judged]:
        """Each as it is done, in no order."""
        waiting = collections.deque(_Job(mutant, mutant.tests) for mutant in mutants)
        for job, ran in self._run(waiting):
            assert job.mutant is not None
            spent = (job.spent[0] + ran.seconds, job.spent[1] + ran.cpu_s)
            state, reason = verdict(job.mutant, ran)
            if state == SURVIVES and not job.wider and job.mutant.wider:
                waiting.appendleft(_Job(job.mutant, job.mutant.wider, spent, wider=True))
                continue
            yield Judged(
                job.mutant, state, reason, function_of(ran.failed), *spent, job.wider, ran.output
            )

    def _run(self, waiting: collections.deque[_Job]) -> Iterator[tuple[_Job, Ran]]:
        while waiting or self._running:
            while waiting and self._free:
                self._start(waiting.popleft(), self._free.pop())
            for entry in list(self._running):
                job, folder, run, original = entry
                ran = run.poll()
                if ran is None:
                    continue
                self._running.remove(entry)
                if job.mutant is not None:
                    (folder / job.mutant.file).write_text(original)
                self._free.append(folder)
                yield job, ran
            self._wait()
            time.sleep(0.02)

    def _start(self, job: _Job, folder: Path) -> None:
        original, module = "", ""
        if job.mutant is not None:
            path, module = folder / job.mutant.file, job.mutant.module
            original = path.read_text()
            path.write_text(job.mutant.applied(original))
        run = Run(
            self._root, folder, job.tests, self._seed,
            module=module, stop_at_first=job.mutant is not None,
            timeout_s=TIMEOUT_S if job.mutant is not None and not job.wider else WIDER_TIMEOUT_S,
        )  # fmt: skip
        self._running.append((job, folder, run, original))
