"""What is named is run, and nothing beside it."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.training.planning import Asked, plan
from marginbench import catalogue
from marginbench.catalogue import UnknownName
from suites.claims.catalogue import claims


def studies(asked: Asked) -> set[str]:
    found = plan(asked)
    return {job.study for job in found.jobs} | {"open" for _ in found.searches}


def test_without_a_name_it_is_every_loss_and_every_claim():
    found = plan(Asked())
    closed = [job for job in found.jobs if job.study == "closed"]
    assert {job.loss for job in closed} == set(catalogue.names())
    assert set(Counter(job.arm for job in closed).values()) == {3}
    assert studies(Asked()) == {"closed", *(claim.study for claim in claims())}
    assert len(set(found.names)) == len(found.names) == found.total


def test_what_is_named_is_run_and_nothing_beside_it():
    claim = claims()[0]
    assert studies(Asked(claims=(claim.name,))) == {claim.study}
    assert studies(Asked(losses=("softmax",))) == {"closed"}
    assert studies(Asked(division="open")) == {"open"}
    assert studies(Asked(division="both", claims=(claim.name,))) == {"closed", "open", claim.study}


def test_seeds_device_and_contender_reach_every_training():
    asked = Asked(losses=("softmax",), seeds=2, seed=7, device="cuda", contender="triton")
    assert {(job.seed, job.device, job.contender) for job in plan(asked).jobs} == {
        (7, "cuda", "triton"), (8, "cuda", "triton")
    }  # fmt: skip


def test_full_is_other_datasets_more_seeds_and_claims_in_full():
    jobs = plan(Asked(full=True)).jobs
    closed = [job for job in jobs if job.study == "closed"]
    assert {job.dataset for job in closed} == {"glyphs", "fashion"}
    assert {job.seed for job in closed} == set(range(5))
    assert not any(job.dataset.startswith("digits") for job in jobs)


def test_only_takes_an_exact_name_before_a_part_of_one():
    names = plan(Asked(losses=("softmax",), seeds=11)).names
    assert plan(Asked(losses=("softmax",), seeds=11, only=names[1])).names == [names[1]]
    assert names[1].endswith("s1") and names[10].endswith("s10")
    found = plan(Asked(division="open", only="softmax/linear/eager/digits/cpu/s2"))
    assert not found.jobs and len(found.searches) == 1
    assert [job.seed for job in found.found_by(found.searches[0])] == [2]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Asked(losses=("sofmax",)), "did you mean 'softmax'"),
        (Asked(claims=("center-spred",)), "did you mean 'center-spread'"),
        (Asked(datasets=("digit",)), "dataset"),
        (Asked(only="nothing of the kind"), "--only"),
    ],
)
def test_an_unknown_name_is_reported(asked: Asked, says: str):
    with pytest.raises((UnknownName, ValueError), match=says):
        plan(asked)
