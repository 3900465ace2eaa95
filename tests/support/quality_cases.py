"""Trainings and losses that misbehave, shared by the tests of the training-quality suite."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.training import training
from marginbench import catalogue
from marginbench.loss import Contender, Loss, Training
from suites.jobs import Job
from suites.presets import PRESETS

FAST = PRESETS["fast"]
PLANTED = """
import torch
calls = []


def loss(x, *, centers, strength, reduction):
    calls.append((centers.clone(), strength, centers.requires_grad))
    return strength * (x - 1).square().mean()


def update(x, centers, *, rate):
    return centers + rate


def pairs(a, b, different, weights, *, reduction):
    assert 0 < different.sum() < len(different), "both kinds of pair"
    distance = (a - b).square().sum(1)
    terms = torch.where(different, (1 - (distance + 1e-6).sqrt()).relu().square(), distance)
    return terms.mean() + weights.square().mean()


def failing(x, *, centers, strength, reduction):
    raise RuntimeError("planted")


def diverging(x, *, centers, strength, reduction):
    calls.append(None)
    return x.square().mean() * (float("nan") if len(calls) > 20 else 1.0)


def poisoning(x, *, centers, strength, reduction):
    # A finite loss with a gradient that is not: the square root at zero.
    return (x - x).abs().sum().sqrt()
"""


def job(loss: str, seed: int, contender: str = "eager", *, epochs: int = 2) -> Job:
    jobs = [j for j in training.plan(FAST, seed, "cpu", contender) if j.loss == loss]
    assert len(jobs) == 1
    settings = dataclasses.replace(jobs[0].settings, epochs=epochs)
    return dataclasses.replace(jobs[0], settings=settings)


# What the clock and the machine say, not the training.
TIMED = ("train_time_s", "samples_per_second", "data_wait_share", "peak_memory_bytes")


def without_times(rows: list[dict[str, float | None]]) -> list[dict[str, float | None]]:
    return [{k: v for k, v in row.items() if k not in TIMED} for row in rows]


@functools.cache
def trained(loss: str, seed: int) -> training.TrainingResult:
    """Two epochs of eager, trained once per session: to compare with, not to change."""
    return training.run(job(loss, seed))


def planted_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Loss]]:
    """A folder with losses that misbehave: ``planted(function)`` declares one of them."""
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "__init__.py").write_text("")
    (tmp_path / "planted" / "eager.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("planted", "planted.eager"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def declare(function: str) -> Loss:
        linear = catalogue.get("softmax").variant("linear")
        variant = dataclasses.replace(
            linear,
            name=function,
            arguments=lambda b: {"x": b.embeddings, "centers": b.centers},
            differentiable=("x",),
            options={"strength": 1.0},
            contenders=(Contender("eager", f"eager:{function}"),),
        )
        update = dataclasses.replace(
            variant,
            name="update",
            output="tensor",
            options={"rate": 0.5},
            contenders=(Contender("eager", "eager:update"),),
        )
        recipe_ = Training(
            variant=function,
            updates={"centers": "update"},
            schedule=lambda step: {"strength": 1.0 + step},
        )
        return Loss("planted", "Planted", "nowhere", (variant, update), recipe_, "planted")

    yield declare
    for name in ("planted", "planted.eager"):
        sys.modules.pop(name, None)


def instead(monkeypatch: pytest.MonkeyPatch, *losses: Loss) -> None:
    """The catalogue holds these losses and no other."""
    monkeypatch.setattr(catalogue, "losses", lambda: list(losses))
    monkeypatch.setattr(catalogue, "get", {loss.name: loss for loss in losses}.__getitem__)
