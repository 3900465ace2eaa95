"""The objective as a weighted sum of terms: options, schedules, updates, shares of the steps."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from benchmarks.training import training
from benchmarks.training.objective import Embedded, Objective
from marginbench import catalogue
from marginbench.checks import InputError
from suites.jobs import Anneal, Job, Settings, Term

CLASSES, DIM, BATCH, STEPS = 4, 6, 12, 2_000


def objective(*terms: Term, seed: int) -> Objective:
    return Objective(
        terms, "eager", CLASSES, DIM, torch.Generator().manual_seed(seed), steps=STEPS, batch=BATCH
    )


def embedded(seed: int) -> Embedded:
    generator = torch.Generator().manual_seed(seed + 1)
    x_BD = torch.randn(BATCH, DIM, generator=generator, requires_grad=True)
    return Embedded(x_BD, torch.arange(BATCH) % CLASSES)


def options_of(made: Objective, progress: float) -> dict:
    return made.terms[0].options(progress)


def test_the_loss_is_the_weighted_sum_of_the_terms(seed: int):
    softmax, triplet = Term("softmax"), Term("triplet", "batch-hard", weight=0.25)
    both, step = objective(softmax, triplet, seed=seed), embedded(seed)
    alone = objective(softmax, seed=seed)(step, 0.0)
    # The triplet term sees unit embeddings, softmax the embeddings as they are.
    resolve = catalogue.get("triplet")
    function = resolve.resolve(resolve.variant("batch-hard").contender("eager").entry)
    of_triplets = function(
        embeddings=F.normalize(step.x_BD), labels=step.labels_B, margin=0.2, reduction="mean"
    )
    torch.testing.assert_close(both(step, 0.0), alone + 0.25 * of_triplets)
    assert not both.unit_embeddings
    assert objective(triplet, seed=seed).unit_embeddings
    assert both.labelled_batch
    assert both.learnt == ("class_weights", "bias")


def test_terms_share_the_fields_that_they_have_in_common(seed: int):
    made = objective(Term("softmax"), Term("a-softmax", "m2"), seed=seed)
    made(embedded(seed), 0.0).backward()
    assert made.learnt == ("class_weights", "bias")
    assert len(made.parameters) == 2
    # The length of a class weight matters to softmax, so logits keep it.
    assert not made.norm_free
    assert objective(Term("a-softmax"), seed=seed).norm_free


def test_a_term_counts_in_its_share_of_the_steps(seed: int):
    made = objective(Term("softmax", until=0.5), Term("center", "term", since=0.5), seed=seed)
    step = embedded(seed)
    early, late = made(step, 0.49), made(step, 0.5)
    torch.testing.assert_close(early, objective(Term("softmax"), seed=seed)(step, 0.0))
    torch.testing.assert_close(late, 0.5 * step.x_BD.square().sum(1).mean())
    made(step, 0.2)
    made.step_done()
    assert not made.fields["centers"].any(), "the rule follows its term"
    made(step, 0.7)
    made.step_done()
    assert made.fields["centers"].any()


def test_options_replace_the_variants_and_those_of_its_update_rule(seed: int):
    plain, moved = (
        objective(Term("center", options=options), seed=seed)
        for options in ((), (("weight", 2.0), ("alpha", 1.0)))
    )
    assert options_of(plain, 0.0) == {"weight": 0.003}
    assert options_of(moved, 0.0) == {"weight": 2.0}
    for made in (plain, moved):
        made(embedded(seed), 0.0)
        made.step_done()
    torch.testing.assert_close(moved.fields["centers"], 2 * plain.fields["centers"])
    described = moved.description(0.9)["terms"][0]
    assert described["options_first"] == {"weight": 2.0, "alpha": 1.0}


def test_a_term_can_be_put_on_the_unit_sphere_or_taken_off_it(seed: int):
    step = embedded(seed)
    on_sphere = dataclasses.replace(step, x_BD=F.normalize(step.x_BD))
    for loss, variant in (("softmax", "linear"), ("triplet", "batch-hard"), ("center", "joint")):
        declared = objective(Term(loss, variant), seed=seed)
        on, off = (
            objective(Term(loss, variant, options=(("unit_embeddings", value),)), seed=seed)
            for value in (1, 0)
        )
        assert (on.unit_embeddings, off.unit_embeddings) == (True, False)
        assert declared.unit_embeddings == (loss == "triplet")
        torch.testing.assert_close(on(step, 0.0), declared(on_sphere, 0.0))
        torch.testing.assert_close(off(on_sphere, 0.0), declared(on_sphere, 0.0))
        assert not torch.allclose(on(step, 0.0), off(step, 0.0))
        torch.testing.assert_close(on.seen_by_the_loss(step.x_BD), on_sphere.x_BD)
        assert on.description(0.9)["terms"][0]["unit_embeddings"] is True
        assert "unit_embeddings" not in options_of(on, 0.0), "the loss never sees it"
    # `on` is center's by now: its centers move to the embeddings that its loss saw.
    on(step, 0.0)
    on.step_done()
    assert float(on.fields["centers"].norm(dim=1).max()) < 0.5


def test_a_schedule_holds_unless_an_option_says_otherwise(seed: int):
    assert options_of(objective(Term("a-softmax"), seed=seed), 0.0)["annealing"] == 1_000
    other_m = objective(Term("a-softmax", options=(("m", 2),)), seed=seed)
    assert options_of(other_m, 1.0) == {"m": 2, "annealing": 5.0}
    full = objective(Term("a-softmax", options=(("annealing", 0.0),)), seed=seed)
    assert options_of(full, 0.0) == {"m": 4, "annealing": 0.0}
    falling = Anneal(10, 1, 1, 0, 9)
    slow = objective(Term("a-softmax", options=(("annealing", falling),)), seed=seed)
    assert [options_of(slow, p)["annealing"] for p in (0.0, 1.0)] == [10, 1]
    # A named variant is what its definition says.
    assert options_of(objective(Term("a-softmax", "m3"), seed=seed), 0.5)["annealing"] == 0


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([Term("center", options=(("lambda", 1.0),))],
         "options: expected one of weight, alpha for center joint; got 'lambda'"),
        ([Term("softmax", options=(("m", 1),))], "options: expected none for softmax; got 'm'"),
        ([Term("softmax", "cubic")], "variant: expected one of linear, no-bias for softmax"),
        ([Term("triplet", "mine-batch-hard")], "variant: expected one of triplet with a loss"),
        ([Term("softmax", until=0.4)], "terms: expected one that counts at every step; got none "
         "from 0.4 on"),
        ([Term("softmax", since=0.1)], "got none from 0 on"),
        ([Term("center"), Term("center", "term")], "one rule for a field at a time; got centers"),
        ([], "terms: expected one that counts at every step"),
    ],
)  # fmt: skip
def test_terms_that_make_no_objective_are_refused(terms: list[Term], message: str, seed: int):
    with pytest.raises(InputError) as error:
        objective(*terms, seed=seed)
    assert message in str(error.value)


def test_a_rule_that_takes_over_later_is_no_conflict(seed: int):
    made = objective(Term("center", until=0.5), Term("center", since=0.5), seed=seed)
    assert made.updated == {"centers": "update"}


def test_a_sum_trains_and_a_wrong_one_is_a_result_with_the_reason(seed: int):
    terms = (Term("softmax"), Term("contrastive", weight=0.1), Term("center", "term", weight=0.01))
    settings = Settings(2)
    result = training.run(Job("x", "sum", terms, "digits", seed, settings))
    assert (result.status, result.reason) == ("ok", "")
    assert (result.loss, result.variant) == ("softmax+contrastive+center", "linear+all-pairs+term")
    assert result.settings["updated_by_rule"] == {"centers": "update"}
    assert [t["weight"] for t in result.settings["terms"]] == [1.0, 0.1, 0.01]
    assert result.metrics["train_accuracy"] > 0.5
    wrong = (Term("softmax", options=(("margin", 1.0),)),)
    result = training.run(Job("x", "wrong", wrong, "digits", seed, settings))
    assert result.status == "not_run"
    assert "InputError: options: expected none for softmax; got 'margin'" in result.reason
    unknown = training.run(Job("x", "unknown", (Term("sotfmax"),), "digits", seed, settings))
    assert unknown.status == "not_run"
    assert "did you mean 'softmax'" in unknown.reason
