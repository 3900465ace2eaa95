"""Claims that are judged in parts: each has an outcome of its own, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from synthetic_claims import no, run, unsure, yes

from suites.claims import catalogue, judging
from suites.claims.claim import Part, Verdict
from suites.jobs import Job

Figures = Callable[[Job], Mapping[str, Any]]


def _warmed_collapses(job: Job) -> Mapping[str, Any]:
    cold = {"seen_embedding_diameter": 0.001} if job.arm.startswith("warmed") else {}
    return {**yes(job), **cold}


def _worth_nothing(job: Job) -> Mapping[str, Any]:
    return {**yes(job), "map_at_r": 0.5}


def _direction_says_less(job: Job) -> Mapping[str, Any]:
    return {**yes(job), "seen_norm_free_accuracy": 0.8}


def _lost_on_glyphs(job: Job) -> Mapping[str, Any]:
    return no(job) if job.dataset == "glyphs" else yes(job)


def _lenet_differs(job: Job) -> Mapping[str, Any]:
    return no(job) if job.arm.startswith("lenet++") else yes(job)


def _lenet_unsure(job: Job) -> Mapping[str, Any]:
    return unsure(job) if job.arm.startswith("lenet++") else yes(job)


CASES: tuple[tuple[str, str, Figures, str, dict[str, str]], ...] = (
    ("triplet-mining", "small", _warmed_collapses, "not reproduced",
     {"a": "reproduced", "b": "not reproduced"}),
    ("a-softmax-margin", "small", _worth_nothing, "not reproduced",
     {"a": "reproduced", "b": "not reproduced", "c": "reproduced"}),
    ("a-softmax-margin", "small", _direction_says_less, "not reproduced",
     {"a": "reproduced", "b": "reproduced", "c": "not reproduced"}),
    ("mixed-against-angular", "full", _lost_on_glyphs, "not reproduced",
     {"fashion": "reproduced", "glyphs": "not reproduced"}),
    ("center-spread", "full", _lenet_differs, "inconclusive",
     {"MLP": "reproduced", "LeNet++": "not reproduced"}),
    ("center-spread", "full", _lenet_unsure, "reproduced",
     {"MLP": "reproduced", "LeNet++": "inconclusive"}),
)  # fmt: skip


@pytest.mark.parametrize(("name", "form", "figures", "whole", "of_parts"), CASES)
def test_a_part_that_differs_from_the_whole_says_so(
    name: str, form: str, figures: Figures, whole: str, of_parts: dict[str, str], seed: int
):
    verdict = catalogue.get(name).judge(run(catalogue.get(name), figures, seed, form))
    assert verdict.outcome == whole
    assert {part.label: part.outcome for part in verdict.parts} == of_parts
    assert [part.label for part in verdict.parts] == list(of_parts), "in their order"
    for part in verdict.parts:
        assert part.reason[0].isupper() and part.reason.endswith(".")
        assert part.reason[1:-1] in verdict.reason, "the whole's reason has every part's"


@pytest.mark.parametrize("name", ["triplet-mining", "a-softmax-margin"])
def test_parts_are_those_that_the_criterion_has(name: str):
    """Also where nothing was trained."""
    claim = catalogue.get(name)
    labels = [part.label for part in claim.judge([]).parts]
    places = [claim.criterion.find(f"({label})") for label in labels]
    assert min(places) >= 0 and places == sorted(places)
    assert f"({chr(ord(labels[-1]) + 1)})" not in claim.criterion
    assert {part.outcome for part in claim.judge([]).parts} == {"inconclusive"}
    titles = [part.title for part in claim.judge([]).parts]
    assert len(set(titles)) == len(titles) and all(titles)


def test_a_claim_of_one_network_has_no_parts(seed: int):
    claim = catalogue.get("center-spread")
    assert claim.judge(run(claim, yes, seed)).parts == ()


def test_an_arm_that_is_missing_leaves_the_other_parts_their_outcome(seed: int):
    claim = catalogue.get("triplet-mining")
    found = [one for one in run(claim, yes, seed) if not one.arm.startswith("warmed")]
    a, b = claim.judge(found).parts
    assert (a.outcome, b.outcome) == ("reproduced", "inconclusive")
    assert b.reason == "Inconclusive, as the arm warmed batch-hard free is missing."


def test_joined_parts_make_one_sentence_and_keep_theirs():
    parts = [
        Part("a", "A", "reproduced", "it grows"),
        Part("b", "B", "inconclusive", "it may fall"),
    ]
    sentences = (
        Part("a", "A", "reproduced", "It grows."),
        Part("b", "B", "inconclusive", "It may fall."),
    )
    assert judging.joined(parts) == Verdict("inconclusive", "It grows; it may fall.", (), sentences)


def test_what_the_schedule_left_of_the_angular_margin_stands_beside_its_verdict(seed: int):
    claim = catalogue.get("mixed-against-angular")
    found = run(claim, yes, seed, "full")
    assert "psi has" not in claim.judge(found).reason
    lambdas = {"fashion": 13.7, "glyphs": 19.0}
    known = [
        replace(one, settings={"terms": [
            {"loss": one.loss, "options_last": {"m": 4, "annealing": lambdas[one.dataset]}}
        ]}) if "a-softmax" in one.arm else one
        for one in found
    ]  # fmt: skip
    reasons = {part.label: part.reason for part in claim.judge(known).parts}
    for dataset, share in (("fashion", "7%"), ("glyphs", "5%")):
        assert f"at its last step psi has {share} of the target's weight" in reasons[dataset]


def test_the_highest_mean_is_looked_for_among_all_that_were_trained(seed: int):
    """Plain softmax, which the verdict is not about, may be it."""

    def softmax_wins(job: Job) -> Mapping[str, Any]:
        return {**yes(job), **({"map_at_r": 0.99} if job.arm.startswith("softmax on") else {})}

    claim = catalogue.get("mixed-against-angular")
    for figures, first in ((softmax_wins, "softmax's"), (yes, "a-softmax's")):
        verdict = claim.judge(run(claim, figures, seed, "full"))
        assert verdict.outcome == "reproduced"
        assert f"the highest mean MAP@R is {first};" in verdict.parts[0].reason


def test_arms_that_did_not_learn_are_named_beside_the_seventh_verdict(seed: int):
    def collapsed(job: Job) -> Mapping[str, Any]:
        gone = job.arm == "m=4 floor 0 on many"
        return {**yes(job), "train_accuracy": 0.01 if gone else 0.9}

    claim = catalogue.get("full-margin")
    reason = claim.judge(run(claim, collapsed, seed, "full")).reason
    assert "; m=4 floor 0 on many did not learn their own training images" in reason
    assert "did not learn" not in claim.judge(run(claim, yes, seed, "full")).reason
