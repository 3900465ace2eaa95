"""What is trained with a loss: its recipe, and the parameters that follow from its declaration."""

from __future__ import annotations

import dataclasses

import torch

from benchmarks.training.datasets import digits
from benchmarks.training.loop import Run, cpu_threads
from benchmarks.training.objective import Objective
from benchmarks.training.terms import learnt_fields, partners_of, training_of
from marginbench import catalogue
from suites.jobs import Job, Settings, Term

SOFTMAX = Job("x", "softmax", (Term("softmax"),), "digits", 7, Settings(epochs=1))


def test_what_is_trained_follows_from_the_declaration():
    softmax = catalogue.get("softmax").variant("linear")
    assert learnt_fields(softmax) == ("class_weights", "bias")
    assert not partners_of(softmax)
    frozen = dataclasses.replace(softmax, differentiable=("embeddings", "bias"))
    assert learnt_fields(frozen) == ("bias",)
    pairs = dataclasses.replace(
        softmax,
        arguments=lambda b: {
            "x": b.embeddings,
            "y": torch.where(b.different[:, None], b.third, b.second),
        },
        differentiable=("x", "y"),
    )
    assert learnt_fields(pairs) == ()
    assert partners_of(pairs) == ("second", "third")


def test_without_a_declaration_the_first_loss_over_a_head_or_batch_is_trained():
    softmax = catalogue.get("softmax")
    linear = softmax.variants[0]
    rows, update = (
        dataclasses.replace(linear, name="rows", family="rows"),
        dataclasses.replace(linear, name="update", output="tensor"),
    )
    loss = dataclasses.replace(softmax, training=None, variants=(update, rows, linear))
    assert training_of(loss).variant == "linear"
    assert training_of(dataclasses.replace(loss, variants=(update, rows))).variant == "rows"


def test_a_recipe_of_the_catalogue_names_variants_and_fields_that_are_there():
    for loss in catalogue.losses():
        training_ = training_of(loss)
        assert loss.variant(training_.variant).output == "loss"
        for field, name in training_.updates.items():
            declared = [one.name for one in loss.variant(training_.variant).fields]
            assert field in ("class_weights", "bias", "centers", *declared)
            assert loss.variant(name).output == "tensor"
            assert field not in learnt_fields(loss.variant(training_.variant))
        if training_.schedule:
            for progress in (0.0, 0.5, 1.0):
                known = set(loss.variant(training_.variant).options)
                assert set(training_.schedule(progress)) <= known


def test_what_the_loss_learns_is_trained_with_the_network():
    run = Run(SOFTMAX, digits())
    before = [p.detach().clone() for p in run.objective.parameters]
    with cpu_threads(1):
        list(run.epochs())
    assert len(before) == 2
    for old, new in zip(before, run.objective.parameters, strict=True):
        assert (old != new).all()


def test_class_weights_start_alike_for_every_contender(seed: int):
    made = []
    for contender in ("reference", "eager"):
        generator = torch.Generator().manual_seed(seed)
        terms = [Term("softmax")]
        one = Objective(terms, contender, 5, 8, generator, steps=1, batch=4)
        made.append(one.parameters)
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))
    run = Run(SOFTMAX, digits())
    # 721 images in steps of 60.
    assert run.steps == len(digits().splits["train"]) // 60
