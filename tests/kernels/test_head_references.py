"""The heads' references against a second definition: angles and plain sums in 60 digits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mpmath
import pytest
import torch
from torch import Tensor

from marginbench import stress
from marginbench.a_softmax import reference as a_softmax
from marginbench.center import reference as center
from marginbench.loss import Shape
from marginbench.softmax import reference as softmax

EPS = torch.finfo(torch.float64).eps
MARGINS = [(1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (4, 5.0)]
every_margin = pytest.mark.parametrize(("m", "annealing"), MARGINS)


@dataclass(frozen=True)
class Logit:
    """A number with its derivatives by one row of embeddings and one of class weights."""

    value: mpmath.mpf
    by_x: list
    by_w: list


def _dot(a, b):
    return mpmath.fsum(p * q for p, q in zip(a, b, strict=True))


def _plain(x, w, bias=0) -> Logit:
    return Logit(_dot(x, w) + bias, list(w), list(x))


def _unit(x, w) -> Logit:
    """||x|| cos theta."""
    length = mpmath.sqrt(_dot(w, w))
    u = [v / length for v in w]
    along = _dot(x, u)
    return Logit(along, u, [(a - along * b) / length for a, b in zip(x, u, strict=True)])


def _with_margin(x, w, m: int, annealing: float) -> Logit:
    """(annealing ||x|| cos theta + ||x|| psi(theta)) / (1 + annealing), psi as equation 7 says."""
    plain = _unit(x, w)
    n, length = mpmath.sqrt(_dot(x, x)), mpmath.sqrt(_dot(w, w))
    cosine = max(min(plain.value / n, mpmath.mpf(1)), mpmath.mpf(-1))
    theta = mpmath.acos(cosine)
    k = min(int(mpmath.floor(theta * m / mpmath.pi)), m - 1)
    psi = (-1) ** k * mpmath.cos(m * theta) - 2 * k
    sine = mpmath.sin(theta)
    # d psi / d theta times d theta / d cos theta; at the poles both vectors below are 0.
    slope = (-1) ** k * m * mpmath.sin(m * theta) / sine if sine > mpmath.mpf(10) ** -40 else 0
    x_unit, w_unit = [a / n for a in x], [b / length for b in w]

    def blend(of_plain, of_psi):
        return [
            (annealing * a + b) / (1 + annealing) for a, b in zip(of_plain, of_psi, strict=True)
        ]

    by_x = [psi * a + slope * (b - cosine * a) for a, b in zip(x_unit, w_unit, strict=True)]
    by_w = [n * slope * (a - cosine * b) / length for a, b in zip(x_unit, w_unit, strict=True)]
    value = (annealing * plain.value + n * psi) / (1 + annealing)
    return Logit(value, blend(plain.by_x, by_x), blend(plain.by_w, by_w))


def _outcome(logits_BC: list[list[Logit]], labels: list[int], upstream: list[float]):
    """Terms, and the gradients of their sum times ``upstream`` by x, w and a bias."""
    B, C, D = len(logits_BC), len(logits_BC[0]), len(logits_BC[0][0].by_x)
    terms, by_x = [], [[mpmath.mpf(0)] * D for _ in range(B)]
    by_w, by_bias = [[mpmath.mpf(0)] * D for _ in range(C)], [mpmath.mpf(0)] * C
    for i, (row, y, above) in enumerate(zip(logits_BC, labels, upstream, strict=True)):
        ratios = [mpmath.exp(logit.value - row[y].value) for logit in row]
        rest = mpmath.fsum(r for j, r in enumerate(ratios) if j != y)
        terms.append(mpmath.log1p(rest))
        for j, logit in enumerate(row):
            d = above * (-rest if j == y else ratios[j]) / (1 + rest)
            by_bias[j] += d
            for k in range(D):
                by_x[i][k] += d * logit.by_x[k]
                by_w[j][k] += d * logit.by_w[k]
    return [terms, by_x, by_w, by_bias]


def _numbers(tensor: Tensor) -> list:
    return [mpmath.mpf(v) if tensor.ndim == 1 else _numbers(v) for v in (
        tensor.tolist() if tensor.ndim == 1 else tensor
    )]  # fmt: skip


def _norm(numbers) -> mpmath.mpf:
    flat = [v for row in numbers for v in (row if isinstance(row, list) else [row])]
    return mpmath.sqrt(mpmath.fsum(v * v for v in flat))


def _off(got: Tensor, want) -> float:
    """||got - want|| / ||want||, in 60 digits."""
    numbers = _numbers(got)
    if got.ndim == 1:
        difference = [a - b for a, b in zip(numbers, want, strict=True)]
    else:
        difference = [
            [a - b for a, b in zip(*rows, strict=True)] for rows in zip(numbers, want, strict=True)
        ]
    return float(_norm(difference) / _norm(want))


def _reference(function, x, y, w, *others, **options) -> list[Tensor]:
    leaves = [t.clone().requires_grad_() for t in (x, w, *others)]
    terms = function(leaves[0], y, leaves[1], *leaves[2:], reduction="none", **options)
    upstream = torch.linspace(-1, 2, len(y), dtype=torch.float64)
    return [terms.detach(), *torch.autograd.grad(terms, leaves, upstream)]


@pytest.fixture(autouse=True)
def _digits():
    with mpmath.workdps(60):
        yield


def _compare_softmax(x: Tensor, y: Tensor, w: Tensor, bias: Tensor, largest: float) -> None:
    """Each result within a few roundings of logits up to ``largest``, relative to its own norm:
    where the rows are confident too, whose terms and gradients are tiny."""
    X, W, b = _numbers(x), _numbers(w), _numbers(bias)
    logits = [[_plain(row, W[j], b[j]) for j in range(len(W))] for row in X]
    upstream = torch.linspace(-1, 2, len(y), dtype=torch.float64).tolist()
    want = _outcome(logits, y.tolist(), upstream)
    got = _reference(softmax.softmax, x, y, w, bias)
    for name, mine, exact in zip(("terms", "x", "w", "bias"), got, want, strict=True):
        error, allowed = _off(mine, exact), 8 * EPS * (1 + largest) * x.shape[1] ** 0.5
        assert error <= allowed, f"{name}: {error:.2g}, allowed {allowed:.2g}"


def _drawn(seed: int, *size: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("size", (1.0, 40.0, 1e4), ids="{:g}".format)
def test_softmax_by_sums_in_many_digits(size: float, seed: int):
    x, w, bias = _drawn(seed, 5, 3) * size, _drawn(seed + 1, 4, 3), _drawn(seed + 2, 4)
    largest = float(x.norm(dim=1).max() * w.norm(dim=1).max())
    _compare_softmax(x, torch.tensor([0, 1, 2, 3, 0]), w, bias, largest)


@pytest.mark.parametrize("apart", (30.0, 40.0, 600.0), ids="{:g}".format)
def test_softmax_of_confident_rows(apart: float, seed: int):
    """p - 1 is 0 from a margin of about 37 on; the gradients are right down to exp(-600)."""
    x = torch.eye(4, dtype=torch.float64) * apart + 0.01 * _drawn(seed, 4, 4)
    w, bias = torch.eye(4, dtype=torch.float64), 0.01 * _drawn(seed + 1, 4)
    _compare_softmax(x, torch.arange(4), w, bias, apart)


def test_softmax_of_logits_that_are_huge_and_tiny(seed: int):
    """1e300, where no two classes share a row's probability, and 1e-300, where all do."""
    x, w, y = _drawn(seed, 5, 3), _drawn(seed + 1, 4, 3), torch.tensor([0, 1, 2, 3, 0])
    for scale in (1e150, 1e-150):
        _compare_softmax(x * scale, y, w * scale, torch.zeros(4, dtype=torch.float64), 1)


def test_softmax_of_equal_huge_logits_is_even(seed: int):
    """Exact logits of some 4e6, all of a row equal."""
    batch = stress.KINDS["equal-logits"].make(Shape(6, 4, 5), seed, False)
    x, w, bias = (t.double() for t in (batch.embeddings, batch.class_weights, batch.bias))
    _compare_softmax(x, batch.labels, w, bias, 1)


@pytest.mark.parametrize("below", (1e9, 1e12, 1e30), ids="{:g}".format)
def test_a_target_far_below_leaves_the_others_apart(below: float, seed: int):
    """Less a target that far below, the others would be equal."""
    x, w, bias = _drawn(seed, 5, 3), _drawn(seed + 1, 4, 3), torch.zeros(4, dtype=torch.float64)
    bias[0] = -below
    _compare_softmax(x, torch.tensor([0, 1, 2, 3, 0]), w, bias, 10)


@every_margin
def test_a_softmax_of_equal_huge_logits_is_even(m: int, annealing: float, seed: int):
    """The margin leaves the target millions below: a log-sum-exp of the others less it, rounded
    like it, would put every probability off by 1e-9."""
    batch = stress.KINDS["equal-logits"].make(Shape(6, 4, 5), seed, False)
    x, w = batch.embeddings.double(), batch.class_weights.double()
    _compare_a_softmax(x, batch.labels, w, m, annealing, 1)


def test_one_class_costs_nothing(seed: int):
    x, w, y = _drawn(seed, 3, 2), _drawn(seed + 1, 1, 2), torch.zeros(3, dtype=torch.int64)
    for function in (softmax.softmax, a_softmax.a_softmax):
        for scale in (1e-30, 1.0, 1e30):
            for result in _reference(function, x * scale, y, w):
                assert not result.any()


def _compare_a_softmax(x, y, w, m: int, annealing: float, largest: float) -> None:
    X, W = _numbers(x), _numbers(w)
    logits = [
        [_with_margin(row, W[j], m, annealing) if j == label else _unit(row, W[j])
         for j in range(len(W))]
        for row, label in zip(X, y.tolist(), strict=True)
    ]  # fmt: skip
    upstream = torch.linspace(-1, 2, len(y), dtype=torch.float64).tolist()
    want = _outcome(logits, y.tolist(), upstream)
    got = _reference(a_softmax.a_softmax, x, y, w, m=m, annealing=annealing)
    # psi passes a rounding of the cosine on m^2 times, its slope m^4 / 3 times.
    allowed = 8 * EPS * (1 + largest * m**2 + m**4) * x.shape[1] ** 0.5
    for name, mine, exact in zip(("terms", "x", "w"), got, want[:3], strict=True):
        error = _off(mine, exact)
        assert error <= allowed, f"{name}: {error:.2g}, allowed {allowed:.2g}"


def _at_angles(m: int, lengths: float) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings of all angles to their class weight: the poles, psi's steps, a hair beside them,
    and between."""
    steps = [i * math.pi / m for i in range(m + 1)]
    beside = [s + d for s in steps for d in (-1e-3, -1e-9, 1e-9, 1e-3)]
    angles = torch.tensor([*steps, *beside, 0.3, 1.1, 2.0, 2.9], dtype=torch.float64)
    x = torch.stack((angles.cos(), angles.sin()), dim=1) * lengths
    w = torch.tensor([[1.0, 0.0], [0.3, -0.4], [-2.0, 1.0]], dtype=torch.float64)
    return x, torch.zeros(len(x), dtype=torch.int64), w


@every_margin
@pytest.mark.parametrize("length", (1e-30, 1.0, 40.0, 1e4), ids="{:g}".format)
def test_a_softmax_by_angles_in_many_digits(m: int, annealing: float, length: float):
    x, y, w = _at_angles(m, length)
    _compare_a_softmax(x, y, w, m, annealing, length)


@every_margin
def test_a_softmax_of_lengths_from_1e_30_to_1e30(m: int, annealing: float, seed: int):
    """Of the weights, one beside the other in each row's logits; and of embeddings so long that
    one class has all the probability."""
    x, w, y = _drawn(seed, 5, 3), _drawn(seed + 1, 4, 3), torch.tensor([0, 1, 2, 3, 0])
    apart = torch.tensor([1e-30, 1e30, 1e-20, 1.0], dtype=torch.float64)[:, None]
    longest = float(x.norm(dim=1).max())
    for scaled in (w * 2.0**-75, w * 2.0**66, w * apart):
        _compare_a_softmax(x, y, scaled, m, annealing, longest)
    _compare_a_softmax(x * 1e30, y, w, m, annealing, 1)


@every_margin
def test_a_softmax_of_confident_rows(m: int, annealing: float, seed: int):
    """Next to the pole and so long that the margin leaves 38 and more of the logits: p - 1 is 0."""
    w = torch.linalg.qr(_drawn(seed, 4, 4)).Q
    x = 120 * (w + 1e-3 * _drawn(seed + 1, 4, 4))
    _compare_a_softmax(x, torch.arange(4), w, m, annealing, 121)


def test_joint_adds_the_distance_and_the_update_is_a_mean(seed: int):
    """x - c where the two share eight digits, and a class whose center is where its sample is."""
    x, c = 1e8 + _drawn(seed, 4, 3), 1e8 + _drawn(seed + 1, 3, 3)
    c[2] = x[3]
    y = torch.tensor([0, 1, 0, 2])
    X, M = _numbers(x), _numbers(c)
    pulls = [[[a - b for a, b in zip(X[i], M[j], strict=True)] for j in range(3)] for i in range(4)]
    want = [_dot(pulls[i][j], pulls[i][j]) / 2 for i, j in enumerate(y.tolist())]
    assert _off(center.term(x, y, c, reduction="none"), want) <= 8 * EPS
    members = {0: (0, 2), 1: (1,), 2: (3,)}
    moved = [
        [M[j][k] + mpmath.fsum(pulls[i][j][k] for i in members[j]) / 2 / (1 + len(members[j]))
         for k in range(3)]
        for j in range(3)
    ]  # fmt: skip
    assert _off(center.update(x, y, c, alpha=0.5), moved) <= 4 * EPS
