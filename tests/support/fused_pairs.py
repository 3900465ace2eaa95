"""The fused losses over pairs and triplets held against eager and the float64 reference.

A fused kernel may be twice as wrong as eager, above a floor that `_floors` derives. Where a choice
hangs on rounding (a tie, a hinge at its kink) two right answers differ by more than any floor, so
inputs are drawn such that none does (`_decided`); ties are tested apart, where all is exact.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from marginbench import catalogue
from marginbench.loss import REDUCTIONS
from marginbench.shared import pairwise_tiles
from marginbench.triplet import fused_all

VARIANTS = {
    f"{name}/{variant.name}": (catalogue.get(name), variant)
    for name in ("contrastive", "triplet")
    for variant in catalogue.get(name).variants
    if "triton" in {contender.name for contender in variant.contenders}
}
LOSSES = [name for name, (_, variant) in VARIANTS.items() if variant.output == "loss"]
ROWS = ["contrastive/pairs", "triplet/explicit"]
# Each kernel once: batch-all-active differs from batch-all by the divisor of its mean alone.
BATCHES = [name for name in LOSSES if name not in [*ROWS, "triplet/batch-all-active"]]
# The same kernels as batch-all's, with one more condition.
REPRESENTATIVES = [name for name in [*ROWS, *BATCHES] if name != "triplet/semi-hard-all"]
MINING = [name for name in VARIANTS if name not in LOSSES]
DTYPES = ("float32", "bfloat16", "float16")
EPS = torch.finfo(torch.float32).eps

Tensors = dict[str, Tensor]
# Rows, columns, identities.
Size = tuple[int, int, int]


def use_small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 16: small shapes then have many, in several splits, and positives take turns."""
    tile = pairwise_tiles.PairTile(16, 16, 16, warps=4, stages=2, output=16, slots=2)
    monkeypatch.setattr(pairwise_tiles, "tiles_for", lambda *_: [tile])
    monkeypatch.setattr(fused_all, "POSITIVES", 2)
    monkeypatch.setattr(fused_all, "NEGATIVES", 16)


def _nearly(x_BD: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(x_BD.shape, generator=generator)
    return x_BD[torch.arange(len(x_BD)) // 2] + 1e-3 * noise


# What becomes of points on the unit sphere (B x D).
VALUES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "unit": lambda x, _: x,
    "long": lambda x, _: 30 * x,
    "offset": lambda x, _: x + 3 / x.shape[1] ** 0.5,
    "duplicates": lambda x, _: x[torch.arange(len(x)) // 2],
    "near duplicates": _nearly,
}


def draw(
    name: str, size: Size, dtype: str, device: str, seed: int, values: str = "unit"
) -> Tensors:
    """The arguments of a variant, drawn until nothing hangs on rounding."""
    for attempt in range(500):
        generator = torch.Generator().manual_seed(seed + 10_007 * attempt)
        tensors = _arguments(name, size, VALUES[values], generator)
        for key in floats(tensors):
            tensors[key] = tensors[key].to(getattr(torch, dtype))
        if _decided(tensors):
            return {key: tensor.to(device) for key, tensor in tensors.items()}
    raise AssertionError(f"no decided inputs for {name} {size} {dtype} {values}")


def _arguments(name: str, size: Size, change: Callable, generator: torch.Generator) -> Tensors:
    rows, columns, identities = size

    def points() -> Tensor:
        x_BD = torch.randn(rows, columns, generator=generator)
        return change(torch.nn.functional.normalize(x_BD, dim=1), generator)

    if name == "contrastive/pairs":
        different = torch.rand(rows, generator=generator) < 0.5
        return {"embeddings_a": points(), "embeddings_b": points(), "different": different}
    if name == "triplet/explicit":
        return {"anchor": points(), "positive": points(), "negative": points()}
    return {"embeddings": points(), "labels": labels(rows, identities, generator)}


def labels(rows: int, identities: int, generator: torch.Generator) -> Tensor:
    """Identities of uneven size, in no order; every one is there where rows allow."""
    drawn = torch.randint(identities, (rows,), generator=generator)
    drawn[:identities] = torch.arange(identities)[:rows]
    return drawn[torch.randperm(rows, generator=generator)]


def _decided(tensors: Tensors) -> bool:
    """Whether all distances of an anchor, and all hinges, are apart by more than the rounding of
    distances of 16-bit embeddings that are not moved to their centre, or equal exactly."""
    if "embeddings" not in tensors:
        return True
    x_BD = tensors["embeddings"].double()
    d_BB = (x_BD[:, None] - x_BD).square().sum(2)
    apart_BBB = d_BB[:, :, None] - d_BB[:, None]
    near = 8 * EPS * float(x_BD.square().sum(1).max())
    ties = ((apart_BBB.abs() < near) & (apart_BBB != 0)).any()
    kinks = ((apart_BBB + 0.2).abs() < near).any()
    return not (ties or kinks)


def floats(tensors: Tensors) -> list[str]:
    return [name for name, tensor in tensors.items() if tensor.is_floating_point()]


def function(name: str, contender: str) -> Callable[..., Tensor]:
    loss, variant = VARIANTS[name]
    return functools.partial(loss.resolve(variant.contender(contender).entry), **variant.options)


def outcome(name: str, contender: str, tensors: Tensors, reduction: str, seed: int) -> Tensors:
    """The value, and the gradients by name, under an upstream gradient that differs by term."""
    leaves = {}
    for key, tensor in tensors.items():
        wide = contender == "reference" and tensor.is_floating_point()
        leaf = tensor.detach().double() if wide else tensor.detach()
        leaves[key] = leaf.requires_grad_(key in floats(tensors))
    value = function(name, contender)(**leaves, reduction=reduction)
    generator = torch.Generator().manual_seed(seed)
    upstream = torch.rand(value.shape, generator=generator, dtype=torch.float64) + 0.5
    grads = torch.autograd.grad(value, [leaves[key] for key in floats(tensors)], upstream.to(value))
    return {"value": value.detach(), **dict(zip(floats(tensors), grads, strict=True))}


def _sizes(name: str, tensors: Tensors) -> Tensor:
    """How large the parts are that each term is the difference of, added up (B)."""
    first, *others = (tensors[key].double() for key in floats(tensors))
    if others:
        return sum(((first - other).square().sum(1) for other in others), torch.ones(()).to(first))
    d_BB = (first[:, None] - first).square().sum(2)
    same_BB = tensors["labels"][:, None] == tensors["labels"]
    if name.startswith("contrastive"):
        return (d_BB + 1).sum(1)
    positives, negatives = same_BB.sum(1) - 1, (~same_BB).sum(1)
    triplets = positives * negatives if "all" in name else positives
    return triplets * (2 * d_BB.amax(1) + 0.2)


def _floors(name: str, tensors: Tensors) -> dict[str, float]:
    """Rounding that no order of the sums avoids, relative to the result.

    A distance is rounded about four times, by eps of itself, and a term may be smaller than the
    distances that it is the difference of. A gradient of 16 bits is rounded once more.
    """
    exact = {key: t.double() if t.is_floating_point() else t for key, t in tensors.items()}
    terms = function(name, "reference")(**exact, reduction="none")
    ratio = _sizes(name, tensors).norm() / terms.norm().clamp(min=1e-30)
    floors = {"value": 4 * EPS * max(1.0, float(ratio))}
    for of in floats(tensors):
        dtype = tensors[of].dtype
        floors[of] = 4 * EPS + (torch.finfo(dtype).eps if dtype.itemsize == 2 else 0.0)
    return floors


def agrees(name: str, tensors: Tensors, seed: int, reductions=REDUCTIONS) -> None:
    """The fused loss is at most twice as wrong as eager, for the value and every gradient."""
    floors = _floors(name, tensors)
    for reduction in reductions:
        got, eager, truth = (
            outcome(name, contender, tensors, reduction, seed)
            for contender in ("triton", "eager", "reference")
        )
        for of, right in truth.items():
            assert got[of].dtype == (torch.float32 if of == "value" else tensors[of].dtype)
            assert got[of].shape == right.shape
            mine, theirs = (float((o[of].double() - right).norm()) for o in (got, eager))
            allowed = 2 * theirs + floors[of] * float(right.norm())
            assert mine <= allowed, f"{reduction} {of}: off by {mine:.3g}, eager {theirs:.3g}"
