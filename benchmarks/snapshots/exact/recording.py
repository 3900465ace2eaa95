"""Counts what a Triton contender launches and allocates, without a GPU: its launches are recorded.

The tensors are on the CPU and hold zeros, at which nothing looks, as on a GPU; tiles, splits and
scratch are those of one architecture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from marginbench.inputs import completed
from marginbench.loss import Contender, Loss, Shape, Variant

from ... import library
from .. import launches
from ..launches import zero
from . import counting


def count(
    package: str,
    loss: Loss,
    variant: Variant,
    contender: Contender,
    shape: Shape,
    dtype: str,
    target: str,
) -> dict[str, int]:
    """``launches``, ``peak_bytes`` and ``total_bytes`` of forward and, for a loss, backward with
    reduction mean. ``package`` is the tree that the loss is from. Raises what the contender raises.
    """
    launching = library.shared(package, "launching")
    call = _call(loss, variant, contender, shape, dtype)
    with library.unchecked(), launching.recorded(architecture=target, held=False) as recorded:
        call()  # imports, and fills caches, for all later ones
        recorded.clear()
        bytes_of = counting.allocations(call)
    return {
        "launches": len(recorded),
        "peak_bytes": bytes_of["peak_bytes"],
        "total_bytes": bytes_of["total_bytes"],
    }


def _call(
    loss: Loss, variant: Variant, contender: Contender, shape: Shape, dtype: str
) -> Callable[[], Any]:
    function = loss.resolve(contender.entry)
    batch = completed(variant, _zeros(shape, dtype), zero(dtype))
    tensors = {
        name: tensor if tensor is None else tensor.detach()
        for name, tensor in variant.arguments(batch).items()
    }
    leaves = [tensor for name in variant.differentiable if (tensor := tensors[name]) is not None]
    for leaf in leaves:
        leaf.requires_grad_()
    options = {"reduction": "mean"} if variant.output == "loss" else {}

    def call() -> Any:
        value = function(**tensors, **variant.options, **options)
        return torch.autograd.grad(value, leaves) if leaves else value

    return call


@functools.lru_cache(4)
def _zeros(shape: Shape, dtype: str) -> Any:
    return launches.zeros(shape, dtype)
