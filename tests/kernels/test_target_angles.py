"""Angles, sines and cosines in a Triton kernel, against Python's own."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from marginbench.shared.target_angles import angle_of, sine_and_cosine


@triton.jit
def _angles(cosine_ptr, sine_ptr, angle_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(angle_ptr + i, angle_of(tl.load(cosine_ptr + i), tl.load(sine_ptr + i)))


@triton.jit
def _sines(angle_ptr, sine_ptr, cosine_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    sine, cosine = sine_and_cosine(tl.load(angle_ptr + i))
    tl.store(sine_ptr + i, sine)
    tl.store(cosine_ptr + i, cosine)


def _spread(high: float) -> list[float]:
    """512 angles from 0 on: small ones, all multiples of pi / 8 and next to them, even ones."""
    marks = [k * math.pi / 8 for k in range(int(high / math.pi * 8) + 1)]
    found = [0.0, 1e-300, 1e-9, 1e-4, *marks, *(m + 1e-9 for m in marks)]
    found = [angle for angle in found if angle <= high]
    return found + [high * k / (512 - len(found)) for k in range(512 - len(found))]


def test_an_angle_by_its_cosine_and_sine(device: str):
    angles = _spread(math.pi)
    cosine, sine = (
        torch.tensor([of(a) for a in angles], dtype=torch.float64, device=device)
        for of in (math.cos, math.sin)
    )
    got = torch.empty_like(cosine)
    _angles[(1,)](cosine, sine.abs(), got, BLOCK=512)
    for found, angle in zip(got.tolist(), angles, strict=True):
        assert abs(found - angle) <= 8e-16 * (angle if angle <= math.pi / 2 else math.pi)


def test_sine_and_cosine_of_an_angle(device: str):
    angles = _spread(30.0)
    angle = torch.tensor(angles, dtype=torch.float64, device=device)
    sine, cosine = torch.empty_like(angle), torch.empty_like(angle)
    _sines[(1,)](angle, sine, cosine, BLOCK=512)
    for a, got_sine, got_cosine in zip(angles, sine.tolist(), cosine.tolist(), strict=True):
        assert abs(got_sine - math.sin(a)) <= 8e-16 * min(1, a)
        assert abs(got_cosine - math.cos(a)) <= 8e-16
