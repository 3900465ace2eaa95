"""ArcFace's five rules by angles in plain Python, at the poles, in 16 bits next to them, and a
library that has one of them."""

from __future__ import annotations

import math

import pytest
import torch
from head_cases import RAGGED, assert_close, bound_of, draw, function_of, outcome_of, truth_of

from marginbench import catalogue
from marginbench.arcface import eager, fused, reference, tiled
from marginbench.arcface.arguments import RULES
from marginbench.checks import InputError
from marginbench.loss import REDUCTIONS

LOSS = catalogue.get("arcface")
MARGIN = 0.5
every_rule = pytest.mark.parametrize("rule", RULES)


def _value(theta: float, rule: str) -> float:
    if rule == "guarded" and theta > math.pi - MARGIN:
        return math.cos(theta) - MARGIN * math.sin(MARGIN)
    if rule == "easy" and theta >= math.pi / 2:
        return math.cos(theta)
    if rule == "clipped":
        theta = math.acos(max(-1 + 1e-4, min(1 - 1e-4, math.cos(theta))))
        return math.cos(max(1e-4, min(math.pi - 1e-4, theta + MARGIN)))
    return math.cos(theta + MARGIN)


def _fall(theta: float, rule: str) -> float:
    """- d value / d theta; of ``detached`` that of the plain cosine."""
    if (rule == "guarded" and theta > math.pi - MARGIN) or rule == "detached":
        return math.sin(theta)
    if rule == "easy" and theta >= math.pi / 2:
        return math.sin(theta)
    clipped = math.acos(1 - 1e-4)
    if rule == "clipped" and not (clipped < theta < math.pi - MARGIN - 1e-4):
        return 0.0
    return math.sin(theta + MARGIN)


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


ANGLES = [1e-6, 1e-4, 0.01, 0.0142, 0.3, 1.2, 1.5, 1.6, 2.5, 2.6415, 2.6417, 2.8, 3.1, 3.1415]


@every_rule
@pytest.mark.parametrize("module", (reference, eager, tiled, fused))
def test_value_and_gradient_by_the_angle(module, rule: str, device: str):
    """With two classes, of which the other's logit is 0, a term is log(1 + e^-f): it gives f, and
    the gradient across x, over that of f, the slope by theta."""
    x_BD, labels, w_CD = _rows(ANGLES)
    if module is fused:
        x_BD, labels, w_CD = _rows(ANGLES, torch.float32, device)
    x_BD.requires_grad_()
    options = {"scale": 2.0, "margin": MARGIN, "rule": rule, "reduction": "none"}
    terms = module.arcface(x_BD, labels, w_CD, **options)
    want = [2 * _value(theta, rule) for theta in ANGLES]
    target = -torch.log(terms.detach().cpu().double().expm1())
    # Where theta is small its cosine in float64 holds it to 1e-16 / theta.
    close = 2e-6 if module is fused else 1e-9
    torch.testing.assert_close(target, torch.tensor(want, dtype=torch.float64), rtol=0, atol=close)
    (gradient,) = torch.autograd.grad(terms.sum(), x_BD)
    theta = torch.tensor(ANGLES, dtype=torch.float64)
    away = torch.stack((-theta.sin(), theta.cos(), torch.zeros_like(theta)), dim=1)
    by_target = -torch.sigmoid(-torch.tensor(want, dtype=torch.float64))
    # d f / d theta over ||x||: the embedding moves on its sphere.
    got = (gradient.cpu().double() * away).sum(dim=1) / by_target * 2 / 2
    falls = torch.tensor([-_fall(theta, rule) for theta in ANGLES], dtype=torch.float64)
    torch.testing.assert_close(got, falls, rtol=2e-4, atol=close)


@pytest.mark.parametrize("module", (eager, tiled, fused))
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16, torch.float16))
@pytest.mark.parametrize("away", (1e-1, 1e-2, 2e-3, 0.0))
def test_a_steep_slope_is_right_in_few_bits(module, dtype, away: float, seed: int):
    """Next to theta = 0 the slope is sin(theta + m) / sin theta, up to the thousands; its gradient
    is not. Against the reference on the very same rounded numbers."""
    generator = torch.Generator().manual_seed(seed)
    w_CD = torch.randn(5, 64, generator=generator).to(dtype)
    labels = torch.arange(20) % 5
    x_BD = (w_CD[labels].float() + away * torch.randn(20, 64, generator=generator)).to(dtype)
    options = {"scale": 4.0, "margin": MARGIN, "rule": "true", "reduction": "sum"}
    got, want = (
        torch.autograd.grad(of.arcface(x, labels, w, **options), [x, w])
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
    """Exactly along and against its class weight the margin gives no gradient; nor do zeros."""
    x_BD = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    w_CD = torch.tensor([[4.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    x_BD.requires_grad_(), w_CD.requires_grad_()
    labels = torch.zeros(3, dtype=torch.int64)
    terms = module.arcface(x_BD, labels, w_CD, scale=4.0, rule=rule, reduction="none")
    assert float(terms[2].detach()) == pytest.approx(math.log(2))
    for gradient in torch.autograd.grad(terms.sum(), [x_BD, w_CD]):
        assert gradient.abs().max() <= 1e-15


def test_the_detached_rule_has_the_value_of_the_true_one_and_another_gradient(seed: int):
    variant = LOSS.variant("true")
    inputs = draw(variant, RAGGED, "float64", seed)
    options = {**variant.options, "reduction": "sum"}
    (a, by_a), (b, by_b) = (
        (value, torch.autograd.grad(value, inputs.tensors["embeddings"])[0])
        for value in (
            eager.arcface(**inputs.tensors, **{**options, "rule": rule})
            for rule in ("true", "detached")
        )
    )
    assert torch.equal(a, b)
    assert float((by_a - by_b).norm()) > 0.05 * float(by_a.norm())


@every_rule
def test_pytorch_metric_learning_computes_the_guarded_one(rule: str, seed: int):
    pytest.importorskip("pytorch_metric_learning")
    variant = LOSS.variant(rule)
    inputs = draw(variant, RAGGED, "float64", seed)
    if rule != "guarded":
        assert "pytorch-metric-learning" not in [c.name for c in variant.contenders]
        with pytest.raises(InputError, match=r"^rule:"):
            LOSS.resolve("peers:arcface")(**inputs.tensors, **variant.options)
        return
    for reduction in REDUCTIONS:
        function = function_of(LOSS, variant, "pytorch-metric-learning")
        got = outcome_of(function, inputs, variant.options, reduction, seed)
        truth = truth_of(LOSS, variant, inputs, reduction, seed)
        assert_close(got, truth, bound_of(inputs, variant.options))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("margin", v) for v in (-0.1, 3.2, float("nan"), "1")),
        ("rule", "hard"),
        *(("scale", v) for v in (0.0, -1.0, float("inf"), float("nan"), "1")),
        *(("scale", torch.tensor(v)) for v in (0.0, float("nan"), [1.0, 2.0], 3)),
    ],
    ids=str,
)
@pytest.mark.parametrize("module", (eager, tiled))
def test_bad_options_are_named(module, argument: str, value: object):
    x_BD, labels, w_CD = _rows([0.3, 0.4])
    with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
        module.arcface(x_BD, labels, w_CD, **{argument: value})
