"""The softmax loss by the paper's equation, number by number, in each of its forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from marginbench import functional

FORMS = ("reference", "eager", "tiled", "triton")


def _by_hand(x, labels, w, b) -> tuple[list, list, list]:
    """Terms, and the gradients of their sum by the embeddings and by the bias."""
    terms, by_x, by_bias = [], [], [0.0] * len(w)
    for row, y in zip(x, labels, strict=True):
        logits = [
            sum(a * c for a, c in zip(row, one, strict=True)) + at
            for one, at in zip(w, b, strict=True)
        ]
        whole = sum(math.exp(logit) for logit in logits)
        terms.append(math.log(whole) - logits[y])
        slopes = [math.exp(logit) / whole - (j == y) for j, logit in enumerate(logits)]
        by_x.append([
            sum(slope * one[d] for slope, one in zip(slopes, w, strict=True))
            for d in range(len(row))
        ])  # fmt: skip
        by_bias = [total + slope for total, slope in zip(by_bias, slopes, strict=True)]
    return terms, by_x, by_bias


def _drawn(seed: int, *size: int, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=generator).to(device).requires_grad_()


@pytest.mark.parametrize("with_bias", (True, False), ids=("bias", "no bias"))
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_the_papers_equation(form: str, with_bias: bool, seed: int, device: str):
    if form == "tiled":
        device = "cpu"  # where alone it computes
    x, w = _drawn(seed, 9, 5, device=device), _drawn(seed + 1, 7, 5, device=device)
    bias = _drawn(seed + 2, 7, device=device) if with_bias else None
    labels = torch.arange(9, device=device) % 7
    terms = functional.softmax(x, labels, w, bias, reduction="none", implementation=form)
    got = torch.autograd.grad(terms.sum(), [x, *([bias] if with_bias else [])])
    numbers = [0.0] * 7 if bias is None else bias.tolist()
    wanted = _by_hand(x.tolist(), labels.tolist(), w.tolist(), numbers)
    for mine, right in zip((terms, *got), wanted, strict=False):
        expected = torch.tensor(right, dtype=mine.dtype, device=device)
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)
