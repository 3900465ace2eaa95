"""No host wait: neither forward nor backward of a Triton contender asks a GPU for a value.

Launches are recorded, and tensors without data stand in for a GPU's: the operators' launchers run
in full, and whatever looked at a value would raise. A copy from the host is watched for apart.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from marginbench import catalogue
from marginbench.inputs import random_inputs
from marginbench.loss import Loss, Shape, Variant
from marginbench.shared.launching import recorded

CASES = {
    f"{loss.name}/{variant.name}": (loss, variant)
    for loss in catalogue.losses()
    for variant in loss.variants
    if "triton" in {contender.name for contender in variant.contenders}
}
# Those that wait, once each, and why.
KNOWN = {
    "triplet/semi-hard": "backward sums over a list of triplets, whose length is data: at most B^2",
    "triplet/mine-semi-hard": "returns a list of triplets, whose length is data",
}
SHAPE = Shape(24, 16, 7)


class Waits(Exception):
    """A call for which the host waits until the GPU has caught up."""


class _FromTheHost(TorchFunctionMode):
    """Refuses what copies numbers of the host's to the device, which waits for the copy's end."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not isinstance(result, Tensor) or result.device.type != "meta":
            return result
        made = function in (torch.tensor, torch.as_tensor, torch.asarray)
        moved = function in (Tensor.to, Tensor.copy_) and any(
            isinstance(one, Tensor) and one.device.type == "cpu" for one in args
        )
        if made or moved:
            raise Waits(f"{function.__name__} copies from the host")
        return result


@pytest.fixture(autouse=True)
def _no_whole_wait(monkeypatch: pytest.MonkeyPatch):
    """That which needs no tensor to be seen."""

    def waits(*_, **__):
        raise Waits("torch.cuda.synchronize")

    monkeypatch.setattr(torch.cuda, "synchronize", waits)


def _run(loss: Loss, variant: Variant, seed: int) -> tuple[int, int]:
    """Launches of forward and of backward."""
    inputs = random_inputs(variant, SHAPE, "float32", "cpu", seed)
    tensors = {
        name: tensor.detach().to("meta").requires_grad_(name in inputs.differentiable)
        for name, tensor in inputs.tensors.items()
    }
    function = loss.resolve(variant.contender("triton").entry)
    options = {"reduction": "mean"} if variant.output == "loss" else {}
    with recorded() as launches, _FromTheHost():
        value = function(**tensors, **variant.options, **options)
        forward = len(launches)
        if inputs.differentiable:
            torch.autograd.grad(value, [tensors[name] for name in inputs.differentiable])
    return forward, len(launches) - forward


@pytest.mark.parametrize("name", [name for name in CASES if name not in KNOWN])
def test_nothing_waits_for_a_gpu(name: str, seed: int):
    loss, variant = CASES[name]
    forward, backward = _run(loss, variant, seed)
    assert forward >= 1
    assert backward >= 1 or variant.output != "loss"


@pytest.mark.parametrize("name", KNOWN)
def test_those_that_are_known_to_wait_do(name: str, seed: int):
    """Once one does no longer, its name comes off the list."""
    with pytest.raises((Waits, RuntimeError), match="meta"):
        _run(*CASES[name], seed)


@pytest.mark.parametrize(
    "wait",
    (
        lambda x: x.sum().item(),
        lambda x: int(x.sum()),
        lambda x: bool(x.any()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: x[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: torch.where(x > 0),
        lambda x: x.repeat_interleave(x.long()),
        lambda x: torch.equal(x, x),
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: torch.ones(3).to(x.device),
        lambda x: x.copy_(torch.ones(3)),
        lambda x: torch.cuda.synchronize(),
    ),
)
def test_a_wait_would_be_seen(wait: Callable[[Tensor], object]):
    with recorded(), _FromTheHost(), pytest.raises((Waits, RuntimeError, NotImplementedError)):
        wait(torch.empty(3, device="meta"))
