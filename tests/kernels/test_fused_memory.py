"""Fused kernels and memory: what is fresh may hold anything, and rows may lie far apart.

torch fills what it allocates with NaN (the largest integer for integers) while deterministic
algorithms are asked for; without, it holds whatever lay there, right numbers of an earlier call
among it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bounds
import fused_heads
import fused_pairs
import pytest
import torch
from torch import Tensor

from marginbench import catalogue
from marginbench.inputs import random_inputs
from marginbench.loss import Shape


@contextmanager
def _fresh_memory_is_nan() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert torch.empty(9).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("name", fused_heads.REPRESENTATIVES)
def test_heads_read_nothing_before_it_is_written(name: str, monkeypatch, device: str, seed: int):
    """Two ranges of classes, and dX's sum over each in two splits."""
    fused_heads.use_small_tiles(monkeypatch)
    inputs = fused_heads.draw(name, Shape(5, 16, 50), "float32", device, seed)
    want, _ = fused_heads.right(name, inputs, "none", seed)
    with _fresh_memory_is_nan():
        got, _ = fused_heads.outcome(name, "triton", inputs, "none", seed)
    for of, right in want.items():
        torch.testing.assert_close(got[of].double(), right, rtol=1e-3, atol=1e-3, msg=of)


@pytest.mark.parametrize("name", fused_pairs.LOSSES)
def test_pairs_read_nothing_before_it_is_written(name: str, monkeypatch, device: str, seed: int):
    fused_pairs.use_small_tiles(monkeypatch)
    tensors = fused_pairs.draw(name, (37, 17, 9), "float32", device, seed)
    want = fused_pairs.outcome(name, "reference", tensors, "mean", seed)
    with _fresh_memory_is_nan():
        got = fused_pairs.outcome(name, "triton", tensors, "mean", seed)
    for of, right in want.items():
        torch.testing.assert_close(got[of].double(), right, rtol=1e-3, atol=1e-3, msg=of)


@pytest.mark.parametrize(
    ("found", "declared"),
    [
        pytest.param(loss, variant, id=f"{loss.name}-{variant.name}")
        for loss in catalogue.losses()
        for variant in loss.variants
        if variant.output != "loss" and "triton" in {one.name for one in variant.contenders}
    ],
)
def test_updates_and_rules_read_nothing_before_it_is_written(found, declared, device, seed):
    arguments = random_inputs(declared, Shape(19, 7, 5), "float32", device, seed).tensors
    function = found.resolve(declared.contender("triton").entry)
    plain = function(**arguments, **declared.options)
    with _fresh_memory_is_nan():
        again = function(**arguments, **declared.options)
    as_tuple = lambda out: out if isinstance(out, tuple) else (out,)  # noqa: E731
    for one, other in zip(as_tuple(plain), as_tuple(again), strict=True):
        assert torch.equal(one, other)


def _far_apart(matrix: Tensor) -> Tensor:
    """The same rows, the last 2^31 elements behind the first: 4 GiB in half precision, of which
    only the rows' own pages are ever touched."""
    rows, columns = matrix.shape
    wide = torch.empty_strided((rows, columns), (2**31 // (rows - 1) + 8, 1), dtype=matrix.dtype,
                               device=matrix.device)  # fmt: skip
    return wide.copy_(matrix)


@pytest.mark.parametrize("name", fused_heads.REPRESENTATIVES)
def test_rows_of_a_head_may_lie_far_apart(name: str, device: str, seed: int):
    inputs = fused_heads.draw(name, Shape(5, 3, 5), "float16", device, seed)
    want, _ = fused_heads.outcome(name, "triton", inputs, "none", seed)
    with bounds.watched():
        for argument, tensor in inputs.tensors.items():
            if tensor.ndim == 2:
                far = fused_heads.changed(inputs, **{argument: _far_apart(tensor.detach())})
                got, _ = fused_heads.outcome(name, "triton", far, "none", seed)
                assert all(torch.equal(got[of], want[of]) for of in want), argument


@pytest.mark.parametrize("name", fused_pairs.REPRESENTATIVES)
def test_rows_of_a_batch_may_lie_far_apart(name: str, device: str, seed: int):
    tensors = fused_pairs.draw(name, (5, 3, 2), "float16", device, seed)
    want = fused_pairs.outcome(name, "triton", tensors, "none", seed)
    with bounds.watched():
        for argument in fused_pairs.floats(tensors):
            far = {**tensors, argument: _far_apart(tensors[argument])}
            got = fused_pairs.outcome(name, "triton", far, "none", seed)
            assert all(torch.equal(got[of], want[of]) for of in want), argument
