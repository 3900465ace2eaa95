"""A tie that was decided the other way excuses an error where it is shown, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from planted import candidate

from benchmarks.agreement import comparison, tolerance, verdict
from benchmarks.agreement.truth import Truth
from benchmarks.instruments.rows import Outputs, Row, Subject
from marginbench import catalogue, stress
from marginbench.inputs import Batch, inputs_from, random_batch
from marginbench.loss import Inputs, Loss, Shape, Variant

SELECTING = [
    pytest.param(loss, variant, id=f"{loss.name}/{variant.name}")
    for loss in catalogue.losses()
    for variant in loss.variants
    if variant.selection
]
SMALL = Shape(12, 5, 3)
WITHIN = tolerance.accumulated(SMALL, "float32")


def subject_of(name: str, variant: str, shape: Shape = SMALL) -> Subject:
    loss = catalogue.get(name)
    return Subject(loss, loss.variant(variant), shape, "float32", "cpu")


def inputs_of(subject: Subject, data: str, seed: int) -> Inputs:
    batch = stress.KINDS[data].make(subject.shape, seed, subject.variant.unit_embeddings)
    return inputs_from(subject.variant, batch, "float32", "cpu")


def enlarged(truth: Truth, factor: float) -> Outputs:
    """Eager's outputs, the error of each gradient enlarged; one below a rounding counts as one."""
    grads = {}
    for name, want in truth.outputs.grads.items():
        error = truth.eager.grads[name].double() - want
        if not error.any():
            error = 1e-9 * want.abs()
        least = tolerance.epsilon("float32") * want.norm() / error.norm()
        grads[name] = (want + factor * max(1.0, float(least)) * error).float()
    return Outputs(truth.eager.value, grads)


def wrong(truth: Truth, got: Outputs) -> list[verdict.Verdict]:
    found = verdict.judge(truth, candidate(truth.subject, "triton"), got)
    return [one for one in found if one.reason]


# Data on which the exact result moves over a hundred times as far as its inputs do.
@pytest.mark.parametrize("factor", [19, 73])
@pytest.mark.parametrize(
    ("name", "variant", "data"),
    [
        ("softmax", "linear", "equal-logits"),
        ("a-softmax", "m1", "equal-logits"),
        ("center", "term", "collapsed"),
        ("contrastive", "pairs", "collapsed"),
        ("contrastive", "all-pairs", "offset-100"),
        ("triplet", "explicit", "offset-100"),
        ("triplet", "batch-hard", "offset-100"),
        ("triplet", "semi-hard", "offset-100"),
        ("triplet", "semi-hard-all", "offset-100"),
    ],
)
def test_a_smooth_error_has_no_excuse(name: str, variant: str, data: str, factor: int, seed: int):
    subject = subject_of(name, variant)
    eager = candidate(subject, "eager")
    truth = Truth(subject, inputs_of(subject, data, seed), "sum", eager, seed)
    bound = tolerance.bound(subject.shape, "float32")
    assert max(truth.eager_errors.values()) < bound, "eager is no measure here"
    worse = wrong(truth, enlarged(truth, factor))
    assert {one.quantity for one in worse} == {f"grad:{name}" for name in truth.outputs.grads}
    assert not any(one.flipped for one in worse)
    assert not wrong(truth, enlarged(truth, 0.9))


def hard_at(last: float) -> tuple[Subject, Inputs]:
    """Anchor 0 with a negative at distance 0.6 on one side and one at ``last`` on the other."""
    subject = subject_of("triplet", "batch-hard", Shape(4, 2, 3))
    batch = dataclasses.replace(
        random_batch(subject.shape, 0),
        embeddings=torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.6], [0.0, last]]),
        labels=torch.tensor([0, 0, 1, 2]),
    )
    return subject, inputs_from(subject.variant, batch, "float32", "cpu")


def rows_taking_the_last(last: float) -> list[Row]:
    """A right loss in float32 but for anchor 0, whose negative it takes from the other side."""
    subject, inputs = hard_at(last)
    explicit = subject.loss.resolve("eager:explicit")

    def planted(embeddings: torch.Tensor, labels: torch.Tensor, reduction: str, **options):
        anchor, positive, negative = (torch.tensor(i) for i in ((0, 1), (1, 0), (3, 2)))
        hinges = explicit(
            embeddings[anchor], embeddings[positive], embeddings[negative],
            reduction="none", **options,
        )  # fmt: skip
        terms = torch.cat((hinges, hinges.new_zeros(2)))
        return {"none": terms, "sum": terms.sum(), "mean": terms.sum() / 2}[reduction]

    found = [candidate(subject, "eager"), candidate(subject, "planted", planted)]
    return [row for row in comparison.measure(subject, found, inputs, 0)
            if row.contender == "planted" and row.metric == "relative_error"]  # fmt: skip


def test_a_flipped_tie_is_excused_with_its_index_and_how_near_it_was():
    rows = rows_taking_the_last(-0.6 - 1e-7)
    assert {row.status for row in rows} == {"ok"}
    flipped = [row for row in rows if "flipped" in row.protocol]
    assert {row.of["reduction"] for row in flipped} == {"none", "sum", "mean"}
    assert all(row.value > 0.1 for row in flipped if row.of["quantity"] == "grad:embeddings")
    for row in flipped:
        assert row.value <= row.protocol["limit"]
        (says,) = row.protocol["flipped"]
        subject, near = says.split(", distances ")
        assert subject == "anchor 0: negative 3 instead of 2"
        assert 1e-8 < float(near.split()[0]) < 1e-6


def test_a_flip_excuses_only_what_it_changes():
    """The other negative at a true tie, and the gradient a thousandth too large."""
    subject, inputs = hard_at(-0.6 - 1e-7)
    truth = Truth(subject, inputs, "sum", candidate(subject, "eager"), 0)
    selection = truth.selection
    (flip,) = [f for f in range(len(selection.flips)) if selection.flips[f, 0] == 0]
    turned = truth.selecting(selection.flipped([flip]))

    def scaled(by: float) -> Outputs:
        value = tuple(v.float() for v in turned.value)
        return Outputs(value, {k: (by * g).float() for k, g in turned.grads.items()})

    assert not wrong(truth, scaled(1.0))
    (worse,) = wrong(truth, scaled(1.001))
    assert "besides anchor 0: negative" in worse.reason


def test_another_negative_without_a_tie_is_worse():
    rows = rows_taking_the_last(-0.601)
    worse = [row for row in rows if row.status == "worse"]
    assert {row.of["quantity"] for row in worse} == {"grad:embeddings", "value"}
    assert not any("flipped" in row.protocol for row in rows)


def mined_rows(x: list[list[float]], labels: list[int], negative_of_0: int) -> dict[str, Row]:
    """A rule that takes this negative for anchor 0, and all else as eager does."""
    subject = subject_of("triplet", "mine-batch-hard", Shape(len(x), len(x[0]), 3))
    batch = dataclasses.replace(
        random_batch(subject.shape, 0),
        embeddings=torch.tensor(x),
        labels=torch.tensor(labels),
    )
    inputs = inputs_from(subject.variant, batch, "float32", "cpu")
    eager = candidate(subject, "eager")

    def planted(**arguments):
        positive, negative = eager.function(**arguments)
        negative[0] = negative_of_0
        return positive, negative

    found = [eager, candidate(subject, "planted", planted)]
    rows = comparison.measure(subject, found, inputs, 0)
    return {row.metric: row for row in rows if row.contender == "planted"}


def test_mined_indices_are_excused_next_to_a_tie_alone():
    labels = [0, 0, 1, 2]
    tie = mined_rows([[0.0, 0.0], [0.5, 0.0], [0.0, 0.6], [0.0, -0.6 - 1e-7]], labels, 3)
    assert tie["index_regret"].status == "ok"
    assert "anchor 0: negative 3 instead of 2" in tie["index_regret"].protocol["flipped"][0]
    apart = mined_rows([[0.0, 0.0], [0.5, 0.0], [0.0, 0.6], [0.0, -0.601]], labels, 3)
    assert apart["index_regret"].status == "worse"
    assert "anchor 0: negative 3 instead of 2" in apart["index_regret"].reason


def test_of_exact_equals_the_lowest_index_is_no_excuse():
    """A regret of 0: the distances are equal, and the rule says which is taken."""
    rows = mined_rows([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.0, -0.5]], [0, 0, 1, 2], 3)
    assert rows["index_regret"].value == 0
    assert rows["index_regret"].status == "worse"


# What each variant declares.


def arguments_of(variant: Variant, batch: Batch) -> dict:
    inputs = inputs_from(variant, batch, "float64", "cpu")
    return {**inputs.tensors, **variant.options}


@pytest.mark.parametrize(("loss", "variant"), SELECTING)
@pytest.mark.parametrize(
    "data", ["drawn", "exact-ties", "duplicates", "one-point", "tight-clusters"]
)
def test_the_reference_takes_what_the_selection_says(
    loss: Loss, variant: Variant, data: str, seed: int
):
    shape = Shape(12, 4, 3)
    make = stress.KINDS[data].make if data in stress.KINDS else None
    unit = variant.unit_embeddings
    batch = make(shape, seed, unit) if make else random_batch(shape, seed, unit=unit)
    arguments = arguments_of(variant, batch)
    selection = loss.resolve(variant.selection)(**arguments, within=WITHIN)
    reference = loss.resolve(variant.contender("reference").entry)
    if variant.output == "indices":
        taken = torch.stack(reference(**arguments), dim=1)
        listed = torch.cat((selection.about, selection.taken), dim=1)
        if selection.columns == ("active",):
            listed = selection.about[selection.taken[:, 0] == 1]
        assert torch.equal(taken, listed[:, -taken.shape[1] :])
        return
    for reduction in variant.reductions:
        want = reference(**arguments, reduction=reduction)
        given = reference(**arguments, reduction=reduction, selected=selection.taken)
        torch.testing.assert_close(given, want, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("loss", "variant"), SELECTING)
def test_whatever_a_rounding_turns_is_listed(loss: Loss, variant: Variant, seed: int):
    """Codes with noise of a rounding have near ties in plenty. What is decided otherwise once each
    number has been rounded anew is among the flips, and each flip is of another value."""
    # With fewer dimensions two codes of a batch often coincide, and equal values are no flips.
    shape = Shape(200 if variant.family == "rows" else 16, 7, 4)
    batch = stress.KINDS["exact-ties"].make(shape, seed, True)
    generator = torch.Generator().manual_seed(seed)

    def jittered(by: float) -> dict:
        arguments = arguments_of(variant, batch)
        for name in variant.differentiable or ("embeddings",):
            noise = torch.rand(shape.batch, shape.dim, generator=generator).double() - 0.5
            arguments[name] = (
                base[name] * (1 + by * noise) if base else arguments[name] + by * noise
            )
        return arguments

    base: dict = {}
    base = jittered(1e-7)
    # The margin's borders are full of ties as well: all squared distances are multiples of 1/4.
    options = {"margin": 0.25} if "margin" in variant.options else {}
    select = loss.resolve(variant.selection)
    exact = select(**{**base, **options}, within=WITHIN)
    listed = {tuple(flip) for flip in exact.flips.tolist()}
    assert len(listed) == len(exact.flips) > 0
    assert all(int(exact.taken[d, c]) != v for d, c, v in listed)
    assert bool((exact.apart > 0).all()) and float(exact.apart.max()) < 1e-4
    turned = set()
    for _ in range(20):
        other = select(**{**jittered(4e-7), **options}, within=WITHIN).taken
        decision, column = torch.nonzero(other != exact.taken, as_tuple=True)
        values = other[decision, column].tolist()
        turned |= set(zip(decision.tolist(), column.tolist(), values, strict=True))
    assert turned and turned <= listed
