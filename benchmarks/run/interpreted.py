"""Agreement of Triton kernels without a GPU: in Triton's interpreter, in a process of its own.

The interpreter has to be chosen before a kernel's module is imported, so a child process does it
(`processes.Program`), with one message for each case and each answer; what the reference and eager
gave comes with the case, in a file. It may compute while nothing is being timed. A case that
crashes it or takes too long costs that case's cells, and a new child goes on with the rest. What it
computes is right or wrong; how long it takes says nothing about the kernel.

The child is ``python -m benchmarks.run.interpreted``.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from suites.cases import Case

from .. import library, processes
from ..agreement.truth import Truth
from ..instruments import machine
from ..processes import Ended, Program

MODE = "interpreter"
# One small case takes a second or two; the first has triton and the kernels to import as well.
CASE_TIMEOUT_S = 60.0
_COMMAND = (sys.executable, "-m", "benchmarks.run.interpreted")


def contenders(case: Case, only: Collection[str] | None = None) -> list[str]:
    """Which contenders of a case are left to the interpreter: those of the agreement suite, on
    the CPU, that need CUDA and declare that they can be interpreted."""
    from marginbench import catalogue

    if case.suite != "agreement" or case.device != "cpu" or not case.interpret:
        return []
    if machine.missing("triton"):
        return []
    return [
        contender.name
        for contender in catalogue.get(case.loss).variant(case.variant).contenders
        if contender.interpretable
        and "cuda" in contender.needs
        and (only is None or contender.name in only)
    ]


@dataclass(frozen=True)
class Answer:
    """The rows (fields of `rows.Row`) of one case, or the reason why there are none."""

    case: Case
    names: tuple[str, ...]
    rows: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0.0


_Task = tuple[Case, tuple[str, ...], Path]


class Interpreter:
    """Hands cases to the child, one at a time, and collects the answers."""

    def __init__(
        self, timeout_s: float = CASE_TIMEOUT_S, command: Sequence[str] = _COMMAND
    ) -> None:
        self._timeout_s, self._command = timeout_s, command
        self._waiting: collections.deque[_Task] = collections.deque()
        self._current: _Task | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="marginbench-")
        self._sent_at = 0.0
        self._child: Program | None = None

    @property
    def busy(self) -> bool:
        return self._current is not None or bool(self._waiting)

    def start(self) -> Program:
        """The child, which is best started ahead of its first case: its imports take seconds."""
        if self._child is None:
            environment = library.environment(TRITON_INTERPRET="1", OMP_NUM_THREADS="1")
            self._child = Program(self._command, environment)
        return self._child

    def submit(
        self, case: Case, names: Sequence[str], truths: Mapping[str, Truth] | None = None
    ) -> None:
        """``truths``: what this process has computed of the case already, by reduction."""
        path = Path(self._folder.name) / f"{case.id.replace('/', '-')}.pt"
        handed = {}
        for reduction, truth in (truths or {}).items():
            with contextlib.suppress(Exception):  # the child will report what is wrong with it
                handed[reduction] = truth.to_hand_over()
        torch.save(handed, path)
        self._waiting.append((case, tuple(names), path))
        self._send_next()

    def collect(self, wait_s: float = 0.0) -> list[Answer]:
        """The answers that are there; waits at most ``wait_s`` for a first one."""
        answers: list[Answer] = []
        until = time.monotonic() + wait_s
        while self._current is not None:
            left = until - time.monotonic() if not answers else 0.0
            answer = self._receive(max(0.0, left))
            if answer is None:
                break
            answers.append(answer)
            self._send_next()
        return answers

    def close(self) -> None:
        self._stop()
        self._waiting.clear()
        self._folder.cleanup()

    def _stop(self) -> None:
        child, self._child, self._current = self._child, None, None
        if child is not None:
            child.kill()

    def _send_next(self) -> None:
        if self._current is not None or not self._waiting:
            return
        self._current = self._waiting.popleft()
        case, names, path = self._current
        self._sent_at = time.monotonic()
        self.start().send({"case": vars(case), "contenders": names, "truths": str(path)})

    def _receive(self, wait_s: float) -> Answer | None:
        """The current case's answer; None while it is still computing."""
        assert self._current is not None
        case, names, path = self._current
        deadline = self._sent_at + self._timeout_s
        try:
            answer = self.start().receive(min(wait_s, deadline - time.monotonic()))
        except Ended as ended:
            return self._lost(f"the interpreter's process ended (exit code {ended.code})")
        if answer is None:
            if time.monotonic() < deadline:
                return None
            return self._lost(f"the interpreter gave no answer within {self._timeout_s:g} s")
        self._current = None
        path.unlink(missing_ok=True)
        return Answer(case, names, **answer)

    def _lost(self, reason: str) -> Answer:
        assert self._current is not None
        case, names, _ = self._current
        self._stop()
        return Answer(case, names, reason=reason)


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """One case, in the child: the rows of the asked contenders, or the reason for none."""

    from ..agreement import comparison
    from ..instruments.contenders import BASE, candidates
    from ..instruments.rows import Subject, explain, not_run
    from .measurement import draw, only_reduction

    start = time.perf_counter()
    case = Case(**message["case"])
    rows: list[Any] = []
    reason = ""
    try:
        subject = Subject.of(case)
        asked = message["contenders"]
        found = candidates(subject, compile=False, only=asked, interpreted=True, data=case.data)
        eager = next(c for c in found if c.name == BASE)
        mine = [c for c in found if c.name in asked]
        metrics = comparison.metrics(subject)[:1]
        for candidate in mine:
            if candidate.function is None:
                rows += not_run(candidate.name, metrics, candidate.reason, mode=MODE)
        inputs = draw(case, subject, 0)
        truths = {}
        for reduction, handed in torch.load(message["truths"]).items():
            truths[reduction] = Truth(subject, inputs, reduction, eager, case.seed)
            truths[reduction].take_over(handed)
        rows += comparison.measure(
            subject, mine, inputs, case.seed, only=only_reduction(case), eager=eager,
            truths=truths, mode=MODE,
        )  # fmt: skip
    except Exception as error:
        reason = explain(error)
    seconds = time.perf_counter() - start
    return {"rows": [dataclasses.asdict(row) for row in rows], "reason": reason, "seconds": seconds}


def main() -> None:
    from ..sanitizer import interpreter

    interpreter.correct_bfloat16()
    processes.answer(lambda message: [answer(message)])


if __name__ == "__main__":
    main()
