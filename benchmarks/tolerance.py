"""How far an output may lie from the float64 reference: derived, not tuned.

The reference takes the very inputs of the contender, widened, so rounding the inputs costs
nothing. What is left, with eps of the accumulation dtype (float32, or float64 for float64) and of
the dtype that inputs and intermediate results are stored in:

- an inner product of L terms rounds L times; the errors are as good as independent and grow like
  sqrt(L) eps_acc, where L is the longest of D (distances, logits), B and C (the gradients' sums);
- storing it once in the inputs' dtype costs eps_dtype;
- a loss combines a few such numbers (a distance is three inner products, a hinge two distances and
  a margin), each step multiplying the relative error by a small number: 8 in all.

    bound = 8 (eps_dtype + sqrt(L) eps_acc)

Eager, torch.compile's version of it and peers may err by that much. Beyond it, the question is
whether the inputs are at fault: next to a tie, or where a loss is small against what it is the
difference of, the exact result itself moves by more. So the reference is evaluated again, up to
eight times, on inputs that are moved by one `bound` each, relatively, with random signs: an
algorithm whose result is exact for inputs that near is as right as one can ask (backward
stability), and may err by a bound more than the reference moved.

Every other contender may be at most twice as wrong as eager on the same inputs. Two floors keep
luck out of that: eager may come out exact by chance, so its error counts as at least eps of the
accumulation dtype and at least what rounding the reference's own result into the output's dtype
costs. And where a selection flips (the reference moves over 100 times as far as its inputs do when
these move by 8 sqrt(L) eps_acc), errors of two right contenders have nothing to do with each other:
there it too may err by a bound more than the reference moved.

A move by the bound of a half dtype takes some selections as far as an output of nothing is, which
is off by 1. So whatever the reference moves by there, at most `FARTHEST` is allowed (of mined rows,
that part of their number); and an output that is the same number everywhere is excused nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kernels.loss import Inputs, Shape

STEPS = 8
FLIPS = 100
# A tie flips in every second move: all eight miss one in 1 of 256 cases.
MOVES = 8
FARTHEST = 0.5


def accumulation(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


def epsilon(dtype: str) -> float:
    return float(torch.finfo(getattr(torch, dtype)).eps)


def accumulated(shape: Shape, dtype: str) -> float:
    """8 sqrt(L) eps_acc: what exact storage would leave of `bound`."""
    longest = max(shape.batch, shape.dim, shape.classes)
    return STEPS * math.sqrt(longest) * epsilon(accumulation(dtype))


def bound(shape: Shape, dtype: str) -> float:
    """The relative error that ordinary evaluation in ``dtype`` may have; see above."""
    return STEPS * epsilon(dtype) + accumulated(shape, dtype)


def moved(inputs: Inputs, by: float, seed: int) -> Inputs:
    """The same inputs with every entry of every float tensor times 1 + by or 1 - by."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, tensor in inputs.tensors.items():
        if tensor is not None and tensor.is_floating_point():
            signs = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
            tensor = tensor.detach() * (1 + by * signs.to(tensor.device))
            tensor.requires_grad_(name in inputs.differentiable)
        tensors[name] = tensor
    return Inputs(tensors, inputs.differentiable)


def widened(inputs: Inputs) -> Inputs:
    """The same numbers in float64, as new leaves."""
    tensors = {}
    for name, tensor in inputs.tensors.items():
        if tensor is not None and tensor.is_floating_point():
            tensor = tensor.detach().double().requires_grad_(name in inputs.differentiable)
        tensors[name] = tensor
    return Inputs(tensors, inputs.differentiable)


def relative(got: Tensor, want: Tensor) -> float:
    """||got - want|| / ||want|| in float64, or ||got|| where the wanted norm is 0."""
    want = want.double()
    norm = float(torch.linalg.vector_norm(want))
    error = float(torch.linalg.vector_norm(got.double() - want))
    return error / norm if norm > 0 else error


def storage(want: Tensor, dtype: torch.dtype) -> float:
    """What rounding the exact result into the output's dtype costs."""
    return relative(want.to(dtype), want)
