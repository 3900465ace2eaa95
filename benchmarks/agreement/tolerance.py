"""How far an output may lie from the float64 reference: derived, not tuned.

The reference takes the very inputs of the contender, widened, so rounding the inputs costs
nothing. What is left, with eps of the accumulation dtype (float32, or float64 for float64) and of
the dtype that inputs and intermediate results are stored in:

- an inner product of L terms rounds L times; the errors are as good as independent and grow like
  sqrt(L) eps_acc, where L is the longest of D (distances, logits), B and C (the gradients' sums)
  and the sizes that a variant adds;
- storing it once in the inputs' dtype costs eps_dtype;
- a loss combines a few such numbers (a distance is three inner products, a hinge two distances and
  a margin), each step multiplying the relative error by a small number: 8 in all.

    bound = 8 (eps_dtype + sqrt(L) eps_acc)

Where numbers leave the dtype's normal range, a rounding costs half the smallest subnormal however
small the number is: 8 L of those may come on top (`underflow`), and what storing the exact result
costs (`storage`).

Eager, torch.compile's version of it and peers may err by that much. Beyond it, the question is
whether the inputs are at fault: where a loss is small against what it is the difference of, the
exact result itself moves by more. So the reference is evaluated again, up to eight times, on inputs
that are moved by one `bound` each, relatively, with random signs: an algorithm whose result is
exact for inputs that are near is as right as one can ask (backward stability), and may err by a
bound more than the reference moved. What the definition selects is held while it moves.

Every other contender may be at most twice as wrong as eager on the same inputs. Three things keep
luck out of that: eager's error counts as at least sqrt(L) eps of the accumulation dtype, with L at
most `FEW` (so little is rounded in a small case that eager may come out nearly exact, and where
much is, its own error says how much); as at least what rounding the reference's own result into
the output's dtype costs; and as the root mean square of eager's errors with the columns of the
inputs in `ORDERS` orders, `LUCK` times that where it is made of few rows (the entries of a row
share most of their roundings). Of n independent numbers of one
size, the root of the sum of squares varies by 1 / (2 sqrt(n)) of itself: from n = `FEW` on two
right contenders are within a factor of 2 by five standard deviations, while one number is within
three times its root mean square in 997 of 1,000 draws and near 0 just as often as anywhere.

A definition that selects jumps at a tie, and there two right contenders differ by any amount. That
excuses neither of them by itself. `flips` looks for decisions that rounding can turn with which the
reference gives what the contender gave; which, and how near the tie was, stands on the row, and
what remains has to be within the limits above. Peers round in an order that is not known
here, so their decisions are not looked for: their reference selects anew as it is moved.

A move by the bound of a half dtype takes some results as far as an output of nothing is, which is
off by 1. So whatever the reference moves by there, at most `FARTHEST` is allowed (of mined rows,
that part of their number); and an output that is the same number everywhere is excused nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from marginbench.loss import Inputs, Shape

STEPS = 8
# A tie flips in every second move: all eight miss one in 1 of 256 cases.
MOVES = 8
FEW = 16
ORDERS = 8
LUCK = 3
FARTHEST = 0.5


def accumulation(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


def epsilon(dtype: str) -> float:
    return float(torch.finfo(getattr(torch, dtype)).eps)


def _longest(shape: Shape) -> int:
    return max(shape.batch, shape.dim, shape.classes, *dict(shape.more).values())


def accumulated(shape: Shape, dtype: str) -> float:
    """8 sqrt(L) eps_acc: what exact storage would leave of `bound`."""
    return STEPS * math.sqrt(_longest(shape)) * epsilon(accumulation(dtype))


def floor(shape: Shape, dtype: str) -> float:
    """What eager's error counts for at least: a sum of a few terms, without luck; see above."""
    return math.sqrt(min(_longest(shape), FEW)) * epsilon(accumulation(dtype))


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


def reordered(inputs: Inputs, seed: int) -> Inputs:
    """The same numbers with the columns (the last of two or more sizes) in another order, the same
    for all: what is summed over D rounds otherwise, and nothing else is changed."""
    generator = torch.Generator().manual_seed(seed)
    orders: dict[int, Tensor] = {}
    tensors = dict(inputs.tensors)
    for name, tensor in tensors.items():
        if tensor is not None and tensor.is_floating_point() and tensor.ndim > 1:
            width = tensor.shape[-1]
            if width not in orders:
                orders[width] = torch.randperm(width, generator=generator).to(tensor.device)
            columns = tensor.detach()[..., orders[width]].contiguous()
            tensors[name] = columns.requires_grad_(tensor.requires_grad)
        elif tensor is not None and tensor.requires_grad:
            tensors[name] = tensor.detach().clone().requires_grad_()
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


def fits(want: Tensor, dtype: torch.dtype) -> Tensor:
    """Which of the exact numbers the dtype can hold; all that are not finite themselves."""
    return torch.isfinite(want.to(dtype)) | ~torch.isfinite(want)


def storage(want: Tensor, dtype: torch.dtype) -> float:
    """What rounding the exact result into the output's dtype costs."""
    want = want[fits(want, dtype)]
    return relative(want.to(dtype), want)


def numbers_in(error: Tensor) -> float:
    """How many numbers of one size would make an error as this one is made: n where all n rows
    have as much of it, 1 where one has it all. Entries of a row share most of their roundings."""
    squares = error.double().square()
    squares = squares.flatten(start_dim=1).sum(dim=1) if squares.ndim > 1 else squares.flatten()
    total = float(squares.sum())
    # Scaled first: the fourth powers of a small error leave the range.
    return 1 / float((squares / total).square().sum()) if total > 0 else 1.0


def underflow(want: Tensor, shape: Shape, dtype: str) -> float:
    """What 8 L roundings of numbers below the dtype's normal range cost, each half the smallest
    subnormal, relative to the exact result."""
    kind = torch.finfo(getattr(torch, dtype))
    want = want[fits(want, getattr(torch, dtype))].double()
    norm = float(torch.linalg.vector_norm(want))
    lost = STEPS * _longest(shape) * kind.tiny * kind.eps / 2 * math.sqrt(want.numel())
    return lost / norm if norm > 0 else lost


def error_of(got: Tensor | None, want: Tensor | None) -> tuple[float | None, str]:
    """The relative error, or None and what is wrong beyond rounding. A number that the output's
    dtype can't hold has to come as one that is not finite; it counts for nothing else."""
    if want is None:
        return None, "the reference gives no gradient here"
    if got is None:
        return None, "no gradient reached it"
    if got.shape != want.shape:
        return None, f"shape {tuple(got.shape)} where {tuple(want.shape)} was expected"
    held = fits(want, got.dtype)
    if not bool(held.all()):
        finite = int(torch.isfinite(got[~held]).sum())
        if finite:
            largest, dtype = float(want.abs().max()), str(got.dtype).removeprefix("torch.")
            return None, f"{finite} finite numbers where {dtype} can't hold the exact {largest:.1e}"
        got, want = got[held], want[held]
    error = relative(got, want)
    if math.isfinite(error):
        return error, ""
    bad = int((~torch.isfinite(got)).sum())
    if bad:
        return None, f"{bad} of {got.numel()} numbers are NaN or infinite"
    return None, "the reference is not finite here"
