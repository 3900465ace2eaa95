"""Contenders that are planted to be caught, small cases, and what they are measured with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from benchmarks.agreement.truth import Truth
from benchmarks.instruments import clock
from benchmarks.instruments.rows import Candidate, Subject
from benchmarks.records.loading import load
from benchmarks.run import session
from benchmarks.run.rounds import Interleaved, Rounds, Timed
from benchmarks.steps import Step
from marginbench import catalogue
from marginbench.inputs import random_inputs
from marginbench.loss import Contender, Shape
from suites import presets
from suites.cases import Case

SHAPE = Shape(16, 8, 5)


def softmax_subject(dtype: str = "float32", shape: Shape = SHAPE) -> Subject:
    loss = catalogue.get("softmax")
    return Subject(loss, loss.variant("linear"), shape, dtype, "cpu")


def mining_subject() -> Subject:
    loss = catalogue.get("triplet")
    return Subject(loss, loss.variant("mine-batch-hard"), Shape(12, 8, 4), "float32", "cpu")


def candidate(subject: Subject, name: str, function: Callable | None = None) -> Candidate:
    """A contender that is judged as a kernel of our own; eager's function where none is given."""
    own = subject.loss.resolve(subject.variant.contender("eager").entry)
    return Candidate(Contender(name, "eager:planted"), function or own)


def truths(subject: Subject, seed: int, count: int = 3) -> list[Truth]:
    eager = candidate(subject, "eager")
    return [
        Truth(
            subject,
            random_inputs(subject.variant, subject.shape, subject.dtype, "cpu", seed + k),
            "mean",
            eager,
            seed,
        )
        for k in range(count)
    ]


class FakeClock:
    """Calls everything, and says that each pass took a fixed time."""

    protocol: ClassVar[dict[str, str]] = {"clock": "fake"}

    def time(self, forward, backward):
        value = forward()
        if backward is not None:
            backward(value)
        return clock.Sample(1.0, None if backward is None else 2.0, 3.0), value


def run_rounds(
    subject: Subject, found: list[Candidate], seed: int, rounds: Rounds | None = None, clocked=None
) -> dict[str, Timed]:
    loop = Interleaved(
        subject, found, truths(subject, seed), rounds or Rounds(100.0, 8, 8, 1),
        clocked or FakeClock(), seed,
    )  # fmt: skip
    return {timed.candidate.name: timed for timed in loop.run()}


def eager_softmax(**arguments) -> Tensor:
    return catalogue.get("softmax").resolve("eager:softmax")(**arguments)


def scaled(**arguments) -> Tensor:
    return eager_softmax(**arguments) * 1.0001


def changes_its_input(bias: Tensor, **arguments) -> Tensor:
    """The bias, which torch does not save for the backward pass and so does not guard."""
    value = eager_softmax(bias=bias, **arguments)
    with torch.no_grad():
        bias[0] += 1
    return value


def changes_it_behind_torch(bias: Tensor, **arguments) -> Tensor:
    value = eager_softmax(bias=bias, **arguments)
    bias.detach().numpy()[0] += 1
    return value


def not_finite(**arguments) -> Tensor:
    return eager_softmax(**arguments) * float("nan")


TINY = dataclasses.replace(
    presets.FAST, seconds_per_case=0.5, min_rounds=2, max_rounds=2, warmup_rounds=1, budget_s=600
)


def case(loss: str = "softmax", variant: str = "linear", batch: int = 7, **changes) -> Case:
    fields = {
        "suite": "speed", "shape": Shape(batch, 5, 3), "dtype": "float32", "device": "cpu",
        "data": "drawn", "seed": 0, "measures": ("agreement", "speed", "memory"),
    }  # fmt: skip
    declared = catalogue.get(loss)
    return Case.of(loss=declared, variant=declared.variant(variant), **(fields | changes))


def run(cases: list[Case], out: Path, preset: presets.Preset = TINY, **options):
    steps: list[Step] = []
    outcome = session.run(cases, preset, out, progress=steps.append, **options)
    return outcome, load(outcome.records), steps
