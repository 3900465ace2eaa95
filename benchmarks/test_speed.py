"""Speed by pytest-benchmark: ``pytest benchmarks/ --benchmark-only [--preset default]``.

Forward and backward of each contender of each case, grouped by case. Contenders run one after the
other here; ``marginbench run`` interleaves them, and the report rests on that.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from marginbench import catalogue
from suites.cases import Case, plan
from suites.presets import PRESETS

from .agreement.comparison import TIMED_REDUCTION
from .agreement.truth import Truth
from .agreement.verdict import fails
from .conftest import INSTRUMENT
from .instruments import contenders, machine
from .instruments.clock import no_collection, synchronize
from .instruments.rows import Outputs, Subject
from .run.measurement import draw
from .run.rounds import POOL, rewrite, separate


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    preset = PRESETS[metafunc.config.getoption("--preset")]
    device = "cpu" if machine.missing("cuda") else "cuda"
    found = [
        (case, contender.name)
        for case in plan(preset, device, seed=0)
        if case.suite == "speed"
        for contender in catalogue.get(case.loss).variant(case.variant).contenders
        if contender.name != contenders.REFERENCE
    ]
    metafunc.parametrize(
        ("case", "contender"), found, ids=[f"{case.id}/{name}" for case, name in found]
    )


def test_speed(request: pytest.FixtureRequest, benchmark: Any, case: Case, contender: str) -> None:
    preset = PRESETS[request.config.getoption("--preset")]
    subject = Subject.of(case)
    found = contenders.candidates(subject, compile=case.compile, only=[contender])
    candidate = next(c for c in found if c.name == contender)
    if candidate.function is None:
        pytest.skip(candidate.reason)
    function = candidate.function
    pool = [draw(case, subject, number) for number in range(POOL)]
    truths = [Truth(subject, inputs, TIMED_REDUCTION, found[0], case.seed) for inputs in pool]
    live, upstream = separate(pool[0]), truths[0].upstream
    calls = 0

    def refill() -> None:
        nonlocal calls
        rewrite(live, pool[calls % POOL])
        calls += 1

    def call() -> Outputs:
        outputs = subject.evaluate(function, live, TIMED_REDUCTION, upstream)
        synchronize(case.device)
        return outputs

    with candidate.watched():
        first = call().kept()
    assert not fails(truths[0], candidate, first)
    start = time.perf_counter()
    call()
    fit = int(preset.seconds_per_case / max(time.perf_counter() - start, 1e-9))
    rounds = max(preset.min_rounds, min(preset.max_rounds, fit))
    benchmark.group = case.id
    commit, dirty = machine.commit()
    benchmark.extra_info.update(
        case=case.id, contender=contender, instrument=INSTRUMENT, commit=commit, dirty=dirty,
        machine=machine.name(), versions=machine.versions(), covers="forward and backward",
        reduction=TIMED_REDUCTION, threads=torch.get_num_threads(), **candidate.protocol,
    )  # fmt: skip
    with no_collection():
        last = benchmark.pedantic(
            call, setup=refill, rounds=rounds, iterations=1, warmup_rounds=preset.warmup_rounds
        )
    if calls:
        assert not fails(truths[(calls - 1) % POOL], candidate, last)
