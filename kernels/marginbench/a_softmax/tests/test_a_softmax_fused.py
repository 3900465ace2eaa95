"""The margin in the fused kernels: at every angle, and where a row is confident. Every launch is
watched for lanes out of bounds."""

from __future__ import annotations

import math

import bounds
import pytest
import torch

from marginbench.a_softmax import fused as a_softmax
from marginbench.a_softmax import reference as a_softmax_reference
from marginbench.a_softmax.arguments import MARGINS


@pytest.fixture(autouse=True)
def _inside_the_tensors():
    with bounds.watched():
        yield


@pytest.mark.parametrize("m", MARGINS)
def test_the_margin_is_as_defined_at_every_angle(m: int, device: str):
    """65 angles from 0 to pi, and beside the segments' ends, with two lengths of x."""
    ends = torch.arange(1, m, dtype=torch.float64) * math.pi / m
    even = torch.linspace(0, math.pi, 65, dtype=torch.float64)
    angle_B = torch.cat((even, ends - 0.005, ends + 0.005)).repeat(2)
    length_B = torch.tensor([0.5, 3.0], dtype=torch.float64).repeat_interleave(len(angle_B) // 2)
    x_BD = torch.stack((angle_B.cos(), angle_B.sin()), dim=1) * length_B[:, None]
    w_CD = torch.tensor([[2.0, 0.0], [0.3, -0.4]])
    for annealing in (0.0, 5.0):
        x = x_BD.float().to(device).requires_grad_()
        wide = x.detach().double().requires_grad_()
        y = torch.zeros(len(x), dtype=torch.int64, device=device)
        got = a_softmax.a_softmax(x, y, w_CD.to(device), m=m, annealing=annealing, reduction="none")
        options = {"m": m, "annealing": annealing, "reduction": "none"}
        want = a_softmax_reference.a_softmax(wide, y, w_CD.double().to(device), **options)
        # psi's second derivative by the cosine is at most m^2 (m^2 - 1) / 3.
        bound = 8 * torch.finfo(torch.float32).eps * (1 + m**4)
        assert float((got - want).abs().max()) <= bound
        (dx,) = torch.autograd.grad(got.sum(), x)
        (dwide,) = torch.autograd.grad(want.sum(), wide)
        assert float((dx - dwide).abs().max()) <= bound


def test_a_confident_row_keeps_the_digits_of_its_lead(device: str, seed: int):
    """Rivals at exactly 0 and a target near 45 that float32 rounds: by up to 2e-6, which its
    exponential, which is all of the loss, would take over."""
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(64, 12, generator=generator) * 0.02
    labels = torch.arange(64) % 5
    x_BD[:, :5] = 0
    x_BD[torch.arange(64), labels] = 1
    x_BD *= 44 + torch.rand(64, 1, generator=generator)
    terms = [
        module.a_softmax(
            x_BD.to(device, dtype), labels.to(device), torch.eye(5, 12, device=device, dtype=dtype),
            m=4, reduction="none",
        ).double()
        for module, dtype in ((a_softmax, torch.float32), (a_softmax_reference, torch.float64))
    ]  # fmt: skip
    assert float((terms[0] / terms[1] - 1).abs().max()) <= 4 * torch.finfo(torch.float32).eps
