"""The claims: found by themselves, jobs that are valid, verdicts on trainings that were made up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic_claims import PICTURES, SEEDS, no, run, shares, unsure, yes

from marginbench import catalogue as losses
from suites.claims import catalogue, judging
from suites.claims.claim import Claim
from suites.interval import Interval
from suites.jobs import Job
from suites.quality import protocol
from suites.quality.recipes import FULL

NAMES = (
    "center-spread", "contrastive-margin", "triplet-mining", "a-softmax-margin",
    "mixed-against-angular", "last-relu", "full-margin",
)  # fmt: skip
# Core seconds a training, measured on one core: Fashion-MNIST in full form.
COST_S = {"mlp": 10, "lenet++": 210, "resnet": 40}
LOSSES = ("softmax", "contrastive", "triplet", "center", "a-softmax")


@pytest.fixture(params=NAMES)
def claim(request: pytest.FixtureRequest) -> Claim:
    return catalogue.get(request.param)


def test_claims_are_found_and_ordered():
    assert [claim.name for claim in catalogue.claims()] == list(NAMES)
    assert [claim.number for claim in catalogue.claims()] == list(range(1, 8))
    with pytest.raises(KeyError, match=r"expected one of center-spread, .*; got 'nothing'"):
        catalogue.get("nothing")


def test_no_claim_needs_torch():
    code = (
        "import sys; from suites.claims.catalogue import claims\n"
        "for c in claims(): c.jobs('full', [0], 'cpu'), c.judge([]), c.plots([])\n"
        "from suites import published, recipes; published.tables(), recipes.recipes()\n"
        "print([m for m in ('torch', 'mlflow', 'sklearn') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("form", ["small", "full"])
def test_jobs_are_what_the_training_takes(claim: Claim, form: str):
    jobs = claim.jobs(form, [5, 6], "cpu")
    assert len({job.name for job in jobs}) == len(jobs)
    assert {job.study for job in jobs} == {claim.study}
    for job in jobs:
        assert Job.from_plain(json.loads(json.dumps(job.plain()))) == job
        assert job.settings.epochs % job.settings.evaluate_every == 0
        for term in job.terms:
            loss = losses.get(term.loss)
            names = [v.name for v in loss.variants]
            known = {"unit_embeddings"}
            for variant in loss.variants:
                if variant.name == (term.variant or variant.name) or variant.name == "update":
                    known |= set(variant.options)
            assert not term.variant or term.variant in names
            assert {name for name, _ in term.options} <= known, job.name
    with pytest.raises(ValueError, match="form: expected one of small, full; got 'huge'"):
        claim.jobs("huge", [1], "cpu")


def test_all_claims_together_stay_within_their_budget():
    """Small, three seeds: at most 160 trainings of digits. Full, five seeds: with the tables of
    both datasets at most what two cores do in 90 minutes."""
    small = [job for claim in catalogue.claims() for job in claim.jobs("small", [0, 1, 2], "cpu")]
    assert len(small) <= 160
    assert {job.dataset for job in small} <= {"digits", "digits-closed"}
    assert max(job.settings.epochs for job in small) <= 20
    full = [job for claim in catalogue.claims() for job in claim.jobs("full", range(5), "cpu")]
    for dataset in FULL.datasets:
        full += protocol.closed(dataset, range(FULL.seeds), losses=LOSSES)
    assert sum(COST_S[job.settings.backbone] for job in full) <= 2 * 60 * FULL.minutes


def test_a_true_claim_is_reproduced(claim: Claim, seed: int):
    verdict = claim.judge(run(claim, yes, seed))
    assert verdict.outcome == "reproduced", verdict
    assert verdict.estimates
    assert all(e.low is None or e.low <= e.value <= e.high for e in verdict.estimates)


def test_a_false_claim_is_not_reproduced(claim: Claim, seed: int):
    verdict = claim.judge(run(claim, no, seed))
    assert verdict.outcome == "not reproduced", verdict


def test_seeds_that_contradict_each_other_leave_it_inconclusive(claim: Claim, seed: int):
    verdict = claim.judge(run(claim, unsure, seed))
    assert verdict.outcome == "inconclusive", verdict


def test_no_trainings_leave_it_inconclusive(claim: Claim):
    verdict = claim.judge([])
    assert verdict.outcome == "inconclusive"
    assert "missing" in verdict.reason or "no arm" in verdict.reason


# The arm that each claim can't be judged without.
NEEDED = {
    "center-spread": "softmax",
    "contrastive-margin": "m=2",
    "triplet-mining": "semi-hard free",
    "a-softmax-margin": "m=4 annealed",
    "mixed-against-angular": "center on digits",
    "last-relu": "with ReLU",
    "full-margin": "m=4 floor 0",
}


@pytest.mark.parametrize("broken", ["missing", "diverged", "single", "no metric"])
def test_a_broken_arm_leaves_it_inconclusive_and_is_named(claim: Claim, seed: int, broken: str):
    arm, found = NEEDED[claim.name], run(claim, yes, seed)
    others = [training for training in found if training.arm != arm]
    these = [training for training in found if training.arm == arm]
    if broken == "diverged":
        others += [replace(t, status="worse", reason="diverged: step 3") for t in these]
    if broken == "single":
        others += these[:1]
    if broken == "no metric":
        others += [
            replace(t, metrics=dict.fromkeys(t.metrics), series={}, epochs=[]) for t in these
        ]
    verdict = claim.judge(others)
    assert verdict.outcome == "inconclusive", verdict
    assert arm in verdict.reason
    if broken == "diverged":
        assert "diverged: step 3" in verdict.reason


def test_the_verdict_is_the_same_in_any_order(claim: Claim, seed: int):
    found = run(claim, yes, seed)
    assert claim.judge(found) == claim.judge(found[::-1])


def test_plots_are_well_formed(claim: Claim, seed: int):
    plots = claim.plots(run(claim, yes, seed))
    assert plots
    assert len({plot.name for plot in plots}) == len(plots)
    for plot in plots:
        assert plot.panels
        assert plot.alt
        for panel in plot.panels:
            assert panel.lines, plot.name
            assert len({line.label for line in panel.lines}) == len(panel.lines)
            for line in panel.lines:
                assert len(line.x) == len(line.y) + (plot.kind == "steps") > 0
                assert len(line.low) == len(line.high) in (0, len(line.y))
                if "x" in panel.logarithmic:
                    assert min(line.x) > 0
                for low, y, high in zip(line.low, line.y, line.high, strict=False):
                    assert low <= y <= high


def test_plots_of_what_failed_are_left_out(claim: Claim, seed: int):
    failed = [replace(t, status="not_run", reason="x") for t in run(claim, yes, seed)]
    drawn = {plot.name for plot in claim.plots(failed)}
    assert drawn <= {"full-margin-share"}


def test_center_loss_that_costs_accuracy_is_not_reproduced(seed: int):
    def costly(job: Job) -> Mapping[str, Any]:
        accuracy = 0.9 if job.arm == "softmax" else 0.8
        return {**yes(job), "seen_classifier_accuracy": accuracy}

    claim = catalogue.get("center-spread")
    assert claim.judge(run(claim, costly, seed)).outcome == "not reproduced"


def test_lenet_that_contradicts_the_sweep_leaves_center_loss_inconclusive(seed: int):
    def torn(job: Job) -> Mapping[str, Any]:
        return no(job) if job.arm.startswith("lenet++") else yes(job)

    claim = catalogue.get("center-spread")
    assert claim.judge(run(claim, torn, seed, "full")).outcome == "inconclusive"
    assert claim.judge(run(claim, yes, seed, "full")).outcome == "reproduced"


def test_a_warmed_network_that_collapses_refutes_the_claim(seed: int):
    def cold(job: Job) -> Mapping[str, Any]:
        warmed = job.arm.startswith("warmed")
        return {**yes(job), **({"seen_embedding_diameter": 0.001} if warmed else {})}

    claim = catalogue.get("triplet-mining")
    assert claim.judge(run(claim, cold, seed)).outcome == "not reproduced"


def test_semi_hard_that_collapses_as_often_refutes_the_claim(seed: int):
    def both(job: Job) -> Mapping[str, Any]:
        return {**yes(job), "seen_embedding_diameter": 0.001}

    claim = catalogue.get("triplet-mining")
    assert claim.judge(run(claim, both, seed)).outcome == "not reproduced"


def test_an_inconclusive_lenet_is_no_opposite(seed: int):
    """The criterion asks for the opposite: a verdict of the sweep stands beside an open one."""

    def open_ended(job: Job) -> Mapping[str, Any]:
        return unsure(job) if job.arm.startswith("lenet++") else no(job)

    verdict = catalogue.get("center-spread").judge(run(
        catalogue.get("center-spread"), open_ended, seed, "full"
    ))  # fmt: skip
    assert verdict.outcome == "not reproduced"
    assert "disagree" not in verdict.reason


def test_center_loss_says_how_much_narrower_in_plain_words(seed: int):
    """Planted: half as wide at every lambda."""
    claim = catalogue.get("center-spread")
    reason = claim.judge(run(claim, yes, seed)).reason
    assert "narrower by 50% at lambda = 0.0001, 50% at lambda = 0.003" in reason
    assert "reproduced at every one" in reason
    assert "alpha=" not in reason


def test_criteria_say_below_where_an_interval_has_to_lie_below(claim: Claim):
    """One above 'excludes' a threshold too."""
    assert "excludes" not in claim.criterion


def test_a_margin_without_open_set_gain_is_not_reproduced(seed: int):
    claim = catalogue.get("a-softmax-margin")
    found = run(claim, lambda job: {**yes(job), "map_at_r": 0.5}, seed)
    assert claim.judge(found).outcome == "not reproduced"


def test_a_direction_that_says_less_than_softmax_is_not_reproduced(seed: int):
    claim = catalogue.get("a-softmax-margin")
    found = run(claim, lambda job: {**yes(job), "seen_norm_free_accuracy": 0.8}, seed)
    assert claim.judge(found).outcome == "not reproduced"
    without = [replace(t, metrics={k: v for k, v in t.metrics.items() if "norm" not in k})
               for t in found]  # fmt: skip
    assert claim.judge(without).outcome == "inconclusive"
    assert "has no seen_norm_free_accuracy" in claim.judge(without).reason


def test_features_beyond_the_relu_s_quarter_void_the_experiment(seed: int):
    def odd(job: Job) -> Mapping[str, Any]:
        return {**yes(job), "series": {**PICTURES, "seen_angle_share": shares(20)}}

    claim = catalogue.get("last-relu")
    verdict = claim.judge(run(claim, odd, seed))
    assert verdict.outcome == "inconclusive"
    assert "outside the quarter" in verdict.reason


def test_a_dead_relu_is_named(seed: int):
    def dead(job: Job) -> Mapping[str, Any]:
        gone = job.settings.last_relu and job.seed == 2
        return {**yes(job), "seen_embedding_norm_mean": 0.0 if gone else 3.0}

    claim = catalogue.get("last-relu")
    assert "every feature is 0 at seed 2" in claim.judge(run(claim, dead, seed)).reason
    assert "dead" not in claim.judge(run(claim, yes, seed)).reason


def test_a_dataset_that_is_lost_to_the_angular_loss_refutes_the_claim(seed: int):
    def torn(job: Job) -> Mapping[str, Any]:
        return no(job) if job.dataset == "glyphs" else yes(job)

    claim = catalogue.get("mixed-against-angular")
    verdict = claim.judge(run(claim, torn, seed, "full"))
    assert verdict.outcome == "not reproduced"
    assert "On fashion" in verdict.reason
    assert "on glyphs" in verdict.reason


def test_seeds_of_a_rate_are_more_than_those_given():
    jobs = catalogue.get("triplet-mining").jobs("small", SEEDS, "cpu")
    assert len({job.seed for job in jobs if job.arm == "batch-hard free"}) == 3 * len(SEEDS)


def test_an_effect_is_there_only_if_it_matters_and_is_sure():
    cases = {
        (0.5, 0.4, 0.6): "reproduced",
        (0.2, 0.1, 0.35): "inconclusive", (0.4, -0.1, 0.9): "inconclusive",
        (0.2, 0.1, 0.29): "not reproduced", (-0.5, -0.6, -0.4): "not reproduced",
    }  # fmt: skip
    for (mean, low, high), outcome in cases.items():
        assert judging.larger(Interval(mean, low, high, 3), 0.3) == outcome
