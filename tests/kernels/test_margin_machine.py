"""The shared linear + log-sum-exp with scales and margins a row, eager and tiled: against finite
differences by everything that is differentiable, and against torch's own operations."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F

from marginbench.shared import linear_lse_eager, linear_lse_tiled
from marginbench.shared.target_margins import combined, detached, less, of_cosine, turned

FORMS = {
    "eager": linear_lse_eager.terms,
    "tiled": functools.partial(linear_lse_tiled.terms, unit_weights=True),
}
every_form = pytest.mark.parametrize("form", FORMS)
B, D, C = 6, 4, 21


def _drawn(seed: int, margins: int):
    generator = torch.Generator().manual_seed(seed)
    x_BD, w_CD = (torch.randn(n, D, generator=generator, dtype=torch.float64) for n in (B, C))
    scale_B, margins_PB = (
        0.3 + 0.5 * torch.rand(size, generator=generator, dtype=torch.float64)
        for size in ((B,), (margins, B))
    )
    leaves = [tensor.requires_grad_() for tensor in (x_BD, w_CD, scale_B, margins_PB)]
    return torch.randint(C, (B,), generator=generator), leaves


@every_form
@pytest.mark.parametrize("steep", (False, True))
@pytest.mark.parametrize("g", (less, turned, combined), ids=lambda g: g.__name__)
def test_gradients_by_rows_weights_scales_and_margins(form: str, steep: bool, g, seed: int):
    labels, leaves = _drawn(seed, 3 if g is combined else 1)

    def terms(x_BD, w_CD, scale_B, margins_PB):
        return FORMS[form](
            x_BD, labels, w_CD, scale_B=scale_B, margins_PB=margins_PB,
            margin_function=of_cosine(g), steep=steep,
        )  # fmt: skip

    assert torch.autograd.gradcheck(terms, leaves)


@every_form
def test_scales_alone_are_cross_entropy_of_scaled_logits(form: str, seed: int):
    labels, (x_BD, w_CD, scale_B, _) = _drawn(seed, 1)
    got = FORMS[form](x_BD, labels, w_CD, scale_B=scale_B)
    logits_BC = scale_B[:, None] * x_BD @ F.normalize(w_CD).T
    want = F.cross_entropy(logits_BC, labels, reduction="none")
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-13)
    pairs = (torch.autograd.grad(one.sum(), [x_BD, w_CD, scale_B]) for one in (got, want))
    for mine, right in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-10, atol=1e-12)


@every_form
@pytest.mark.parametrize("steep", (False, True))
def test_a_detached_margin_scales_with_the_length_alone(form: str, steep: bool, seed: int):
    """s (cos theta + a constant): by the scale the logit's derivative is all of its value."""
    labels, (x_BD, w_CD, _, _) = _drawn(seed, 1)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    cosine_BC = F.normalize(x_BD) @ F.normalize(w_CD).T
    own_B = cosine_BC.gather(1, labels[:, None])
    apart_B = ((own_B.acos() + 0.5).cos() - own_B).detach()
    logits_BC = scale * cosine_BC.scatter(1, labels[:, None], own_B + apart_B)
    want = F.cross_entropy(logits_BC, labels, reduction="none")
    got = FORMS[form](
        x_BD, labels, w_CD, scale_B=scale / x_BD.norm(dim=1),
        margin_function=of_cosine(detached, 0.5), steep=steep,
    )  # fmt: skip
    pairs = (torch.autograd.grad(one.sum(), [x_BD, w_CD, scale]) for one in (got, want))
    for mine, right in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-10, atol=1e-12)
