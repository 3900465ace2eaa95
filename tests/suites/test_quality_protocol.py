"""The protocol: one recipe for all in the closed division, and the words beside every number."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from marginbench import catalogue
from marginbench.catalogue import UnknownName
from marginbench.checks import InputError
from marginbench.loss import Variant
from suites.claims.claim import FORMS
from suites.jobs import Job
from suites.quality import protocol
from suites.quality.recipes import RECIPES, SIZES, recipe

ROOT = Path(__file__).resolve().parents[2]


def test_the_closed_division_gives_every_loss_the_same():
    jobs = protocol.closed("glyphs", [3, 4])
    assert {(job.loss, job.seed) for job in jobs} == {
        (loss, seed) for loss in catalogue.names() for seed in (3, 4)
    }
    assert len({job.name for job in jobs}) == len(jobs)
    assert {job.settings for job in jobs} == {RECIPES["glyphs"].settings}
    for job in jobs:
        assert (job.study, job.validation, job.terms[0].options) == ("closed", False, ())
        loss, variant = job.arm.split("/")
        assert catalogue.get(loss).variant(variant).output == "loss"
        assert Job.from_plain(json.loads(json.dumps(job.plain()))) == job


def test_what_is_asked_for_is_what_comes():
    (job,) = protocol.closed("lfw:/faces", [0], "cuda", ["triplet"], "triton")
    assert (job.loss, job.dataset, job.device) == ("triplet", "lfw:/faces", "cuda")
    assert (job.contender, job.settings.flip) == ("triton", True)
    with pytest.raises(UnknownName, match="did you mean 'triplet'"):
        protocol.closed("digits", [0], losses=["tripplet"])
    with pytest.raises(InputError, match="dataset: expected one of digits"):
        protocol.closed("mnist", [0])
    assert protocol.closed("digits", [0], losses=[]) == []


def test_a_loss_that_declares_no_training_is_trained_by_its_first_over_a_head_or_batch():
    softmax = catalogue.get("softmax")
    linear = softmax.variants[0]
    rows = dataclasses.replace(linear, name="rows", family="rows")
    update = dataclasses.replace(linear, name="update", output="tensor")

    def standing(*variants: Variant) -> str | None:
        training = dataclasses.replace(
            softmax, training=None, variants=variants
        ).effective_training()
        return training.variant if training else None

    assert standing(update, rows, linear) == "linear"
    assert standing(update, rows) == "rows"
    assert standing(update) is None


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_why_and_a_search_sees_as_many_images_a_step(name: str):
    found = recipe(name)
    assert len(found.why.split()) > 10
    assert found.search_settings.batch == found.settings.batch
    # All that a search changes is how a step's images fall to identities.
    assert (
        dataclasses.replace(
            found.search_settings,
            identities_per_batch=found.settings.identities_per_batch,
            images_per_identity=found.settings.images_per_identity,
        )
        == found.settings
    )
    assert len(found.settings.decay_at) == 2
    assert found.settings.epochs % found.settings.evaluate_every == 0


def test_sizes_name_what_there_is():
    for size in SIZES.values():
        assert set(size.datasets) <= set(RECIPES)
        assert size.claims in FORMS
        assert size.seeds >= 2, "one seed shows no spread"
        assert protocol.SEARCH_SEED not in range(size.seeds)


def test_the_words_are_those_of_the_job():
    job = protocol.closed("fashion", [0], losses=["center"])[0]
    facts = {"preprocessing": "divided by 255", "split": "five and five"}
    words = protocol.protocol_text(
        job, facts, tested={"test": 5_000, "seen": 4_000}, pairs=6_000, folds=10, steps=1_000
    )
    assert words["preprocessing"] == "divided by 255"
    assert words["split"] == "five and five"
    assert words["batch"].startswith("120 images a step, P x K = 5 identities x 24")
    assert words["division"].startswith("closed: one recipe")
    assert "10 folds" in words["threshold"] and "other folds" in words["threshold"]
    assert "6,000 pairs drawn once" in words["verification"]
    assert words["flip"].startswith("none")
    assert "5,000 test images of identities never trained on" in words["identities"]
    assert "4 epochs (1,000 steps), adam, learning rate 0.001" in words["budget"]
    assert "no identity of test is in train" in words["disjointness"]
    given = protocol.protocol_text(
        protocol.closed("lfw:/faces", [0])[0], {}, tested={"test": 9}, pairs=6_000, folds=10,
        pairs_given=True,
    )  # fmt: skip
    assert "mirror" in given["flip"]
    assert "given with the data" in given["verification"]
    assert "seen" not in given["identities"]
    assert all(text and text[-1] != "." for text in (words | given).values())


def test_planning_and_comparing_need_no_torch():
    code = (
        "import sys\n"
        "from suites.quality import protocol\n"
        "from reports.quality import comparisons\n"
        "protocol.closed('digits', [0]); comparisons.comparisons([])\n"
        "print(*({'torch', 'optuna', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
