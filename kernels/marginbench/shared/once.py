"""A backward pass written by hand is differentiable once: a second derivative raises an error."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch


def differentiable_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a Function's backward so that it runs without a graph and refuses to be in one.

    PyTorch's own once_differentiable refuses only where the gradient from above needs a gradient
    itself. Under a plain ``loss.backward(create_graph=True)`` it doesn't, and a gradient penalty
    would take this gradient for a constant in silence: that raises RuntimeError here.
    """

    @functools.wraps(backward)
    def once(ctx: Any, *upstream: Any) -> Any:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise RuntimeError(
                "create_graph: expected False, this loss is differentiable once; got True "
                '(for second derivatives: implementation="reference")'
            )
        with torch.no_grad():
            return backward(ctx, *upstream)

    return once
