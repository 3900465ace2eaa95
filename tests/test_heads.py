"""The heads over class weights: softmax, A-Softmax and center loss, reference and eager.

Truth, in this order: plain Python loops with angles for the reference, the float64 reference for
eager. Bounds are written in roundings of the dtype, see `_bound`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from kernels import catalogue, drawing
from kernels.a_softmax import eager as a_softmax_eager
from kernels.a_softmax import reference as a_softmax_reference
from kernels.center import eager as center_eager
from kernels.center import reference as center_reference
from kernels.checks import InputError
from kernels.loss import REDUCTIONS, Inputs, Loss, Shape, Variant
from kernels.softmax import eager as softmax_eager

HEADS = ("softmax", "a-softmax", "center")
VARIANTS = [
    pytest.param(catalogue.get(name), variant, id=f"{name}/{variant.name}")
    for name in HEADS
    for variant in catalogue.get(name).variants
    if variant.output == "loss"
]
A_SOFTMAX = [
    pytest.param(catalogue.get("a-softmax"), variant, id=variant.name)
    for variant in catalogue.get("a-softmax").variants
]
# One sample, one class, one dimension, two classes; primes; a row longer than a vector register.
SHAPES = (Shape(1, 7, 5), Shape(5, 3, 1), Shape(4, 1, 3), Shape(13, 11, 2), Shape(37, 19, 23),
          Shape(3, 130, 257))  # fmt: skip
RAGGED = Shape(37, 19, 23)
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Outcome:
    """A loss's value and its gradients by argument, and what flowed into each term from above."""

    value: Tensor
    gradients: dict[str, Tensor]
    upstream_norm: float


def _draw(variant: Variant, shape: Shape, dtype: str, seed: int) -> Inputs:
    return drawing.draw(variant, shape, dtype, "cpu", seed)


def _function(loss: Loss, variant: Variant, contender: str):
    return loss.resolve(variant.contender(contender).entry)


def _upstream(inputs: Inputs, reduction: str, seed: int) -> Tensor:
    """A gradient from above that differs from term to term and in sign."""
    batch = len(inputs.tensors["labels"])
    generator = torch.Generator().manual_seed(seed + 1)
    size = (batch,) if reduction == "none" else ()
    return torch.randn(size, generator=generator, dtype=torch.float64) + 0.5


def _outcome(function, inputs: Inputs, options, reduction: str, seed: int) -> Outcome:
    upstream = _upstream(inputs, reduction, seed)
    value = function(**inputs.tensors, **options, reduction=reduction)
    leaves = [inputs.tensors[name] for name in inputs.differentiable]
    gradients = torch.autograd.grad(value, leaves, upstream.to(value.dtype))
    batch = len(inputs.tensors["labels"])
    per_term = {"none": 1.0, "sum": batch**0.5, "mean": batch**-0.5}[reduction]
    named = dict(zip(inputs.differentiable, gradients, strict=True))
    return Outcome(value.detach(), named, per_term * float(upstream.norm()))


def _truth(loss: Loss, variant: Variant, inputs: Inputs, reduction: str, seed: int) -> Outcome:
    """The reference on the same numbers in float64."""
    tensors = {
        name: tensor.detach().double() if tensor.is_floating_point() else tensor
        for name, tensor in inputs.tensors.items()
    }
    for name in inputs.differentiable:
        tensors[name].requires_grad_()
    wide = Inputs(tensors, inputs.differentiable)
    function = _function(loss, variant, "reference")
    return _outcome(function, wide, variant.options, reduction, seed)


def _bound(inputs: Inputs, options) -> float:
    """Allowed error, relative to the larger of the truth and what flows in from above.

    A logit of size up to L = max ||x|| max(1, ||w||) passes through about four roundings of
    eps L on its way into a term and a gradient. In float32 and float64 the sums over D round too,
    about sqrt(D) eps by their random signs, and psi's slope by the cosine is at most m^2. For
    half dtypes both happen in float32 and do not count. Where only the direction of a class
    weight counts, its gradient is divided by its length.
    """
    x, weights = inputs.tensors["embeddings"], inputs.tensors.get("class_weights")
    largest = float(x.detach().double().norm(dim=1).max())
    if weights is not None:
        lengths = weights.detach().double().norm(dim=1)
        shortest = float(lengths[lengths > 0].min()) if lengths.any() and "m" in options else 1.0
        largest *= max(1.0, float(lengths.max()), 1 / shortest)
    if "centers" in inputs.tensors:
        largest += float(inputs.tensors["centers"].double().norm(dim=1).max())
    rounding = 4 * torch.finfo(x.dtype).eps * (1 + largest)
    if x.dtype in HALF:
        return rounding
    return rounding * options.get("m", 1) ** 2 * x.shape[1] ** 0.5


def _assert_close(got: Outcome, truth: Outcome, bound: float) -> None:
    pairs = {"value": (got.value, truth.value)}
    pairs |= {name: (got.gradients[name], truth.gradients[name]) for name in truth.gradients}
    for name, (mine, right) in pairs.items():
        assert torch.isfinite(mine).all(), name
        error = float((mine.double() - right).norm())
        allowed = bound * max(float(right.norm()), truth.upstream_norm)
        assert error <= allowed, f"{name}: error {error:.3g}, allowed {allowed:.3g}"


def _check(loss: Loss, variant: Variant, inputs: Inputs, seed: int) -> None:
    for reduction in REDUCTIONS:
        function = _function(loss, variant, "eager")
        got = _outcome(function, inputs, variant.options, reduction, seed)
        truth = _truth(loss, variant, inputs, reduction, seed)
        _assert_close(got, truth, _bound(inputs, variant.options))


def _with(inputs: Inputs, **changed: Tensor) -> Inputs:
    tensors = {**inputs.tensors, **{n: t.detach().clone() for n, t in changed.items()}}
    for name in inputs.differentiable:
        tensors[name] = tensors[name].detach().clone().requires_grad_()
    return Inputs(tensors, inputs.differentiable)


# --- the definitions -----------------------------------------------------------------------


def _psi_by_angle(theta: float, m: int) -> float:
    k = min(int(theta * m / math.pi), m - 1)
    return (-1) ** k * math.cos(m * theta) - 2 * k


@pytest.mark.parametrize("m", (1, 2, 3, 4))
def test_psi_is_the_piecewise_cosine_and_falls(m: int) -> None:
    """On a grid that holds every step of k and both poles, for reference and eager."""
    angles = [i * math.pi / 720 for i in range(721)]
    expected = torch.tensor([_psi_by_angle(angle, m) for angle in angles], dtype=torch.float64)
    cosines = torch.tensor(angles, dtype=torch.float64).cos().requires_grad_()
    by_reference = a_softmax_reference.psi(cosines, m)
    by_eager, slope = a_softmax_eager.psi(cosines.detach(), m)
    # A cosine is rounded by eps, which psi's slope (at most m^2) passes on; values reach 2m.
    bound = 4 * m**2 * torch.finfo(torch.float64).eps
    assert (by_reference - expected).abs().max() <= bound
    assert (by_eager - expected).abs().max() <= bound
    assert (by_eager.diff() <= bound).all()
    (expected_slope,) = torch.autograd.grad(by_reference.sum(), cosines)
    assert (slope - expected_slope).abs().max() <= m**2 * bound
    assert torch.isfinite(slope).all()
    assert slope[0] == m**2


def _a_softmax_by_loops(x, labels, weights, m: int, annealing: float) -> list[float]:
    terms = []
    for row, label in zip(x.tolist(), labels.tolist(), strict=True):
        length = math.hypot(*row)
        logits = []
        for j, weight in enumerate(weights.tolist()):
            dot = sum(a * b for a, b in zip(row, weight, strict=True))
            theta = math.acos(dot / (length * math.hypot(*weight)))
            straight = length * math.cos(theta)
            bent = length * _psi_by_angle(theta, m)
            target = (annealing * straight + bent) / (1 + annealing)
            logits.append(target if j == label else straight)
        terms.append(math.log(sum(math.exp(v) for v in logits)) - logits[label])
    return terms


@pytest.mark.parametrize(("loss", "variant"), A_SOFTMAX)
def test_reference_is_the_papers_formula_with_angles(loss, variant, seed: int) -> None:
    inputs = _draw(variant, Shape(9, 4, 5), "float64", seed)
    tensors = {name: tensor.detach() for name, tensor in inputs.tensors.items()}
    expected = _a_softmax_by_loops(*tensors.values(), **variant.options)
    got = a_softmax_reference.a_softmax(**tensors, **variant.options, reduction="none")
    # acos loses half the digits near the poles; drawn angles stay away from them.
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)


def test_center_reference_is_the_papers_formula(seed: int) -> None:
    joint = catalogue.get("center").variant("joint")
    inputs = _draw(joint, Shape(9, 4, 5), "float64", seed)
    x, labels, centers = (inputs.tensors[n].tolist() for n in ("embeddings", "labels", "centers"))
    squares = [math.dist(row, centers[y]) ** 2 for row, y in zip(x, labels, strict=True)]
    head = {n: t.detach() for n, t in inputs.tensors.items() if n != "centers"}
    softmax = softmax_eager.softmax(**head, reduction="none")
    got = center_reference.joint(**inputs.tensors, weight=0.3, reduction="none")
    expected = softmax + 0.15 * torch.tensor(squares, dtype=torch.float64)
    torch.testing.assert_close(got.detach(), expected, rtol=1e-13, atol=1e-13)


def test_update_is_the_papers_formula(seed: int) -> None:
    """Written out by classes; class 5 has no sample and stays."""
    variant = catalogue.get("center").variant("update")
    inputs = _draw(variant, Shape(11, 3, 5), "float64", seed)
    x, labels, centers = inputs.tensors.values()
    centers = torch.cat((centers, torch.ones(1, 3, dtype=torch.float64)))
    expected = centers.tolist()
    for j, center in enumerate(centers.tolist()):
        members = [row for row, y in zip(x.tolist(), labels.tolist(), strict=True) if y == j]
        for d, value in enumerate(center):
            step = sum(value - row[d] for row in members) / (1 + len(members))
            expected[j][d] = value - 0.5 * step
    for module in (center_reference, center_eager):
        got = module.update(x, labels, centers, alpha=0.5)
        expected_tensor = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(got, expected_tensor, rtol=1e-13, atol=1e-13)
        assert torch.equal(got[5], centers[5])


# --- eager against the reference -----------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_eager_agrees_with_the_reference(loss, variant, shape: Shape, seed: int) -> None:
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        _check(loss, variant, _draw(variant, shape, dtype, seed), seed)


@pytest.mark.parametrize("sign", (1, -1), ids=("parallel", "antiparallel"))
@pytest.mark.parametrize(("loss", "variant"), A_SOFTMAX)
def test_at_the_poles(loss, variant, sign: int, seed: int) -> None:
    """cos theta = +1 and -1, where an acos has no finite gradient."""
    for dtype in ("float64", "float32"):
        inputs = _draw(variant, RAGGED, dtype, seed)
        own = inputs.tensors["class_weights"][inputs.tensors["labels"]]
        _check(loss, variant, _with(inputs, embeddings=2 * sign * own), seed)


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_zero_norms(loss, variant, seed: int) -> None:
    """Embeddings and class weights of norm 0, a target's and another class's, and all at once."""
    for dtype in ("float64", "float32", "float16"):
        inputs = _draw(variant, RAGGED, dtype, seed)
        x = inputs.tensors["embeddings"].detach().clone()
        x[:3] = 0
        changed = {"embeddings": x}
        if "class_weights" in inputs.tensors:
            weights = inputs.tensors["class_weights"].detach().clone()
            weights[inputs.tensors["labels"][1]] = 0
            weights[inputs.tensors["labels"][5]] = 0
            changed["class_weights"] = weights
        _check(loss, variant, _with(inputs, **changed), seed)
        _check(loss, variant, _with(inputs, **{n: 0 * t for n, t in changed.items()}), seed)


@pytest.mark.parametrize("module", (a_softmax_reference, a_softmax_eager))
def test_the_sub_gradients_at_norm_zero(module) -> None:
    """At x = 0 all logits are 0: each other class pulls by 1/C, the bent target not at all, or by
    its straight part; a class weight of norm 0 takes no gradient."""
    weights = torch.tensor([[0.0, 2.0], [3.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0])
    for m, annealing, straight in ((4, 0.0, 0.0), (4, 3.0, 0.75), (1, 0.0, 1.0)):
        x = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        w = weights.clone().requires_grad_()
        module.a_softmax(x, labels, w, m=m, annealing=annealing).backward()
        expected = torch.tensor([[1 / 3, -2 / 3 * straight]], dtype=torch.float64)
        torch.testing.assert_close(x.grad, expected, rtol=1e-15, atol=1e-15)
        assert not w.grad.any()


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_large_norms(loss, variant, seed: int) -> None:
    for dtype in ("float64", "float32"):
        inputs = _draw(variant, RAGGED, dtype, seed)
        _check(loss, variant, _with(inputs, embeddings=1e3 * inputs.tensors["embeddings"]), seed)


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_layouts_give_the_same(loss, variant, seed: int) -> None:
    """Transposed and strided tensors."""
    inputs = _draw(variant, RAGGED, "float64", seed)
    strided = {}
    for name, tensor in inputs.tensors.items():
        tensor = tensor.detach()
        if tensor.ndim == 2:
            tensor = tensor.T.contiguous().T
        else:
            tensor = torch.stack((tensor, tensor), dim=1)[:, 0]
        strided[name] = tensor.requires_grad_(name in inputs.differentiable)
    assert not strided["embeddings"].is_contiguous()
    _check(loss, variant, Inputs(strided, inputs.differentiable), seed)


@pytest.mark.parametrize("name", ("joint", "term"))
def test_distances_made_a_few_rows_at_a_time(name: str, monkeypatch, seed: int) -> None:
    """37 rows by 16: two full pieces and a ragged one."""
    monkeypatch.setattr(center_eager, "_ROWS", 16)
    center = catalogue.get("center")
    inputs = _draw(center.variant(name), RAGGED, "float64", seed)
    _check(center, center.variant(name), inputs, seed)


# --- behaviour inside a graph --------------------------------------------------------------


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_graphs_and_inputs_stay_whole(loss, variant, seed: int) -> None:
    """A second backward, the loss twice in one graph, no_grad; the inputs' bits afterwards."""
    function = _function(loss, variant, "eager")
    inputs = _draw(variant, RAGGED, "float32", seed)
    before = {name: tensor.detach().clone() for name, tensor in inputs.tensors.items()}
    leaves = [inputs.tensors[name] for name in inputs.differentiable]
    upstream = _upstream(inputs, "none", seed).float()

    terms = function(**inputs.tensors, **variant.options, reduction="none")
    first = torch.autograd.grad(terms, leaves, upstream, retain_graph=True)
    second = torch.autograd.grad(terms, leaves, upstream)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    both = function(**inputs.tensors, **variant.options, reduction="none")
    both = both + function(**inputs.tensors, **variant.options, reduction="none")
    doubled = torch.autograd.grad(both, leaves, upstream)
    for a, b in zip(doubled, first, strict=True):
        torch.testing.assert_close(a, 2 * b)

    with torch.no_grad():
        silent = function(**inputs.tensors, **variant.options, reduction="none")
    assert not silent.requires_grad
    assert torch.equal(silent, terms)
    for name, tensor in inputs.tensors.items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_gradients_only_where_asked(loss, variant, seed: int) -> None:
    function = _function(loss, variant, "eager")
    inputs = _draw(variant, RAGGED, "float32", seed)
    full = _outcome(function, inputs, variant.options, "sum", seed).gradients
    for name in inputs.differentiable:
        tensors = {n: t.detach().requires_grad_(n == name) for n, t in inputs.tensors.items()}
        alone = _outcome(function, Inputs(tensors, (name,)), variant.options, "sum", seed)
        torch.testing.assert_close(alone.gradients[name], full[name])


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_dtypes_out(loss, variant, seed: int) -> None:
    function = _function(loss, variant, "eager")
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        inputs = _draw(variant, Shape(5, 3, 4), dtype, seed)
        got = _outcome(function, inputs, variant.options, "mean", seed)
        assert got.value.dtype == (torch.float64 if dtype == "float64" else torch.float32)
        assert {g.dtype for g in got.gradients.values()} == {getattr(torch, dtype)}


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_gradcheck(loss, variant, seed: int) -> None:
    """Against finite differences, which know nothing of the reference."""
    inputs = _draw(variant, Shape(5, 4, 3), "float64", seed)
    names = inputs.differentiable
    function = _function(loss, variant, "eager")

    def terms(*leaves: Tensor) -> Tensor:
        tensors = {**inputs.tensors, **dict(zip(names, leaves, strict=True))}
        return function(**tensors, **variant.options, reduction="none")

    assert torch.autograd.gradcheck(terms, [inputs.tensors[name] for name in names])


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_autocast(loss, variant, seed: int) -> None:
    """The products may run in bfloat16; the rest, and the result, stay in float32."""
    inputs = _draw(variant, RAGGED, "float32", seed)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = _outcome(_function(loss, variant, "eager"), inputs, variant.options, "none", seed)
    truth = _truth(loss, variant, inputs, "none", seed)
    assert got.value.dtype == torch.float32
    # The bound for bfloat16 inputs, and twice more for rounding the inputs themselves.
    rounded = _draw(variant, RAGGED, "bfloat16", seed)
    _assert_close(got, truth, 3 * _bound(rounded, variant.options))


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_traces_as_one_graph(loss, variant, seed: int) -> None:
    """torch.compile without its code generation: no graph break, the same numbers."""
    torch._dynamo.reset()
    compiled = torch.compile(_function(loss, variant, "eager"), fullgraph=True, backend="aot_eager")
    inputs = _draw(variant, RAGGED, "float32", seed)
    got = _outcome(compiled, inputs, variant.options, "none", seed)
    _assert_close(got, _truth(loss, variant, inputs, "none", seed), _bound(inputs, variant.options))


@pytest.mark.parametrize("name", ("a_softmax", "joint", "term"))
def test_a_second_derivative_is_refused(name: str) -> None:
    """Rather than taking the gradient for a constant, also where nothing above needs one."""
    function, good = _FUNCTIONS[name]
    tensors = good()
    x = tensors["embeddings"].requires_grad_()
    with pytest.raises(RuntimeError, match=r"^create_graph: expected False"):
        torch.autograd.grad(function(**tensors), x, create_graph=True)


# --- the centers' update -------------------------------------------------------------------


@pytest.mark.parametrize("shape", (Shape(1, 1, 1), Shape(37, 19, 23), Shape(8, 5, 40)), ids=str)
@pytest.mark.parametrize("dtype", ("float64", "float32", "bfloat16", "float16"))
def test_update(dtype: str, shape: Shape, seed: int) -> None:
    variant = catalogue.get("center").variant("update")
    inputs = _draw(variant, shape, dtype, seed)
    before = {name: tensor.clone() for name, tensor in inputs.tensors.items()}
    inputs.tensors["embeddings"].requires_grad_()
    got = center_eager.update(**inputs.tensors, alpha=0.3)
    again = center_eager.update(**inputs.tensors, alpha=0.3)
    assert torch.equal(got, again)
    assert got.dtype == getattr(torch, dtype)
    assert not got.requires_grad
    truth = center_reference.update(**inputs.tensors, alpha=0.3)
    # A sum of at most B terms in at least float32, then one rounding to the dtype, both relative
    # to what is added: centers and samples may cancel.
    sums = torch.finfo(torch.promote_types(got.dtype, torch.float32)).eps * shape.batch
    bound = torch.finfo(got.dtype).eps + sums
    size = before["centers"].double().norm() + before["embeddings"].double().norm()
    assert (got.double() - truth).norm() <= bound * size
    for name, tensor in inputs.tensors.items():
        assert torch.equal(tensor.detach(), before[name]), name
    assert torch.equal(center_eager.update(**inputs.tensors, alpha=0.0), before["centers"])


# --- bad input -----------------------------------------------------------------------------


def _head() -> dict[str, Tensor]:
    return {
        "embeddings": torch.ones(3, 2),
        "labels": torch.tensor([0, 1, 3]),
        "class_weights": torch.ones(4, 2),
    }


def _joint() -> dict[str, Tensor]:
    return {**_head(), "bias": torch.zeros(4), "centers": torch.ones(4, 2)}


def _rows() -> dict[str, Tensor]:
    return {name: tensor for name, tensor in _joint().items() if name not in _HEAD_ONLY}


_HEAD_ONLY = ("class_weights", "bias")
_FUNCTIONS = {
    "softmax": (softmax_eager.softmax, _head),
    "a_softmax": (a_softmax_eager.a_softmax, _head),
    "joint": (center_eager.joint, _joint),
    "term": (center_eager.term, _rows),
    "update": (center_eager.update, _rows),
}
_NAN = torch.tensor([[1.0, float("nan")]]).expand(4, 2)
_BAD_EVERYWHERE = (
    ("labels", torch.tensor([0, -1, 1])),
    ("labels", torch.tensor([0, 4, 1])),
    ("labels", torch.tensor([0, 1, 1], dtype=torch.int32)),
    ("labels", torch.tensor([0, 1])),
    ("embeddings", torch.ones(0, 2)),
    ("embeddings", torch.ones(3)),
    ("embeddings", torch.ones(3, 2, dtype=torch.int64)),
    ("embeddings", _NAN[:3]),
    ("embeddings", torch.full((3, 2), float("inf"))),
    ("reduction", "avg"),
)
_BAD_HEAD = (
    ("class_weights", torch.ones(4, 3)),
    ("class_weights", torch.ones(4, 2, dtype=torch.float64)),
    ("class_weights", _NAN),
)
_BAD_CENTERS = (("centers", torch.ones(4, 3)), ("centers", _NAN), ("centers", torch.ones(0, 2)))
_BAD = [
    *((name, *bad) for name in _FUNCTIONS for bad in _BAD_EVERYWHERE),
    *((name, *bad) for name in ("softmax", "a_softmax", "joint") for bad in _BAD_HEAD),
    *((name, *bad) for name in ("joint", "term", "update") for bad in _BAD_CENTERS),
    *(("a_softmax", "m", m) for m in (0, 5, 1.5, -1, True, "4", None)),
    *(("a_softmax", "annealing", v) for v in (-0.1, float("nan"), float("inf"), "1")),
    ("softmax", "bias", torch.zeros(3)),
    ("joint", "bias", torch.zeros(5)),
    ("joint", "centers", torch.ones(5, 2)),
    *(("joint", "weight", v) for v in (-1, float("nan"), float("inf"))),
    *(("update", "alpha", v) for v in (-0.1, 1.1, float("nan"))),
]


@pytest.mark.parametrize(
    ("name", "argument", "value"), _BAD, ids=[f"{n}-{a}-{i}" for i, (n, a, _) in enumerate(_BAD)]
)
def test_bad_input_is_named(name: str, argument: str, value: object) -> None:
    function, good = _FUNCTIONS[name]
    function(**good())
    with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
        function(**{**good(), argument: value})


# --- properties and peers ------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_declared_properties_hold(loss, variant, seed: int) -> None:
    for invariant in variant.invariants:
        check = loss.resolve(invariant.entry)
        for dtype in ("float64", "float32", "bfloat16"):
            for shape in (RAGGED, Shape(5, 1, 3), Shape(1, 1, 1)):
                inputs = _draw(variant, shape, dtype, seed)
                check(_function(loss, variant, "eager"), inputs, variant.options)


def _forgets_to_normalise(embeddings, labels, class_weights, *, m, annealing, reduction):
    return softmax_eager.softmax(embeddings, labels, class_weights, reduction=reduction)


def _counts_the_place(embeddings, labels, class_weights, *, m, annealing, reduction):
    terms = softmax_eager.softmax(embeddings, labels, class_weights, reduction="none")
    return terms * torch.arange(1, len(labels) + 1)


def _regularises_the_bias(embeddings, labels, class_weights, bias, *, reduction):
    terms = softmax_eager.softmax(embeddings, labels, class_weights, bias, reduction="none")
    return terms + 1e-3 * bias.square().sum()


@pytest.mark.parametrize(
    ("loss", "variant", "check", "broken"),
    (
        ("a-softmax", "m1", "weight_lengths", _forgets_to_normalise),
        ("a-softmax", "m1", "orthogonal_weight_gradient", _forgets_to_normalise),
        ("a-softmax", "m1", "permutation", _counts_the_place),
        ("softmax", "linear", "bias_shift", _regularises_the_bias),
    ),
)
def test_properties_can_fail(loss, variant, check, broken, seed: int) -> None:
    declared = catalogue.get(loss)
    inputs = _draw(declared.variant(variant), RAGGED, "float32", seed)
    holds = declared.resolve(f".machines.invariants:{check}")
    with pytest.raises(AssertionError, match="allowed"):
        holds(broken, inputs, declared.variant(variant).options)


@pytest.mark.parametrize(("loss", "variant"), A_SOFTMAX)
def test_pytorch_metric_learning_computes_the_same(loss, variant, seed: int) -> None:
    pytest.importorskip("pytorch_metric_learning")
    inputs = _draw(variant, RAGGED, "float64", seed)
    if variant.options["annealing"]:
        assert "pytorch-metric-learning" not in [c.name for c in variant.contenders]
        with pytest.raises(InputError, match=r"^annealing:"):
            loss.resolve("peers:a_softmax")(**inputs.tensors, **variant.options)
        return
    function = _function(loss, variant, "pytorch-metric-learning")
    for reduction in REDUCTIONS:
        got = _outcome(function, inputs, variant.options, reduction, seed)
        truth = _truth(loss, variant, inputs, reduction, seed)
        _assert_close(got, truth, _bound(inputs, variant.options))
