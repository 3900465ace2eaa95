"""Products of float32 are IEEE products; tf32 comes only where torch allows it."""

from __future__ import annotations

import pytest
import torch

from benchmarks.sanitizer.jobs import sanitized
from marginbench.inputs import random_inputs
from marginbench.loss import Shape
from marginbench.shared import launching


def _precisions(dtype: str, device: str) -> set[tuple[str, str]]:
    """What each kernel that makes products is launched with, over all losses."""
    found = set()
    for loss, variant, contender in sanitized():
        inputs = random_inputs(variant, Shape(9, 16, 3), dtype, device, seed=0)
        leaves = [inputs.tensors[name] for name in inputs.differentiable]
        with launching.recorded() as launches:
            function = loss.resolve(contender.entry)
            value = function(**inputs.tensors, **variant.options, reduction="sum")
            if variant.output == "loss":
                torch.autograd.grad(value, leaves)
        for launch in launches:
            if "PRECISION" in launch.arguments:
                name = launch.kernel.fn.__name__
                found.add((f"{loss.name}:{name}", launch.arguments["PRECISION"]))
    return found


# What they choose, they look at again only where IEEE products leave it open.
CHOOSING = {"_hardest_kernel", "_semi_hard_kernel", "_distances_kernel", "_terms_kernel"}


@pytest.mark.parametrize(
    ("asked", "dtype", "expected"),
    [("ieee", "float32", "ieee"), ("tf32", "float32", "tf32"), ("tf32", "bfloat16", "ieee")],
)
def test_tf32_only_on_request_and_only_where_nothing_is_chosen(
    asked: str, dtype: str, expected: str, device: str
):
    products = torch.backends.cuda.matmul
    before, products.fp32_precision = products.fp32_precision, asked
    try:
        found = _precisions(dtype, device)
    finally:
        products.fp32_precision = before
    assert {name.split(":")[0] for name, _ in found} >= {
        "a-softmax", "center", "contrastive", "softmax", "triplet",
    }  # fmt: skip
    for kernel, precision in found:
        assert precision == ("ieee" if kernel.split(":")[1] in CHOOSING else expected), kernel


def test_torch_as_it_comes_does_not_ask_for_tf32():
    assert launching.product_precision(torch.float32) == "ieee"
