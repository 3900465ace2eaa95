"""What computes nothing fails every agreement cell: zeros, constants, stale buffers, and right
values beside wrong gradients.

Each is put before agreement as a contender, judged as a kernel of our own and as a peer, for every
variant of every loss, reduction and quantity that is compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import pytest
import torch
from planted import candidate
from torch import Tensor

from benchmarks.agreement import comparison, tolerance, truth
from benchmarks.agreement.truth import Truth
from benchmarks.instruments.rows import Candidate, Row, Subject
from marginbench import catalogue
from marginbench.fields import sized
from marginbench.inputs import inputs_from, random_batch, random_inputs
from marginbench.loss import Contender, Inputs, Shape

VARIANTS = [(loss, variant) for loss in catalogue.losses() for variant in loss.variants]
TERMS = [(loss, variant) for loss, variant in VARIANTS if variant.output == "loss"]
SHAPES = {"head": Shape(13, 5, 7), "batch": Shape(13, 5, 4), "rows": Shape(13, 5, 4)}
# 2^-8 is where a limit is widest.
DTYPES = ("float32", "bfloat16")

Function = Callable[..., Tensor]
Gradients = Callable[[Tensor], tuple[Tensor, ...]]


class _Gives(torch.autograd.Function):
    """The value that it is given, and the gradients that a function makes of the upstream one."""

    @staticmethod
    def forward(ctx, value: Tensor, gradients: Gradients, *leaves: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.detach().clone()

    @staticmethod
    def backward(ctx, upstream: Tensor):
        return None, None, *ctx.gradients(upstream)


class Fakes:
    """Contenders that do not compute a subject's outputs, and what they take instead."""

    def __init__(self, subject: Subject, inputs: Inputs, stale: Inputs) -> None:
        self.subject, self.inputs = subject, (inputs, stale)
        self.eager = candidate(subject, "eager").function
        self._known: dict[tuple, tuple[Tensor, ...]] = {}

    def _outputs(self, which: int, reduction: str, upstream: Tensor | None) -> tuple[Tensor, ...]:
        """Eager's value, or its gradients where there is an upstream one; each computed once."""
        key = (which, reduction, upstream is None)
        if key not in self._known:
            inputs = self.inputs[which]
            with torch.enable_grad():
                value = self.subject.call(self.eager, inputs, reduction)
                leaves = [inputs.tensors[name] for name in inputs.differentiable]
                out = (value.detach(),)
                if upstream is not None:
                    out = torch.autograd.grad(value, leaves, upstream.to(value.dtype))
            self._known[key] = out
        return self._known[key]

    def fake(self, of_value: Function, of_gradient: Function) -> Function:
        """A contender; the functions get eager's outputs on these inputs and on stale ones."""

        def call(reduction: str = "mean", **arguments) -> Tensor:
            leaves = [arguments[name] for name in self.subject.variant.differentiable]
            (value,) = map(of_value, *(self._outputs(k, reduction, None) for k in (0, 1)))

            def gradients(upstream: Tensor) -> tuple[Tensor, ...]:
                return tuple(map(of_gradient, *(self._outputs(k, reduction, upstream)
                                                for k in (0, 1))))  # fmt: skip

            return _Gives.apply(value, gradients, *leaves)

        return call


def zeros(own: Tensor, stale: Tensor) -> Tensor:
    return torch.zeros_like(own)


def constant(own: Tensor, stale: Tensor) -> Tensor:
    """No loss is negative, and no number of this output is as large: it is none by chance."""
    return torch.full_like(own, -1 - 2 * float(own.detach().abs().max()))


def level(own: Tensor, stale: Tensor) -> Tensor:
    """The right mean in every place; of a single number, that of another call."""
    return own.mean().expand_as(own).clone() if own.numel() > 1 else stale.clone()


def left_over(own: Tensor, stale: Tensor) -> Tensor:
    return stale.clone()


def half_left_over(own: Tensor, stale: Tensor) -> Tensor:
    """Its first half was never written; so was a single number."""
    if own.shape != stale.shape:
        return stale.clone()
    mixed, half = own.detach().flatten().clone(), max(1, own.numel() // 2)
    mixed[:half] = stale.flatten()[:half]
    return mixed.view_as(own)


def right(own: Tensor, stale: Tensor) -> Tensor:
    return own.clone()


NULLS = (zeros, constant, level, left_over, half_left_over)


def _subject(loss, variant, dtype: str, seed: int) -> tuple[Subject, Inputs, Inputs]:
    """The subject, its inputs, and those of an earlier call: of another seed and at least three
    times as long, for two draws of one kind may well come to the same mean in half precision. Where
    lengths do not count, of embeddings that lie along their class weights."""
    subject = Subject(loss, variant, sized(variant, SHAPES[variant.family]), dtype, "cpu")
    inputs = random_inputs(variant, subject.shape, dtype, "cpu", seed)
    for earlier in range(seed + 1, seed + 100):
        longer = 3 ** (1 + (earlier - seed) // 25)
        batch = random_batch(subject.shape, earlier, unit=variant.unit_embeddings)
        fields = ("embeddings", "second", "third")
        batch = dataclasses.replace(
            batch, **{name: longer * getattr(batch, name) for name in fields}
        )
        if variant.family == "head" and earlier > seed + 50:
            batch = dataclasses.replace(
                batch, embeddings=longer * batch.class_weights[batch.labels]
            )
        stale = inputs_from(variant, batch, dtype, "cpu")
        if variant.output == "indices" or _are_apart(subject, seed, inputs, stale):
            return subject, inputs, stale
    raise AssertionError("no earlier call differs")


def _are_apart(subject: Subject, seed: int, *calls: Inputs) -> bool:
    """Whether one call's terms, sum, mean and gradients that are single numbers (of a learnt
    scale), or an update's tensor, differ from the other's by more than a peer may."""
    function = candidate(subject, "eager").function
    for reduction in comparison.reductions(subject, every=True):
        found = []
        for inputs in calls:
            with torch.enable_grad():
                value = subject.call(function, inputs, reduction)
                leaves = [inputs.tensors[name] for name in inputs.differentiable]
                numbers = [leaf for leaf in leaves if leaf.numel() == 1]
                of: tuple[Tensor, ...] = ()
                if numbers:
                    upstream = truth.upstream(subject, reduction, seed).to(value.dtype)
                    of = torch.autograd.grad(value, numbers, upstream)
            found.append((value.detach(), *of))
        for own, other in zip(*found, strict=True):
            if tolerance.relative(other, own) <= 1.2 * tolerance.FARTHEST:
                return False
    return True


def _judged_both_ways(functions: Mapping[str, Function]) -> list[Candidate]:
    """As a kernel of our own, by eager's error, and as a peer, by the derived bound; half of an
    output may be nearer than what that allows where inputs of half precision choose."""
    return [
        Candidate(Contender(f"{name} as {what}", "eager:planted", needs=needs), function)
        for name, function in functions.items()
        for what, needs in (("kernel", ()), ("peer", ("package:planted",)))
        if what == "kernel" or name != half_left_over.__name__
    ]


def _measured(subject: Subject, functions: Mapping[str, Function], inputs: Inputs, seed: int):
    """The rows of the planted contenders, and the truths they were held against."""
    truths: dict[str, Truth] = {}
    found = [candidate(subject, "eager"), *_judged_both_ways(functions)]
    rows = comparison.measure(subject, found, inputs, seed, truths=truths)
    for row in rows:
        assert row.status == "ok" or row.contender != "eager", row
    return [row for row in rows if row.contender != "eager"], truths


def _cell(row: Row) -> str:
    return f"{row.contender}: {row.of.get('reduction', '')} {row.of.get('quantity', '')}"


def _expected(subject: Subject, contenders: int) -> int:
    """One row for the error of each quantity and reduction, one for its multiple of eager's."""
    quantities = 1 + len(subject.variant.differentiable)
    reductions = len(comparison.reductions(subject, every=True))
    return 2 * contenders * quantities * reductions


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "variant"), TERMS, ids=lambda of: of.name)
def test_nulls_fail_every_cell_of_a_loss(loss, variant, dtype: str, seed: int):
    """A right value excuses no gradient and a right gradient no value: each cell by itself."""
    subject, inputs, stale = _subject(loss, variant, dtype, seed)
    fakes = Fakes(subject, inputs, stale)
    planted = {null.__name__: fakes.fake(null, null) for null in NULLS}
    for null in (zeros, left_over):
        planted[f"right value, {null.__name__}"] = fakes.fake(right, null)
        planted[f"right gradient, {null.__name__}"] = fakes.fake(null, right)
    rows, truths = _measured(subject, planted, inputs, seed)
    for held in truths.values():
        assert all(out.any() for out in held.outputs.named().values()), "its outputs are 0 anyway"
    assert len(rows) == _expected(subject, len(_judged_both_ways(planted)))
    wrong = []
    for row in rows:
        of = "value" if row.of["quantity"] == "value" else "gradient"
        wanted = "ok" if row.contender.startswith(f"right {of}") else "worse"
        if row.status != wanted:
            wrong.append((_cell(row), row.metric, row.value, row.protocol.get("limit")))
    assert not wrong


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("loss", "variant"), [of for of in VARIANTS if of not in TERMS], ids=lambda of: of.name
)
def test_nulls_fail_where_there_are_no_terms(loss, variant, dtype: str, seed: int):
    """Updates, and mining rules, whose cells are one: the selection."""
    subject, inputs, stale = _subject(loss, variant, dtype, seed)
    function = candidate(subject, "eager").function

    def planted(null: Function):
        def call(**arguments):
            found = [subject.call(function, drawn, "mean") for drawn in (inputs, stale)]
            outs = [out if isinstance(out, tuple) else (out,) for out in found]
            nulls = tuple(map(null, *outs))
            return nulls if isinstance(found[0], tuple) else nulls[0]

        return call

    # Indices have no mean.
    nulls = [null for null in NULLS if null is not level or variant.output == "tensor"]
    rows, _ = _measured(subject, {null.__name__: planted(null) for null in nulls}, inputs, seed)
    for contender in sorted({row.contender for row in rows}):
        states = {row.metric: row.status for row in rows if row.contender == contender}
        if variant.output == "indices":
            assert "worse" in states.values(), (contender, states)
        else:
            assert set(states.values()) == {"worse"}, (contender, states)
    assert len({row.contender for row in rows}) == 2 * len(nulls) - 1
