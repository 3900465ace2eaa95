"""SphereFace-R by angles in plain Python, past pi / m, at the poles and in 16 bits next to them;
what it has in common with A-Softmax."""

from __future__ import annotations

import math

import pytest
import torch
from head_cases import RAGGED, draw

from marginbench import catalogue
from marginbench.a_softmax.reference import psi
from marginbench.checks import InputError
from marginbench.sphereface_r import eager, fused, reference, tiled
from marginbench.sphereface_r.arguments import RULES

LOSS = catalogue.get("sphereface-r")
every_form = pytest.mark.parametrize("module", (reference, eager, tiled, fused))
every_rule = pytest.mark.parametrize("rule", RULES)
ANGLES = [1e-6, 1e-4, 0.01, 0.3, 0.9, 1.2, 1.5, 1.6, 2.09, 2.1, 2.5, 3.1, 3.1415]


def _rows(
    angles: list[float], dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings of length 2 at these angles from class weight 0, and another class across the
    plane, that no gradient of the first is lost in."""
    theta = torch.tensor(angles, dtype=torch.float64)
    x_BD = 2 * torch.stack((theta.cos(), theta.sin(), torch.zeros_like(theta)), dim=1)
    w_CD = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    labels = torch.zeros(len(angles), dtype=torch.int64, device=device)
    return x_BD.to(device, dtype), labels, w_CD.to(device, dtype)


@pytest.mark.parametrize("m", (1.0, 1.5, 2.7))
@every_rule
@every_form
def test_value_and_gradient_by_the_angle(module, rule: str, m: float, device: str):
    """With two classes, of which the other's logit is 0, a term is log(1 + e^-f): it gives f, and
    the gradient across x, over that of f, the slope by theta."""
    x_BD, labels, w_CD = _rows(ANGLES)
    if module is fused:
        x_BD, labels, w_CD = _rows(ANGLES, torch.float32, device)
    x_BD.requires_grad_()
    terms = module.sphereface_r(x_BD, labels, w_CD, scale=2.0, m=m, rule=rule, reduction="none")
    want = [2 * math.cos(min(m * theta, math.pi)) for theta in ANGLES]
    target = -torch.log(terms.detach().cpu().double().expm1())
    close = 4e-6 if module is fused else 1e-9
    torch.testing.assert_close(target, torch.tensor(want, dtype=torch.float64), rtol=0, atol=close)
    (gradient,) = torch.autograd.grad(terms.sum(), x_BD)
    theta = torch.tensor(ANGLES, dtype=torch.float64)
    away = torch.stack((-theta.sin(), theta.cos(), torch.zeros_like(theta)), dim=1)
    by_target = -torch.sigmoid(-torch.tensor(want, dtype=torch.float64))
    # d f / d theta over ||x||: the embedding moves on its sphere.
    got = (gradient.cpu().double() * away).sum(dim=1) / by_target * 2 / 2
    by_rule = {
        "true": [-m * math.sin(m * t) * (m * t < math.pi) for t in ANGLES],
        "detached": [-math.sin(t) for t in ANGLES],
    }
    falls = torch.tensor(by_rule[rule], dtype=torch.float64)
    torch.testing.assert_close(got, falls, rtol=2e-4, atol=close)


@pytest.mark.parametrize("module", (eager, tiled, fused))
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("away", (1e-1, 2e-3, 0.0))
def test_next_to_its_class_weight_it_is_right_in_few_bits(module, dtype, away: float, seed: int):
    """The slope is at most m^2: in 16 bits its pull is not lost. Against the reference on the very
    same rounded numbers."""
    generator = torch.Generator().manual_seed(seed)
    w_CD = torch.randn(5, 64, generator=generator).to(dtype)
    labels = torch.arange(20) % 5
    x_BD = (w_CD[labels].float() + away * torch.randn(20, 64, generator=generator)).to(dtype)
    options = {"scale": 4.0, "reduction": "sum"}
    got, want = (
        torch.autograd.grad(of.sphereface_r(x, labels, w, **options), [x, w])
        for of, x, w in (
            (module, x_BD.requires_grad_(), w_CD.requires_grad_()),
            (reference, *(t.detach().double().requires_grad_() for t in (x_BD, w_CD))),
        )
    )
    for mine, right in zip(got, want, strict=True):
        assert torch.isfinite(mine).all()
        error = float((mine.double() - right).norm() / right.norm())
        assert error <= 16 * torch.finfo(dtype).eps


@every_rule
@pytest.mark.parametrize("module", (reference, eager, tiled))
def test_the_sub_gradient_at_the_poles_and_at_norm_zero(module, rule: str):
    """Exactly along and against its class weight there is no gradient; nor of zeros."""
    x_BD = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    w_CD = torch.tensor([[4.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    x_BD.requires_grad_(), w_CD.requires_grad_()
    labels = torch.zeros(3, dtype=torch.int64)
    terms = module.sphereface_r(x_BD, labels, w_CD, scale=4.0, rule=rule, reduction="none")
    assert float(terms[2].detach()) == pytest.approx(math.log(2))
    for gradient in torch.autograd.grad(terms.sum(), [x_BD, w_CD]):
        assert gradient.abs().max() <= 1e-15


@pytest.mark.parametrize("m", (2, 3, 4))
def test_up_to_pi_over_m_it_is_a_softmax(m: int):
    """Whose psi goes on falling by steps; this stays at -1."""
    angle_B = torch.linspace(0, math.pi, 97, dtype=torch.float64)
    value_B = reference.target(angle_B.cos(), angle_B.sin(), m, "true")
    same_B = angle_B <= math.pi / m
    torch.testing.assert_close(value_B[same_B], psi(angle_B.cos(), m)[same_B], rtol=0, atol=1e-12)
    assert (value_B[~same_B] == -1).all()


def test_the_detached_rule_has_the_value_of_the_true_one_and_another_gradient(seed: int):
    variant = LOSS.variant("true")
    inputs = draw(variant, RAGGED, "float64", seed)
    options = {**variant.options, "reduction": "sum"}
    (a, by_a), (b, by_b) = (
        (value, torch.autograd.grad(value, inputs.tensors["embeddings"])[0])
        for value in (
            eager.sphereface_r(**inputs.tensors, **{**options, "rule": rule}) for rule in RULES
        )
    )
    assert torch.equal(a, b)
    assert float((by_a - by_b).norm()) > 0.05 * float(by_a.norm())


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("m", v) for v in (0.9, -1.0, float("inf"), float("nan"), "1")),
        ("rule", "v0"),
        *(("scale", v) for v in (0.0, float("inf"), "1")),
    ],
    ids=str,
)
def test_bad_options_are_named(argument: str, value: object):
    x_BD, labels, w_CD = _rows([0.3, 0.4])
    for module in (eager, tiled):
        with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
            module.sphereface_r(x_BD, labels, w_CD, **{argument: value})
