"""Whether two heads are the same function: by value, and by the gradients of embeddings and class
weights, at angles of the target all over (0, pi).

A head here is a loss of embeddings, labels, class weights and whatever it says that it takes beside
them, given back as one number. Inputs are such that heads which differ do so visibly: several rows,
embeddings and class weights of lengths other than 1, and to each row another class 10 degrees away,
or 60 where there are margins for it, so that the loss is never near 0. In float64, with our
references as what others are held against.

B batch, D dimension, C classes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from marginbench import catalogue
from marginbench.fields import STANDARD, Field
from marginbench.inputs import Maker
from marginbench.loss import Loss, Shape, Variant

Head = Callable[..., Tensor]
Verdict = Literal["same", "value", "part", "different"]
# Of the target, in degrees; margins of 0.35 to 0.5 meet pi from 151 to 160 on.
DEGREES = (0.3, 2.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 130.0, 140.0, 150.0, 155.0, 162.0,
           170.0, 178.0, 179.7)  # fmt: skip
# What clips the cosines of all classes shows where another class is as near as this.
_NEAREST, _OTHER = 0.3, 10.0
# For heads that take margins: a loss that is linear in them would not tell which row has which.
_LEVEL = 60.0
_ROWS, _DIM, _SEED = 3, 8, 0
# Of each row's target beyond the case's, times its sine, for heads that take more than embeddings,
# labels and class weights: which row has what then shows. By their cosines the rows are in an order
# that is not its own inverse, so that a head that takes one for the other shows too.
_APART = (4.0, 8.0, 0.0)
# Of the embeddings, evenly in its logarithm: to both sides of where margins by the length begin.
_SHORTEST, _RANGE = 0.5, 200.0
# Far above what acos and cos round away at these angles, far below any margin.
TOLERANCE = 1e-6
QUANTITIES = ("value", "embeddings", "class_weights")
# What may have to have length 1 for a head that forgets to normalise it.
_UNIT = (("embeddings",), ("class_weights",), ("embeddings", "class_weights"))


@dataclass(frozen=True)
class Case:
    """A batch whose targets are all at one angle, or apart where there is ``more``, by name."""

    name: str
    embeddings: Tensor
    labels: Tensor
    class_weights: Tensor
    more: Mapping[str, Tensor] = field(default_factory=dict)


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
def cases(*, unit: tuple[str, ...] = (), fields: tuple[Field, ...] = ()) -> list[Case]:
    """``unit``: which of embeddings and class_weights have length 1; ``fields``: what more is."""
    other = _LEVEL if fields else _OTHER
    made = [_case(f"{degrees:g}°", degrees, other, unit, fields) for degrees in DEGREES]
    return [*made, _case(f"60°, another class at {_NEAREST:g}°", 60.0, _NEAREST, unit, fields)]


def _case(
    name: str, degrees: float, other: float, unit: Sequence[str], fields: Sequence[Field]
) -> Case:
    draw, more = (torch.Generator().manual_seed(seed) for seed in (_SEED, _SEED + 1))
    across = math.sin(math.radians(degrees)) if fields else 0.0
    x_BD = _directions(torch.randn(_ROWS, _DIM, generator=draw, dtype=torch.float64))
    own_BD, other_BD = (
        _turned(x_BD, torch.randn(_ROWS, _DIM, generator=draw, dtype=torch.float64), angles)
        for angles in ([degrees + apart * across for apart in _APART], [other] * _ROWS)
    )
    share_B, share_C = (
        torch.rand(rows, 1, generator=draw, dtype=torch.float64) for rows in (_ROWS, 2 * _ROWS)
    )
    long_B, long_C = _SHORTEST * _RANGE**share_B, 0.5 + 2 * share_C
    w_CD = torch.cat((other_BD, own_BD))
    shape = Shape(_ROWS, _DIM, len(w_CD))
    return Case(
        name,
        x_BD if "embeddings" in unit else x_BD * long_B,
        torch.arange(_ROWS, 2 * _ROWS),
        w_CD if "class_weights" in unit else w_CD * long_C,
        {one.name: Maker(one, shape, more).for_a_case().double() for one in fields},
    )


def _directions(rows: Tensor) -> Tensor:
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def _turned(x_BD: Tensor, towards_BD: Tensor, degrees: Sequence[float]) -> Tensor:
    """At its angle from each row, in a plane of its own."""
    across_BD = _directions(towards_BD - (towards_BD * x_BD).sum(dim=1, keepdim=True) * x_BD)
    angle_B1 = torch.tensor(degrees, dtype=torch.float64).deg2rad()[:, None]
    return x_BD * angle_B1.cos() + across_BD * angle_B1.sin()


def result(head: Head, case: Case) -> Result:
    """On tensors of its own: a head may change what it is given. Raises ValueError where it gives
    back something other than a number with a gradient."""
    x_BD = case.embeddings.clone().requires_grad_()
    w_CD = case.class_weights.clone().requires_grad_()
    more = {name: tensor.clone() for name, tensor in case.more.items()}
    value = head(x_BD, case.labels.clone(), w_CD, **more)
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


def variants(takes: Sequence[str] = ()) -> list[tuple[Loss, Variant]]:
    """Ours that are functions of embeddings, labels, class weights and ``takes`` alone, any
    statistics being those that a training starts from (`statistics`)."""
    return [(loss, v) for loss, v in _heads() if more_of(v) == tuple(takes)]


def left_out(taken: Collection[tuple[str, ...]] = ()) -> dict[str, str]:
    """The heads that take more, by name, and what; but for those that take one of ``taken``."""
    more = {f"{loss.name}/{v.name}": more_of(v) for loss, v in _heads()}
    return {name: " and ".join(m) for name, m in more.items() if m and m not in taken}


def _heads() -> Iterator[tuple[Loss, Variant]]:
    for loss in catalogue.losses():
        for variant in loss.variants:
            if variant.family == "head" and variant.output == "loss":
                yield loss, variant


def more_of(variant: Variant) -> tuple[str, ...]:
    """What it takes beside embeddings, labels, class weights and statistics."""
    more = [one.name for one in variant.fields if not _is_statistic(variant, one)]
    return (*more, *(one for one in variant.differentiable if one not in (*QUANTITIES, *more)))


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
    apart stays: their numbers, where their other options are not all different."""
    own = dict(variant.options)
    words = [[one for one in v.options.items() if isinstance(one[1], str)] for v in loss.variants]
    told = all(words.count(one) == 1 for one in words)
    for name in own.keys() & given.keys():
        if told or len({repr(v.options[name]) for v in loss.variants if name in v.options}) == 1:
            own[name] = given[name]
    return own


def hold(head: Head, given: Mapping[str, Any], takes: Sequence[str] = ()) -> list[Held]:
    """The head against each of our variants that ``takes`` what it does, with its numbers
    ``given``; the nearest first."""
    against = variants(takes)
    known = {one.name: one for _, variant in against for one in variant.fields}
    fields = tuple({**STANDARD, **known}[name] for name in takes)
    theirs = functools.cache(functools.partial(_results, head, fields=fields))
    found = [_held(theirs, loss, variant, given, fields) for loss, variant in against]
    order = {verdict: place for place, verdict in enumerate(("same", "value", "part", "different"))}
    return sorted(found, key=lambda one: (order[one.verdict], one.factor != 1, one.only))


def _held(
    theirs: Callable[[tuple[str, ...]], list[Result]], loss: Loss, variant: Variant,
    given: Mapping[str, Any], fields: tuple[Field, ...],
) -> Held:  # fmt: skip
    options = options_of(loss, variant, given)
    key = loss.name, variant.name, tuple(sorted(options.items())), fields
    ours = _ours(*key, ())
    factor = _factor(theirs(()), ours)
    differs = _differences(theirs(()), ours, factor)
    only = ""
    if len(differs["value"]) == len(ours):
        for unit in _UNIT:
            if _alike(theirs(unit), _ours(*key, unit), factor):
                only = " and ".join(unit)
                break
    return Held(loss.name, variant.name, options, len(ours), differs, factor, only)


def _results(head: Head, unit: tuple[str, ...], *, fields: tuple[Field, ...]) -> list[Result]:
    return [result(head, case) for case in cases(unit=unit, fields=fields)]


@functools.lru_cache(maxsize=1024)
def _ours(
    loss: str, variant: str, options: tuple[tuple[str, Any], ...], fields: tuple[Field, ...],
    unit: tuple[str, ...],
) -> list[Result]:  # fmt: skip
    known = catalogue.get(loss)
    function = known.resolve(known.variant(variant).contender("reference").entry)
    started = statistics(known.variant(variant))

    def head(embeddings: Tensor, labels: Tensor, class_weights: Tensor, **more: Tensor) -> Tensor:
        named = {"embeddings": embeddings, "labels": labels, "class_weights": class_weights}
        value: Tensor = function(
            **named, **more, **started, **dict(options), reduction="mean"
        )  # fmt: skip
        return value

    return _results(head, unit, fields=fields)


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


def _alike(theirs: Sequence[Result], ours: Sequence[Result], factor: float) -> bool:
    """Nowhere different; what most heads are not is seen at the first case."""
    return all(
        _same(getattr(their, quantity) / factor, getattr(our, quantity))
        for their, our in zip(theirs, ours, strict=True) for quantity in QUANTITIES
    )  # fmt: skip


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
