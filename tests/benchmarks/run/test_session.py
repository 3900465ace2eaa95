"""A session measures a plan, whatever a contender does, and records every cell."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from planted import TINY, case, changes_its_input, eager_softmax, run, scaled

from benchmarks.records.loading import Result
from benchmarks.run.order import ordered
from marginbench import catalogue
from marginbench.loss import Contender
from suites import presets
from suites.cases import plan


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def of(results: tuple[Result, ...], contender: str) -> dict[str, Result]:
    """By metric; the first of several quantities."""
    found: dict[str, Result] = {}
    for result in results:
        if result.contender == contender:
            found.setdefault(result.metric, result)
    return found


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives softmax another contender that runs the function."""

    def add(function: Callable, **fields) -> None:
        module = types.ModuleType("marginbench.softmax.planted")
        module.function = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        losses, failures = catalogue._discover()
        loss = losses["softmax"]
        extra = dataclasses.replace(Contender("planted", "planted:function"), **fields)
        variant = loss.variant("linear")
        variant = dataclasses.replace(variant, contenders=(*variant.contenders, extra))
        changed = {**losses, "softmax": dataclasses.replace(loss, variants=(variant,))}
        monkeypatch.setattr(catalogue, "_discover", lambda: (changed, failures))

    return add


def test_a_case_gives_every_metric_with_its_protocol_and_provenance(tmp_path: Path):
    outcome, found, steps = run([case()], tmp_path)
    assert (outcome.exit_code, outcome.done, outcome.total) == (0, 1, 1)
    eager = of(found.results, "eager")
    assert set(eager) == {
        "relative_error", "peak_bytes", "forward_time_s", "backward_time_s", "both_time_s",
    }  # fmt: skip
    both = eager["both_time_s"]
    assert len(both.rounds) == 2 and both.protocol["instrument"] == "interleaved"
    assert {"clock", "cache", "synchronisation", "warmup_rounds", "order"} <= set(both.protocol)
    assert eager["peak_bytes"].value and eager["peak_bytes"].value > 0
    assert both.provenance.command.endswith(f"--case {case().id} --contender eager")
    errors = [r for r in found.results if r.metric == "relative_error" and r.contender == "eager"]
    assert {r.of["reduction"] for r in errors} == {"none", "sum", "mean"}
    assert {r.of["quantity"] for r in errors} == {
        "value", "grad:embeddings", "grad:class_weights", "grad:bias",
    }  # fmt: skip
    triton = of(found.results, "triton")
    if not torch.cuda.is_available():
        assert {r.status for r in triton.values()} == {"not_run"}
        assert all(r.reason.startswith("needs CUDA") for r in triton.values())
        assert all(r.value is None and not r.rounds for r in triton.values())
    assert steps[-1].done == 1 and steps[0].current == case().id
    assert found.sessions[0].plan == [case().id] and found.complete


def test_a_mining_rule_and_an_update_are_timed_forward_alone(tmp_path: Path):
    cases = [case("triplet", "mine-batch-hard"), case("center", "update")]
    _, found, _ = run(cases, tmp_path)
    mined = [r for r in found.results if r.case.loss == "triplet" and r.contender == "eager"]
    moved = [r for r in found.results if r.case.loss == "center" and r.contender == "eager"]
    assert {r.metric for r in mined} == {
        "index_mismatches", "index_regret", "peak_bytes", "forward_time_s",
    }  # fmt: skip
    assert {r.metric for r in moved} == {"relative_error", "peak_bytes", "forward_time_s"}
    assert {r.status for r in (*mined, *moved)} == {"ok"}


def raises(**arguments) -> torch.Tensor:
    raise RuntimeError("planted")


def asks_too_much(**arguments) -> torch.Tensor:
    return eager_softmax(**arguments) + torch.empty(1 << 60, dtype=torch.int8).sum()


def later(wrong: Callable, after: int) -> Callable:
    """Right for so many calls, then wrong: agreement alone does not see it."""
    calls = 0

    def function(**arguments) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return (eager_softmax if calls <= after else wrong)(**arguments)

    return function


@pytest.mark.parametrize(
    ("function", "status", "says"),
    [
        (raises, "not_run", "RuntimeError: planted"),
        (asks_too_much, "not_run", "out of memory"),
        (scaled, "worse", "voided by the check before timing: value"),
        (changes_its_input, "worse", "changed its input bias"),
        (later(scaled, 5), "worse", "a timed call gave a wrong result"),
        (later(changes_its_input, 5), "worse", "changed its inputs"),
    ],
)
def test_a_bad_contender_takes_its_own_cells(
    plant: Callable, function: Callable, status: str, says: str, tmp_path: Path
):
    plant(function)
    outcome, found, _ = run([case(), case(batch=8)], tmp_path, contenders=["planted"])
    # The second case is past the calls that `later` counts: wrong from its first call on.
    first = tuple(r for r in found.results if r.case.batch == 7)
    times = [r for r in first if r.contender == "planted" and r.metric.endswith("_time_s")]
    assert len(times) == 3
    assert all(r.status == status and says in r.reason for r in times)
    assert all(r.value is None and not r.rounds for r in times)
    eager = [r for r in found.results if r.contender == "eager"]
    assert {r.status for r in eager} == {"ok"}
    assert outcome.exit_code == (1 if status == "worse" else 0)


def test_a_file_that_does_not_import_takes_its_own_cells(plant: Callable, tmp_path: Path):
    plant(eager_softmax, entry="nowhere:function")
    _, found, _ = run([case()], tmp_path, contenders=["planted"])
    planted = of(found.results, "planted")
    assert {r.status for r in planted.values()} == {"not_run"}
    assert all("nowhere" in r.reason for r in planted.values())
    assert of(found.results, "eager")["both_time_s"].status == "ok"


def test_without_a_reference_nothing_is_compared_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    import marginbench.softmax.reference

    monkeypatch.setattr(marginbench.softmax.reference, "softmax", raises)
    outcome, found, _ = run([case(), case("center", "term")], tmp_path, contenders=["eager"])
    softmax = [r for r in found.results if r.case.loss == "softmax"]
    assert {r.status for r in softmax} == {"not_run"}
    assert all("the reference failed" in r.reason for r in softmax)
    assert outcome.done == 2


def test_after_a_spent_budget_every_other_case_is_recorded_with_the_reason(tmp_path: Path):
    preset = dataclasses.replace(TINY, budget_s=0.0)
    cases = [case(), case(batch=8)]
    outcome, found, _ = run(cases, tmp_path, preset, contenders=["eager"])
    assert outcome.done == 2 and found.complete
    assert outcome.exit_code == 3, "nothing was measured"
    assert {r.reason for r in found.results} == {"time budget of 0 s spent"}
    assert {r.case.id for r in found.results} == {c.id for c in cases}


def test_an_empty_plan_is_nothing_measured(tmp_path: Path):
    outcome, found, _ = run([], tmp_path)
    assert (outcome.exit_code, outcome.total) == (3, 0) and not found.results
    assert run([], tmp_path)[0].exit_code == 3, "nor by going on with it"


def test_what_an_earlier_session_measured_counts(tmp_path: Path):
    assert run([case()], tmp_path, contenders=["eager"])[0].exit_code == 0
    spent = dataclasses.replace(TINY, budget_s=0.0)
    outcome, _, _ = run([case(), case(batch=8)], tmp_path, spent, contenders=["eager"])
    assert outcome.exit_code == 0


def test_cheap_information_first():
    cases = ordered(plan(presets.DEFAULT, "cpu", 0), presets.DEFAULT)
    suites = [c.suite for c in cases]
    assert suites == sorted(suites, key=["agreement", "real", "speed"].index)
    speed = [c for c in cases if c.suite == "speed"]
    losses, variants = len({c.loss for c in speed}), len({(c.loss, c.variant) for c in speed})
    assert len({c.loss for c in speed[:losses]}) == losses
    assert len({(c.loss, c.variant) for c in speed[:variants]}) == variants
    assert Counter(c.id for c in cases) == Counter(c.id for c in plan(presets.DEFAULT, "cpu", 0))
