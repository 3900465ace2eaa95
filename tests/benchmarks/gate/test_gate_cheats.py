"""The gate is not fooled: each way to look fast is found, and an honest candidate passes."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gate_cheats
import pytest
import torch

from benchmarks.gate import packages, pair, validity_checks, worker
from benchmarks.gate.decision import Rule
from benchmarks.gate.worker import WorkerRequest
from marginbench.loss import Shape
from suites.gate import TimedCase, plan

ROOT = Path(__file__).resolve().parents[3]


class Heard:
    """Stands for the parent's end of the pipe."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict]] = []

    def send(self, message: tuple[str, dict]) -> None:
        self.messages.append(message)


@pytest.fixture(scope="module", autouse=True)
def _two_copies():
    """As a process of the gate has them: with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield from _loaded()
    torch.set_num_threads(threads)


def _loaded():
    for name in (packages.BASE, packages.CANDIDATE):
        packages.load(ROOT, name)
    yield


def case(loss: str = "softmax") -> TimedCase:
    return next(c for c in plan("smoke", "cpu") if c.loss == loss)


def measured(plant: str, loss: str = "softmax") -> dict:
    one = case(loss)
    if plant == "no_work_at_all":  # whatever is handed out has to be less work than the case
        one = replace(one, shape=Shape(512, 128, 1000))
    asked = WorkerRequest((ROOT, ROOT), "screen", (one,), Rule(stage_s=0.3), 1, 0, 1,
                    (f"gate_cheats:{plant}", 0.0) if plant else worker.NO_PLANT)  # fmt: skip
    return worker._measure(asked, asked.cases[0], Heard())  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["softmax", "triplet"])
def test_an_honest_candidate_is_not_suspected(loss: str):
    found = measured("", loss=loss)
    assert not found["reason"], found
    assert found["shared"]


@pytest.mark.parametrize("cheat", gate_cheats.CAUGHT)
def test_caught(cheat: str):
    found = measured(cheat)
    assert found["side"] == "candidate", found
    assert re.search(gate_cheats.CAUGHT[cheat], found["reason"]), found


def test_a_patched_clock_does_not_time_anything(monkeypatch):
    """Ruled out: the gate has its clock before a tree is loaded."""
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 0)
    made = pair.Pair(case(), (packages.BASE, packages.CANDIDATE), 0)
    assert made.call(made.sides[1]) > 0


@pytest.mark.parametrize(("busy", "caught"), [((3,), False), ((0, 2, 4), True)])
def test_one_stolen_processor_is_no_work_put_off(busy, caught: bool, monkeypatch):
    """A virtual machine that loses its processor counts that as the process's own time."""
    clock, calls = [0], []

    class Called:
        def call(self, side) -> int:
            clock[0] += 2_000_000
            return calls.append(None) or 0

    def slept(_: float) -> None:
        clock[0] += 10_000_000 if len(calls) - 1 in busy else 50_000

    monkeypatch.setattr(validity_checks.time, "process_time_ns", lambda: clock[0])
    monkeypatch.setattr(validity_checks.time, "sleep", slept)
    side = SimpleNamespace(name="candidate")
    with pytest.raises(pair.Wrong, match="works on") if caught else contextlib.nullcontext():
        validity_checks._finishes_in_time(Called(), side)  # type: ignore[arg-type]
    assert len(calls) == 5
