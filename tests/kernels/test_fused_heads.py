"""The Triton side of softmax, A-Softmax and center loss: right values and gradients.

Truth is the float64 reference on the same numbers. A fused kernel may be twice as wrong as eager,
and a floor (`fused_heads.floor`) keeps eager's luck out of it. Every launch is watched for lanes
out of bounds. Runs in Triton's interpreter where there is no GPU.
"""

from __future__ import annotations

import bounds
import pytest
import torch
from fused_heads import (
    DTYPES,
    REPRESENTATIVES,
    SMALL_TILES,
    VARIANTS,
    assert_agrees,
    changed,
    draw,
    own_tiles,
    use_small_tiles,
)

from marginbench.loss import Inputs, Shape
from marginbench.shared import linear_lse_gradients


@pytest.fixture(autouse=True)
def _inside_the_tensors():
    with bounds.watched():
        yield


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_agrees_over_many_tiles(name: str, dtype: str, monkeypatch, device: str, seed: int):
    use_small_tiles(monkeypatch)
    for shape in SMALL_TILES:
        assert_agrees(name, draw(name, shape, dtype, device, seed), seed, ("none",))


@pytest.mark.parametrize("name", REPRESENTATIVES[:2])
def test_agrees_where_a_split_has_several_blocks(name: str, monkeypatch, device: str, seed: int):
    """Seven blocks of classes for two processors and three blocks of rows: splits of 3, 3 and 1."""
    use_small_tiles(monkeypatch)
    assert_agrees(name, draw(name, Shape(33, 5, 101), "float32", device, seed), seed, ("none",))


@pytest.mark.parametrize("name", VARIANTS)
def test_agrees_in_its_own_tiles(name: str, device: str, seed: int):
    shapes = own_tiles(name)
    for shape in shapes:
        assert_agrees(name, draw(name, shape, "float32", device, seed), seed)
    for dtype in DTYPES[1:]:
        assert_agrees(name, draw(name, shapes[-1], dtype, device, seed), seed)


def test_agrees_where_ranges_of_classes_end_in_the_middle(device: str, seed: int, monkeypatch):
    monkeypatch.setattr(linear_lse_gradients, "range_of_classes", lambda *_: 128)
    for name in ("softmax/linear", "a-softmax/m4"):
        assert_agrees(
            name, draw(name, Shape(5, 16, 300), "bfloat16", device, seed), seed, ("none",)
        )


def _edges(inputs: Inputs) -> dict[str, Inputs]:
    x, w, y = (inputs.tensors[k].detach() for k in ("embeddings", "class_weights", "labels"))
    sign = torch.tensor([1.0, -1.0]).repeat(len(x))[: len(x), None].to(x)
    some = torch.arange(len(x), device=x.device)[:, None] % 3 == 0
    last = int(inputs.tensors.get("sampled", torch.tensor([len(w) - 1]))[-1])
    spread = torch.logspace(-2, 2, len(w), device=w.device)[:, None].to(w)
    return {
        "zero embeddings": changed(inputs, embeddings=x.where(some, 0.0)),
        "zero class weights": changed(inputs, class_weights=w.where(torch.arange(
            len(w), device=x.device)[:, None] % 3 == 0, 0.0)),
        "all zero": changed(inputs, embeddings=0 * x, class_weights=0 * w),
        "large norms": changed(inputs, embeddings=30 * x),
        "lengths of the weights apart": changed(inputs, class_weights=w * spread),
        "cosine +-1": changed(inputs, embeddings=sign * w[y]),
        "duplicates": changed(inputs, embeddings=x[:1].repeat(len(x), 1)),
        "all of one class": changed(inputs, labels=torch.full_like(y, last)),
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "center/term"])
def test_agrees_at_the_edges(name: str, device: str, seed: int):
    for dtype in ("float32", "float16"):
        for edge, inputs in _edges(draw(name, Shape(17, 19, 37), dtype, device, seed)).items():
            try:
                assert_agrees(name, inputs, seed, ("none",))
            except AssertionError as error:
                raise AssertionError(f"{edge}, {dtype}: {error}") from error


def test_half_precision_keeps_small_and_large_upstream_gradients(device: str, seed: int):
    """A loss scale costs no digits: only what float16 itself can't hold is lost."""
    for name in REPRESENTATIVES[:2]:
        inputs = draw(name, Shape(17, 16, 37), "float16", device, seed)
        loss, variant = VARIANTS[name]
        function = loss.resolve(variant.contender("triton").entry)
        terms = function(**inputs.tensors, **variant.options, reduction="none")
        leaves = [inputs.tensors[of] for of in inputs.differentiable]
        plain = torch.autograd.grad(terms.sum(), leaves, retain_graph=True)
        for scale in (2.0**-10, 2.0**6):
            scaled = torch.autograd.grad((terms * scale).sum(), leaves, retain_graph=True)
            for one, other in zip(plain, scaled, strict=True):
                tiny = torch.finfo(torch.float16).smallest_normal * (1 + 1 / scale)
                torch.testing.assert_close(other.double() / scale, one.double(), rtol=0, atol=tiny)
