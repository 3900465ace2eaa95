"""The combined margin by angles in plain Python, at the poles and in 16 bits next to them; the
losses that it has within it; what it warns of."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from head_cases import RAGGED, draw

from marginbench import CombinedMarginLoss, catalogue
from marginbench.arcface import eager as arcface
from marginbench.checks import InputError
from marginbench.combined import eager, fused, reference, tiled
from marginbench.cosface import eager as cosface

LOSS = catalogue.get("combined")
MARGINS = {
    "added": (1.0, 0.3, 0.2), "multiplied": (1.2, 0.2, 0.1), "less": (0.8, 0.0, 0.0),
    "twice": (2.0, 0.0, 0.0), "around": (3.5, 0.7, 0.4),
}  # fmt: skip
every_form = pytest.mark.parametrize("module", (reference, eager, tiled, fused))
every_margin = pytest.mark.parametrize("margins", MARGINS.values(), ids=MARGINS)
ANGLES = [1e-6, 1e-4, 0.01, 0.3, 0.9, 1.2, 1.5, 1.6, 2.5, 2.84, 2.85, 3.1, 3.1415]
pytestmark = pytest.mark.filterwarnings("ignore:m1, m2:UserWarning")


def _options(margins: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("m1", "m2", "m3"), margins, strict=True))


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


@every_margin
@every_form
def test_value_and_gradient_by_the_angle(module, margins, device: str):
    """With two classes, of which the other's logit is 0, a term is log(1 + e^-f): it gives f, and
    the gradient across x, over that of f, the slope by theta."""
    m1, m2, m3 = margins
    x_BD, labels, w_CD = _rows(ANGLES)
    if module is fused:
        x_BD, labels, w_CD = _rows(ANGLES, torch.float32, device)
    x_BD.requires_grad_()
    terms = module.combined_margin(
        x_BD, labels, w_CD, scale=2.0, **_options(margins), reduction="none"
    )
    want = [2 * (math.cos(m1 * theta + m2) - m3) for theta in ANGLES]
    target = -torch.log(terms.detach().cpu().double().expm1())
    # Where theta is small its cosine in float64 holds it to 1e-16 / theta.
    close = 4e-6 if module is fused else 1e-9
    torch.testing.assert_close(target, torch.tensor(want, dtype=torch.float64), rtol=0, atol=close)
    (gradient,) = torch.autograd.grad(terms.sum(), x_BD)
    theta = torch.tensor(ANGLES, dtype=torch.float64)
    away = torch.stack((-theta.sin(), theta.cos(), torch.zeros_like(theta)), dim=1)
    by_target = -torch.sigmoid(-torch.tensor(want, dtype=torch.float64))
    # d f / d theta over ||x||: the embedding moves on its sphere.
    got = (gradient.cpu().double() * away).sum(dim=1) / by_target * 2 / 2
    falls = torch.tensor([-m1 * math.sin(m1 * t + m2) for t in ANGLES], dtype=torch.float64)
    torch.testing.assert_close(got, falls, rtol=2e-4, atol=close)


@pytest.mark.parametrize("module", (eager, tiled, fused))
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("away", (1e-1, 2e-3, 0.0))
def test_a_steep_slope_is_right_in_few_bits(module, dtype, away: float, seed: int):
    """Next to theta = 0 the slope is m1 sin(m1 theta + m2) / sin theta, up to the thousands; its
    gradient is not. Against the reference on the very same rounded numbers."""
    generator = torch.Generator().manual_seed(seed)
    w_CD = torch.randn(5, 64, generator=generator).to(dtype)
    labels = torch.arange(20) % 5
    x_BD = (w_CD[labels].float() + away * torch.randn(20, 64, generator=generator)).to(dtype)
    options = {"scale": 4.0, **_options(MARGINS["multiplied"]), "reduction": "sum"}
    got, want = (
        torch.autograd.grad(of.combined_margin(x, labels, w, **options), [x, w])
        for of, x, w in (
            (module, x_BD.requires_grad_(), w_CD.requires_grad_()),
            (reference, *(t.detach().double().requires_grad_() for t in (x_BD, w_CD))),
        )
    )
    for mine, right in zip(got, want, strict=True):
        assert torch.isfinite(mine).all()
        error = float((mine.double() - right).norm() / right.norm())
        assert error <= 16 * torch.finfo(dtype).eps


@pytest.mark.parametrize("module", (reference, eager, tiled))
def test_the_sub_gradient_at_the_poles_and_at_norm_zero(module):
    """Exactly along and against its class weight the margin gives no gradient; nor do zeros."""
    x_BD = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    w_CD = torch.tensor([[4.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    x_BD.requires_grad_(), w_CD.requires_grad_()
    labels = torch.zeros(3, dtype=torch.int64)
    terms = module.combined_margin(x_BD, labels, w_CD, scale=4.0, reduction="none")
    assert float(terms[2].detach()) == pytest.approx(math.log(2))
    for gradient in torch.autograd.grad(terms.sum(), [x_BD, w_CD]):
        assert gradient.abs().max() <= 1e-15


@pytest.mark.parametrize(
    ("margins", "same"),
    [((1.0, 0.0, 0.35), cosface.cosface), ((1.0, 0.5, 0.0), arcface.arcface)],
    ids=("cosface", "arcface"),
)
def test_with_two_margins_off_it_is_the_loss_of_the_third(margins, same, seed: int):
    tensors = draw(LOSS.variants[0], RAGGED, "float64", seed).tensors
    got = eager.combined_margin(**tensors, **_options(margins), scale=64.0, reduction="none")
    want = same(**tensors, scale=64.0, margin=max(margins[1:]), reduction="none")
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_a_rising_logit_is_warned_of_with_its_angle():
    """(1, 0.3, 0.2): from pi - 0.3 on, 162.8 degrees; and the logit does rise there."""
    with pytest.warns(UserWarning, match=r"rises .* from 2\.842 rad \(162\.8 degrees\) on"):
        CombinedMarginLoss(4, 3)
    x_BD, labels, w_CD = _rows([2.7, 2.8, 2.9, 3.0])
    with pytest.warns(UserWarning, match=r"m1 = 1 and m2 = 0\.3"):
        terms = eager.combined_margin(x_BD, labels, w_CD, reduction="none")
    assert terms[0] < terms[1] and terms[2] > terms[3]


@pytest.mark.filterwarnings("error")
def test_a_falling_logit_is_not_warned_of():
    for margins in ((0.9, 0.1 * math.pi, 0.15), (1.0, 0.0, 0.4)):
        CombinedMarginLoss(4, 3, **_options(margins))


def test_it_warns_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        loss = CombinedMarginLoss(4, 3, m2=0.31)
        for _ in range(3):
            loss(torch.randn(2, 4), torch.tensor([0, 1]))
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("m1", v) for v in (0.0, -1.0, float("inf"), float("nan"), "1")),
        *(("m2", v) for v in (-0.1, 3.2, float("nan"), "1")),
        *(("m3", v) for v in (-0.1, float("inf"), float("nan"), "1")),
        *(("scale", v) for v in (0.0, float("inf"), "1")),
    ],
    ids=str,
)
def test_bad_options_are_named(argument: str, value: object):
    x_BD, labels, w_CD = _rows([0.3, 0.4])
    for module in (eager, tiled):
        with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
            module.combined_margin(x_BD, labels, w_CD, **{argument: value})
