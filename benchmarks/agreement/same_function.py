"""Whether two heads are the same function: by value, and by the gradients of embeddings and class
weights, at angles of the target all over (0, pi).

A head here is a loss of embeddings, labels and class weights, given back as one number. Inputs are
such that heads which differ do so visibly: several rows, embeddings and class weights of lengths
other than 1, and to each row another class 10 degrees away, so that the loss is never near 0. In
float64, with our references as what others are held against.

B batch, D dimension, C classes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from marginbench import catalogue
from marginbench.fields import Field, Shape
from marginbench.inputs import Maker
from marginbench.loss import Loss, Variant

Head = Callable[[Tensor, Tensor, Tensor], Tensor]
Verdict = Literal["same", "value", "part", "different"]
# Of the target, in degrees; margins of 0.35 to 0.5 meet pi from 151 to 160 on.
DEGREES = (0.3, 2.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 130.0, 140.0, 150.0, 155.0, 162.0,
           170.0, 178.0, 179.7)  # fmt: skip
# What clips the cosines of all classes shows where another class is as near as this.
_NEAREST, _OTHER = 0.3, 10.0
_ROWS, _DIM, _SEED = 3, 8, 0
# Far above what acos and cos round away at these angles, far below any margin.
TOLERANCE = 1e-6
QUANTITIES = ("value", "embeddings", "class_weights")
# What may have to have length 1 for a head that forgets to normalise it.
_UNIT = (("embeddings",), ("class_weights",), ("embeddings", "class_weights"))


@dataclass(frozen=True)
class Case:
    """A batch whose targets are all at one angle."""

    name: str
    embeddings: Tensor
    labels: Tensor
    class_weights: Tensor


@dataclass(frozen=True)
class Result:
    """The loss and its gradients; a gradient that there is none of is 0."""

    value: Tensor
    embeddings: Tensor
    class_weights: Tensor


@dataclass(frozen=True)
class Held:
    """One head against one of our variants, called with ``options``. ``differs``: by quantity, the
    names of the cases where it does, after its value and gradients were divided by ``factor``.
    ``only``: it is the same where these have length 1."""

    loss: str
    variant: str
    options: Mapping[str, Any]
    cases: int
    differs: Mapping[str, Sequence[str]]
    factor: float = 1.0
    only: str = ""

    @property
    def verdict(self) -> Verdict:
        """``value``: the same value and another gradient; ``part``: the same value at some
        angles."""
        if not any(self.differs.values()):
            return "same"
        if not self.differs["value"]:
            return "value"
        return "part" if len(self.differs["value"]) < self.cases else "different"


@functools.cache
def cases(*, unit: tuple[str, ...] = ()) -> list[Case]:
    """``unit``: which of embeddings and class_weights have length 1."""
    made = [_case(f"{degrees:g}°", degrees, _OTHER, unit) for degrees in DEGREES]
    return [*made, _case(f"60°, another class at {_NEAREST:g}°", 60.0, _NEAREST, unit)]


def _case(name: str, degrees: float, other: float, unit: Sequence[str]) -> Case:
    draw = torch.Generator().manual_seed(_SEED)
    x_BD = _directions(torch.randn(_ROWS, _DIM, generator=draw, dtype=torch.float64))
    own_BD, other_BD = (
        _turned(x_BD, torch.randn(_ROWS, _DIM, generator=draw, dtype=torch.float64), angle)
        for angle in (degrees, other)
    )
    long_B, long_C = (
        0.5 + 2 * torch.rand(rows, 1, generator=draw, dtype=torch.float64)
        for rows in (_ROWS, 2 * _ROWS)
    )
    w_CD = torch.cat((other_BD, own_BD))
    return Case(
        name,
        x_BD if "embeddings" in unit else x_BD * long_B,
        torch.arange(_ROWS, 2 * _ROWS),
        w_CD if "class_weights" in unit else w_CD * long_C,
    )


def _directions(rows: Tensor) -> Tensor:
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def _turned(x_BD: Tensor, towards_BD: Tensor, degrees: float) -> Tensor:
    """At that angle from each row, in a plane of its own."""
    across_BD = _directions(towards_BD - (towards_BD * x_BD).sum(dim=1, keepdim=True) * x_BD)
    angle = math.radians(degrees)
    return x_BD * math.cos(angle) + across_BD * math.sin(angle)


def result(head: Head, case: Case) -> Result:
    """On tensors of its own: a head may change what it is given. Raises ValueError where it gives
    back something other than a number with a gradient."""
    x_BD = case.embeddings.clone().requires_grad_()
    w_CD = case.class_weights.clone().requires_grad_()
    value = head(x_BD, case.labels.clone(), w_CD)
    if not isinstance(value, Tensor):
        raise ValueError(f"expected a tensor of one number back; got {type(value).__name__}")
    if value.numel() != 1:
        raise ValueError(f"expected one number back; got the shape {tuple(value.shape)}")
    if not value.requires_grad:
        raise ValueError("expected a loss with a gradient back; got one without")
    grads = torch.autograd.grad(value.reshape(()), (x_BD, w_CD), allow_unused=True)
    d_x_BD, d_w_CD = (
        torch.zeros_like(leaf) if grad is None else grad
        for grad, leaf in zip(grads, (x_BD, w_CD), strict=True)
    )
    return Result(value.detach().reshape(1, 1).double(), d_x_BD.double(), d_w_CD.double())


def variants() -> list[tuple[Loss, Variant]]:
    """Ours that are functions of embeddings, labels and class weights alone, any statistics being
    those that a training starts from (`statistics`)."""
    return [(loss, v) for loss, v in _heads() if not missing(v)]


def left_out() -> dict[str, str]:
    """The other heads, by name, and what more they take."""
    return {f"{loss.name}/{v.name}": missing(v) for loss, v in _heads() if missing(v)}


def _heads() -> Iterator[tuple[Loss, Variant]]:
    for loss in catalogue.losses():
        for variant in loss.variants:
            if variant.family == "head" and variant.output == "loss":
                yield loss, variant


def missing(variant: Variant) -> str:
    """What it takes beside them."""
    more = [field.name for field in variant.fields if not _is_statistic(variant, field)]
    more += [one for one in variant.differentiable if one not in (*QUANTITIES, *more)]
    return " and ".join(more)


def _is_statistic(variant: Variant, field: Field) -> bool:
    """A state of a single number that is not learnt."""
    learnt = field.name in variant.differentiable
    return field.kind == "state" and not field.sizes and not learnt


def statistics(variant: Variant) -> dict[str, Tensor]:
    """The states of a single number that it takes, as a training starts them."""
    made = torch.Generator().manual_seed(_SEED)
    size = Shape(_ROWS, _DIM, 2 * _ROWS)
    return {
        field.name: Maker(field, size, made).for_a_training()
        for field in variant.fields
        if _is_statistic(variant, field)
    }


def options_of(loss: Loss, variant: Variant, given: Mapping[str, Any]) -> dict[str, Any]:
    """The variant's, with those numbers in ``given`` that it has too. What tells a loss's variants
    apart stays."""
    own = dict(variant.options)
    for name in own.keys() & given.keys():
        if len({repr(v.options[name]) for v in loss.variants if name in v.options}) == 1:
            own[name] = given[name]
    return own


def hold(head: Head, given: Mapping[str, Any]) -> list[Held]:
    """The head against each of our variants, with its numbers ``given``; the nearest first."""
    theirs = functools.cache(functools.partial(_results, head))
    found = [_held(theirs, loss, variant, given) for loss, variant in variants()]
    order = {verdict: place for place, verdict in enumerate(("same", "value", "part", "different"))}
    return sorted(found, key=lambda one: (order[one.verdict], one.factor != 1, one.only))


def _held(
    theirs: Callable[[tuple[str, ...]], list[Result]], loss: Loss, variant: Variant,
    given: Mapping[str, Any],
) -> Held:  # fmt: skip
    options = options_of(loss, variant, given)
    key = loss.name, variant.name, tuple(sorted(options.items()))
    ours = _ours(*key, ())
    factor = _factor(theirs(()), ours)
    differs = _differences(theirs(()), ours, factor)
    only = ""
    if len(differs["value"]) == len(ours):
        for unit in _UNIT:
            if not any(_differences(theirs(unit), _ours(*key, unit), factor).values()):
                only = " and ".join(unit)
                break
    return Held(loss.name, variant.name, options, len(ours), differs, factor, only)


def _results(head: Head, unit: tuple[str, ...]) -> list[Result]:
    return [result(head, case) for case in cases(unit=unit)]


@functools.lru_cache(maxsize=1024)
def _ours(
    loss: str, variant: str, options: tuple[tuple[str, Any], ...], unit: tuple[str, ...]
) -> list[Result]:
    known = catalogue.get(loss)
    function = known.resolve(known.variant(variant).contender("reference").entry)
    started = statistics(known.variant(variant))

    def head(embeddings: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
        named = {"embeddings": embeddings, "labels": labels, "class_weights": class_weights}
        value: Tensor = function(**named, **started, **dict(options), reduction="mean")
        return value

    return _results(head, unit)


def _factor(theirs: Sequence[Result], ours: Sequence[Result]) -> float:
    """That all values differ by, such as the rows where a sum is taken for a mean; 1 if none is."""
    ratios = torch.cat([t.value / o.value for t, o in zip(theirs, ours, strict=True)])
    first = float(ratios[0])
    if not math.isfinite(first) or first <= 0 or abs(first - 1) <= TOLERANCE:
        return 1.0
    return first if bool((ratios / first - 1).abs().max() <= TOLERANCE) else 1.0


def _differences(
    theirs: Sequence[Result], ours: Sequence[Result], factor: float
) -> dict[str, list[str]]:
    names = [case.name for case in cases()]
    return {
        quantity: [
            name
            for name, their, our in zip(names, theirs, ours, strict=True)
            if not _same(getattr(their, quantity) / factor, getattr(our, quantity))
        ]
        for quantity in QUANTITIES
    }


def _same(theirs: Tensor, ours: Tensor) -> bool:
    most = max(float(theirs.norm()), float(ours.norm()))
    return most == 0 or float((theirs - ours).norm()) <= TOLERANCE * most


def where(names: Sequence[str]) -> str:
    """The cases of a difference in words: ``everywhere``, or runs of angles."""
    every = [case.name for case in cases()]
    if len(names) == len(every):
        return "everywhere"
    said: list[str] = []
    last = ""
    for name in names:
        if name not in every[: len(DEGREES)]:
            said.append(name.partition(", ")[2])
        elif said and every[every.index(name) - 1] == last:
            said[-1] = f"{said[-1].partition(' to ')[0]} to {name}"
        else:
            said.append(name)
        last = name
    return ", ".join(said)
