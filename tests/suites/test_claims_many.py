"""Claims about a thousand new identities, in full form: judged when there, else inconclusive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from synthetic_claims import SEEDS, run, yes

from suites.claims import catalogue
from suites.jobs import Job

MANY = {
    "a-softmax-margin": ("m=4 annealed on many", "a thousand new identities, m = 4 - m = 1"),
    "full-margin": ("m=4 floor 0 on many", "a thousand new identities, m=4 floor 0 - m=4 floor 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", MANY)
def test_a_thousand_identities_are_asked_in_full_form(name: str, seed: int):
    claim, (arm, label) = catalogue.get(name), MANY[name]

    def lost_on_many(job: Job) -> Mapping[str, Any]:
        gone = {"map_at_r": 0.9 - 0.1 * dict(yes(job))["map_at_r"]}
        return {**yes(job), **(gone if job.arm.endswith("on many") else {})}

    jobs = {job.arm: job for job in claim.jobs("full", SEEDS, "cpu")}
    assert (jobs[arm].dataset, jobs[arm].settings.backbone) == ("glyphs", "resnet")
    found = run(claim, lost_on_many, seed, "full")
    values = {e.label: e.value for e in claim.judge(found).estimates}
    (value,) = [value for name, value in values.items() if label in name]
    of_arm = [t.metrics["map_at_r"] for t in found if t.arm == arm]
    base = "m=1 on many" if name == "a-softmax-margin" else "m=4 floor 5 on many"
    of_base = [t.metrics["map_at_r"] for t in found if t.arm == base]
    assert value == pytest.approx(sum(of_arm) / len(of_arm) - sum(of_base) / len(of_base))
    assert not any("thousand" in e.label for e in claim.judge(run(claim, yes, seed)).estimates)
    panels = [panel.title for plot in claim.plots(found) for panel in plot.panels]
    lines = [line.label for plot in claim.plots(found) for p in plot.panels for line in p.lines]
    assert any("thousand" in text for text in panels + lines)


def test_the_margin_s_verdict_is_that_of_the_thousand(seed: int):
    """Few identities that lose decide nothing in full form; a thousand that lose do."""
    claim = catalogue.get("a-softmax-margin")

    def loses(on_many: bool) -> Any:
        return lambda job: {
            **yes(job), **({"map_at_r": 0.5} if job.arm.endswith("many") is on_many else {})
        }  # fmt: skip

    assert claim.judge(run(claim, loses(False), seed, "full")).outcome == "reproduced"
    verdict = claim.judge(run(claim, loses(True), seed, "full"))
    assert verdict.outcome == "not reproduced"
    assert "of a thousand new identities" in verdict.reason


@pytest.mark.parametrize("broken", ["missing", "one missing", "failed"])
def test_a_thousand_that_are_missing_leave_it_inconclusive(seed: int, broken: str):
    """In full form the few never stand in for the many."""
    claim = catalogue.get("a-softmax-margin")
    found = run(claim, yes, seed, "full")
    gone = "on many" if broken == "missing" else "m=4 annealed on many"
    kept = [t for t in found if not t.arm.endswith(gone)]
    if broken == "failed":
        lost = [t for t in found if t.arm == gone]
        kept += [replace(t, status="not_run", reason="needs fonts") for t in lost]
    verdict = claim.judge(kept)
    assert verdict.outcome == "inconclusive"
    assert gone in verdict.reason
    if broken == "failed":
        assert "needs fonts" in verdict.reason


def test_the_trap_is_reported_without_a_thousand_that_failed(seed: int):
    """Beside the verdict: they are left out, and the rest stands."""
    claim = catalogue.get("full-margin")
    found = [
        replace(t, status="not_run", reason="x") if t.arm == "m=4 floor 0 on many" else t
        for t in run(claim, yes, seed, "full")
    ]
    verdict = claim.judge(found)
    assert verdict.outcome == "reproduced"
    (label,) = [e.label for e in verdict.estimates if "thousand" in e.label]
    assert label.endswith("m=4 floor 5 - m=1")


def test_a_network_that_did_not_learn_leaves_the_question_open(seed: int):
    """Collapsed at m = 4, it says nothing of what m = 4 is worth once trained."""
    claim = catalogue.get("a-softmax-margin")

    def collapsed(job: Job) -> Mapping[str, Any]:
        learnt = 0.01 if job.arm == "m=4 annealed on many" else 0.9
        return {**yes(job), "map_at_r": 0.1 if learnt < 0.5 else 0.5, "train_accuracy": learnt}

    verdict = claim.judge(run(claim, collapsed, seed, "full"))
    assert verdict.outcome == "inconclusive"
    assert "did not learn its own training images" in verdict.reason
