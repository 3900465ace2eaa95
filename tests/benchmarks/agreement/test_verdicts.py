"""Agreement finds what is wrong, where it is wrong, and nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from planted import (
    candidate,
    changes_it_behind_torch,
    changes_its_input,
    eager_softmax,
    mining_subject,
    not_finite,
    scaled,
    softmax_subject,
    truths,
)
from torch import Tensor

from benchmarks.agreement import comparison, indices, tolerance, verdict
from benchmarks.agreement.truth import Truth
from benchmarks.instruments.rows import Outputs, Subject
from marginbench import catalogue
from marginbench.inputs import inputs_from, random_batch, random_inputs
from marginbench.loss import Shape


def rows_of(subject: Subject, function: Callable, seed: int) -> dict[tuple[str, str, str], object]:
    inputs = random_inputs(subject.variant, subject.shape, subject.dtype, "cpu", seed)
    found = [candidate(subject, "eager"), candidate(subject, "planted", function)]
    rows = comparison.measure(subject, found, inputs, seed)
    return {
        (row.metric, row.of.get("reduction", ""), row.of.get("quantity", "")): row
        for row in rows
        if row.contender == "planted"
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_eager_agrees_in_every_dtype(dtype: str, seed: int):
    found = rows_of(softmax_subject(dtype), eager_softmax, seed)
    assert {row.status for row in found.values()} == {"ok"}
    assert ("relative_error", "none", "grad:class_weights") in found
    assert {reduction for _, reduction, _ in found} == {"none", "sum", "mean"}
    ratios = [row.value for (metric, *_), row in found.items() if metric == "error_over_eager"]
    assert ratios and all(ratio <= 1 for ratio in ratios)


class WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, upstream):
        return upstream * 1.001


def wrong_gradient(embeddings: Tensor, **arguments) -> Tensor:
    return eager_softmax(embeddings=WrongGradient.apply(embeddings), **arguments)


def ignores_upstream(reduction: str, **arguments) -> Tensor:
    """Right for a uniform upstream gradient alone."""
    terms = eager_softmax(reduction="none", **arguments)
    if reduction == "none":
        return terms.detach() + (terms.mean() - terms.mean().detach())
    return terms.sum() if reduction == "sum" else terms.mean()


def wrong_divisor(reduction: str, **arguments) -> Tensor:
    value = eager_softmax(reduction=reduction, **arguments)
    return value * 16 / 15 if reduction == "mean" else value


@pytest.mark.parametrize(
    ("planted", "quantity", "reductions"),
    [
        (scaled, "value", {"none", "sum", "mean"}),
        (wrong_gradient, "grad:embeddings", {"none", "sum", "mean"}),
        (ignores_upstream, "grad:embeddings", {"none"}),
        (wrong_divisor, "value", {"mean"}),
    ],
)
def test_a_planted_error_is_found_where_it_is(
    planted: Callable, quantity: str, reductions: set[str], seed: int
):
    found = rows_of(softmax_subject(), planted, seed)
    worse = {r for (m, r, q), row in found.items()
             if m == "relative_error" and q == quantity and row.status == "worse"}  # fmt: skip
    assert worse == reductions


@pytest.mark.parametrize("planted", [changes_its_input, changes_it_behind_torch])
def test_changed_inputs_are_found_and_put_back(planted: Callable, seed: int):
    found = rows_of(softmax_subject(), planted, seed)
    assert {row.status for row in found.values()} == {"worse"}
    assert all("changed its input bias" in row.reason for row in found.values())
    # Judged on the inputs as they were, for every reduction: the figures are eager's.
    assert all(row.value < 1e-5 for (m, *_), row in found.items() if m == "relative_error")


def wrong_shape(**arguments) -> Tensor:
    return eager_softmax(**arguments)[None]


def raises(**arguments) -> Tensor:
    raise ValueError("planted")


@pytest.mark.parametrize(
    ("planted", "status", "says"),
    [
        (not_finite, "worse", "NaN"),
        (wrong_shape, "worse", "shape"),
        (raises, "not_run", "ValueError: planted"),
    ],
)
def test_nonsense_takes_its_own_cells(planted: Callable, status: str, says: str, seed: int):
    subject = softmax_subject()
    found = rows_of(subject, planted, seed)
    values = [
        row for (m, _, q), row in found.items() if m == "relative_error" and q in ("", "value")
    ]
    assert values and all(row.status == status and says in row.reason for row in values)
    assert all(row.value is None for row in values)


def test_a_fused_kernel_may_be_twice_as_wrong_as_eager_and_not_more(seed: int):
    """bfloat16, where eager's error is far above the floors: its own error, enlarged. It counts as
    what it usually is where it is small by luck."""
    subject = softmax_subject("bfloat16", Shape(64, 16, 33))
    truth = truths(subject, seed, 1)[0]
    exact, eager = truth.outputs, truth.eager
    name = "grad:class_weights"
    error = truth.eager_errors[name]
    usual = max(error, truth.usual_error(name)) / error
    for factor, fine in ((1.9 * usual, True), (2.1 * usual, False)):
        want, got = exact.grads["class_weights"], eager.grads["class_weights"]
        moved = (want + factor * (got.double() - want)).float()
        outputs = Outputs(eager.value, {**eager.grads, "class_weights": moved})
        verdicts = verdict.judge(truth, candidate(subject, "triton"), outputs)
        assert (not next(v for v in verdicts if v.quantity == name).reason) is fine


def test_the_bound_is_within_reach_of_what_eager_does(seed: int):
    """Derived, and no more than two orders above the errors that happen: it can still fail."""
    for dtype in ("float32", "bfloat16", "float16"):
        subject = softmax_subject(dtype, Shape(64, 32, 65))
        truth = truths(subject, seed, 1)[0]
        worst = max(truth.eager_errors.values())
        bound = tolerance.bound(subject.shape, dtype)
        assert worst <= bound <= 100 * worst


def test_inputs_next_to_a_tie_excuse_what_the_reference_does_there_too():
    """Two negatives at almost the same distance: which is nearer is rounding, and the gradient
    jumps from one to the other."""
    loss = catalogue.get("triplet")
    subject = Subject(loss, loss.variant("batch-hard"), Shape(4, 2, 3), "float32", "cpu")
    batch = random_batch(subject.shape, 0)
    labels = torch.tensor([0, 0, 1, 2])

    def truth_at(last: float) -> Truth:
        x_BD = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.6], [0.0, last]])
        moved = dataclasses.replace(batch, embeddings=x_BD, labels=labels)
        inputs = inputs_from(subject.variant, moved, "float32", "cpu")
        return Truth(subject, inputs, "sum", candidate(subject, "eager"), 0)

    truth, other = truth_at(-0.6 - 1e-7), truth_at(-0.6 + 1e-7).outputs
    flipped = Outputs(
        tuple(v.float() for v in other.value), {"embeddings": other.grads["embeddings"].float()}
    )
    found = {v.quantity: v for v in verdict.judge(truth, candidate(subject, "triton"), flipped)}
    assert found["grad:embeddings"].value > 0.1
    assert not found["grad:embeddings"].reason


# Indices.


def test_index_errors_count_and_weigh():
    x_BD = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    want = (torch.tensor([1, 0, 0, 2]), torch.tensor([2, 2, 1, -1]))
    assert indices.compare(want, want, x_BD) == indices.IndexErrors(0, 0.0)
    equally_far = (torch.tensor([2, 0, 0, 2]), want[1])
    assert indices.compare(equally_far, want, x_BD) == indices.IndexErrors(1, 0.0)
    farther = (torch.tensor([3, 0, 0, 2]), want[1])
    # ||x_0 - x_3||^2 - ||x_0 - x_1||^2 = 3, over 0 + 4.
    assert indices.compare(farther, want, x_BD) == indices.IndexErrors(1, 0.75)


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (((0, 0, 0, 9), (0, 0, 0, 0)), "outside"),
        (((0, 0, 0), (0, 0, 0)), "expected shape"),
        (((0, 0, 0, 0), (2, 2, 1, 3)), "none"),
        (((0, 0, 0, 0),), "expected 2"),
    ],
)
def test_what_is_no_selection_is_a_problem(got: tuple, says: str):
    x_BD = torch.eye(4, dtype=torch.float64)
    want = (torch.tensor([1, 0, 0, 2]), torch.tensor([2, 2, 1, -1]))
    found = indices.compare(tuple(map(torch.tensor, got)), want, x_BD)
    assert says in found.problem


def test_rows_of_different_sets_are_counted():
    x_BD = torch.eye(4, dtype=torch.float64)
    want = tuple(torch.tensor(c) for c in ((0, 0, 1), (1, 1, 0), (2, 3, 2)))
    got = tuple(torch.tensor(c) for c in ((0, 1, 1), (1, 0, 0), (2, 2, 3)))
    assert indices.compare(got, want, x_BD) == indices.IndexErrors(2, None)
    empty = tuple(torch.zeros(0, dtype=torch.int64) for _ in range(3))
    assert indices.compare(empty, want, x_BD).mismatches == 3
    twice = tuple(torch.cat((c, c[-1:])) for c in want)
    assert "twice" in indices.compare(twice, want, x_BD).problem


def test_a_mining_rule_that_takes_another_negative_is_worse(seed: int):
    subject = mining_subject()
    rule = candidate(subject, "eager").function

    def second_best(**arguments):
        positive, negative = rule(**arguments)
        other = negative.clone()
        other[0] = next(i for i in range(12) if arguments["labels"][i] != arguments["labels"][0]
                        and i != int(negative[0]))  # fmt: skip
        return positive, other

    fine, wrong = rows_of(subject, rule, seed), rows_of(subject, second_best, seed)
    assert {row.status for row in fine.values()} == {"ok"}
    assert wrong["index_mismatches", "", ""].value == 1
    assert wrong["index_regret", "", ""].status == "worse"


def test_relative_error_of_a_zero_reference_is_absolute():
    assert tolerance.relative(torch.tensor([3.0, 4.0]), torch.zeros(2)) == 5.0
    assert tolerance.relative(torch.tensor([2.0]), torch.tensor([1.0])) == 1.0
    assert not math.isfinite(tolerance.relative(torch.tensor([float("nan")]), torch.ones(1)))
