"""MagFace by angles and lengths in plain Python; its gradient along the embedding; the poles, zeros
and clamped lengths; in 16 bits; what it does not take."""

from __future__ import annotations

import math

import pytest
import torch
from head_cases import RAGGED, draw

from marginbench import MagFaceLoss, catalogue
from marginbench.arcface import eager as arcface
from marginbench.checks import InputError
from marginbench.functional import magface
from marginbench.magface import eager, fused, reference, tiled
from marginbench.magface.arguments import RULES

LOSS = catalogue.get("magface")
FORMS = (reference, eager, tiled, fused)
every_form = pytest.mark.parametrize("module", FORMS)
of_float64 = pytest.mark.parametrize("module", (reference, eager, tiled))
every_rule = pytest.mark.parametrize("rule", RULES)
# Lengths from 1 to 4 have margins from 0.2 to 0.8.
NUMBERS = {"l_a": 1.0, "u_a": 4.0, "l_m": 0.2, "u_m": 0.8, "lambda_g": 3.0}
ANGLES = [1e-6, 0.01, 0.3, 0.9, 1.2, 1.5, 1.6, 2.3, 2.5, 2.94, 3.1, 3.1415]
LENGTHS = [0.5, 1.5, 2.0, 3.7, 5.0]


def _margin(length: float) -> float:
    return 0.2 + 0.2 * (max(1.0, min(4.0, length)) - 1)


def _added(length: float) -> float:
    length = max(1.0, min(4.0, length))
    return 3.0 * (length / 16 + 1 / length)


def _logit(theta: float, length: float, rule: str) -> float:
    if rule == "easy" and theta >= math.pi / 2:
        return 2 * math.cos(theta)
    return 2 * math.cos(theta + _margin(length))


def _term(theta: float, length: float, rule: str) -> float:
    """Of two classes, of which the other's logit is 0."""
    return math.log1p(math.exp(-_logit(theta, length, rule))) + _added(length)


def _rows(
    pairs: list[tuple[float, float]], dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings at these angles from class weight 0 and of these lengths, and another class across
    the plane, that no gradient of the first is lost in."""
    theta, length = torch.tensor(pairs, dtype=torch.float64).unbind(dim=1)
    x_BD = length[:, None] * torch.stack((theta.cos(), theta.sin(), 0 * theta), dim=1)
    w_CD = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    labels = torch.zeros(len(pairs), dtype=torch.int64, device=device)
    return x_BD.to(device, dtype), labels, w_CD.to(device, dtype)


@every_rule
@every_form
def test_value_and_gradient_by_angle_and_length(module, rule: str, device: str):
    pairs = [(theta, length) for length in LENGTHS for theta in ANGLES]
    x_BD, labels, w_CD = _rows(pairs)
    close = 1e-8
    if module is fused:
        (x_BD, labels, w_CD), close = _rows(pairs, torch.float32, device), 4e-6
    x_BD.requires_grad_()
    terms = module.magface(x_BD, labels, w_CD, scale=2.0, rule=rule, reduction="none", **NUMBERS)
    want = torch.tensor([_term(*pair, rule) for pair in pairs], dtype=torch.float64)
    got = terms.detach().cpu().double()
    torch.testing.assert_close(got, want, rtol=close, atol=close)
    (gradient,) = torch.autograd.grad(terms.sum(), x_BD)
    theta, length = torch.tensor(pairs, dtype=torch.float64).unbind(dim=1)
    zero = 0 * theta
    along = torch.stack((theta.cos(), theta.sin(), zero), dim=1)
    across = torch.stack((-theta.sin(), theta.cos(), zero), dim=1)
    step = 1e-6
    by_length, by_angle = (
        torch.tensor([
            (_term(t + (1 - k) * step, n + k * step, rule)
             - _term(t - (1 - k) * step, n - k * step, rule)) / (2 * step)
            for t, n in pairs
        ], dtype=torch.float64)
        for k in (1, 0)
    )  # fmt: skip
    gradient = gradient.cpu().double()
    near = max(close, 1e-7)
    torch.testing.assert_close((gradient * along).sum(dim=1), by_length, rtol=2e-4, atol=near)
    by_angle /= length
    torch.testing.assert_close((gradient * across).sum(dim=1), by_angle, rtol=2e-4, atol=near)


@of_float64
def test_a_clamped_length_has_no_gradient_along_the_embedding(module, seed: int):
    generator = torch.Generator().manual_seed(seed)
    x_BD, w_CD = (torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    x_BD = (
        torch.nn.functional.normalize(x_BD) * torch.tensor([0.3, 0.9, 4.1, 9.0, 2.0, 3.0])[:, None]
    )
    x_BD.requires_grad_()
    value = module.magface(x_BD, torch.arange(6), w_CD, scale=8.0, reduction="sum", **NUMBERS)
    (gradient,) = torch.autograd.grad(value, x_BD)
    along_B = (gradient * x_BD.detach()).sum(dim=1).abs()
    assert (along_B[:4] < 1e-13).all() and (along_B[4:] > 1e-3).all()


@of_float64
def test_the_sub_gradient_at_the_poles_and_at_norm_zero(module):
    """Exactly along and against its class weight the margin gives no gradient; nor do zeros."""
    x_BD = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    w_CD = torch.tensor([[4.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    x_BD.requires_grad_(), w_CD.requires_grad_()
    labels = torch.zeros(3, dtype=torch.int64)
    terms = module.magface(x_BD, labels, w_CD, scale=4.0, reduction="none")
    assert float(terms[2].detach()) == pytest.approx(math.log(2) + 35 * (10 / 110**2 + 0.1))
    for gradient in torch.autograd.grad(terms.sum(), [x_BD, w_CD]):
        assert gradient.abs().max() <= 1e-15


@pytest.mark.parametrize("module", (eager, tiled, fused))
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("away", (1e-1, 2e-3, 0.0))
def test_a_steep_slope_is_right_in_few_bits(module, dtype, away: float, seed: int):
    """Against the reference on the very same rounded numbers, with margins that lengths make."""
    generator = torch.Generator().manual_seed(seed)
    w_CD = (torch.randn(5, 64, generator=generator) / 4).to(dtype)
    labels = torch.arange(20) % 5
    x_BD = w_CD[labels].float() * (1 + away * torch.randn(20, 64, generator=generator))
    # By powers of two, that no rounding turns what lies along its class weight.
    x_BD = (x_BD * 2.0 ** -(torch.arange(20) % 2)[:, None]).to(dtype)
    options = {"scale": 4.0, "reduction": "sum", **NUMBERS}
    got, want = (
        torch.autograd.grad(of.magface(x, labels, w, **options), [x, w])
        for of, x, w in (
            (module, x_BD.requires_grad_(), w_CD.requires_grad_()),
            (reference, *(t.detach().double().requires_grad_() for t in (x_BD, w_CD))),
        )
    )
    for mine, right in zip(got, want, strict=True):
        assert torch.isfinite(mine).all()
        error = float((mine.double() - right).norm() / right.norm())
        assert error <= 16 * torch.finfo(dtype).eps


def test_with_one_margin_it_is_arcface_and_the_regulariser(seed: int):
    tensors = draw(LOSS.variants[0], RAGGED, "float64", seed).tensors
    got = eager.magface(**tensors, l_m=0.5, u_m=0.5, lambda_g=0.0, reduction="none")
    want = arcface.arcface(**tensors, margin=0.5, reduction="none")
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_label_smoothing_takes_the_margin_back_to_the_length(seed: int):
    """By finite differences: the smoothed target has its margin, and that the length."""
    generator = torch.Generator().manual_seed(seed)
    x_BD, w_CD = (torch.randn(4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    labels = torch.arange(4)

    def smoothed(x_BD: torch.Tensor, w_CD: torch.Tensor) -> torch.Tensor:
        return magface(
            x_BD, labels, w_CD, scale=2.0, label_smoothing=0.2, implementation="eager", **NUMBERS
        )

    leaves = x_BD.requires_grad_(), w_CD.requires_grad_()
    assert torch.autograd.gradcheck(smoothed, leaves, raise_exception=False)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("l_a", v) for v in (0.0, -1.0, float("nan"), float("inf"), "1")),
        *(("u_a", v) for v in (10.0, 9.0, float("nan"), float("inf"))),
        *(("l_m", v) for v in (-0.1, 3.2, float("nan"))),
        *(("u_m", v) for v in (0.4, 3.2, float("nan"))),
        *(("lambda_g", v) for v in (-1.0, float("nan"), float("inf"), "1")),
        *(("scale", v) for v in (0.0, float("inf"))),
        ("rule", "guarded"),
    ],
    ids=str,
)
def test_bad_options_are_named(argument: str, value: object):
    x_BD, labels, w_CD = _rows([(0.3, 1.0), (0.4, 2.0)])
    for module in (eager, tiled):
        with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
            module.magface(x_BD, labels, w_CD, **{argument: value})
    with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
        MagFaceLoss(3, 2, **{argument: value})
