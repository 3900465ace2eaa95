"""Stochastic gradient descent that leaves rows without a gradient as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..checks import check_number

# Rows that are moved together: their copies stay in a cache, and take no memory to speak of.
_AT_A_TIME = 8192


class RowSGD(Optimizer):
    """SGD with momentum and weight decay that touch a row only in steps in which it has a gradient.

    >>> import torch
    >>> from marginbench import PartialFC, RowSGD, SoftmaxLoss
    >>> loss = PartialFC(SoftmaxLoss(dim=8, classes=100), rate=0.1)
    >>> before = loss.head.class_weights.detach().clone()
    >>> optimizer = RowSGD(loss.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    >>> loss(torch.randn(4, 8), torch.tensor([0, 1, 2, 3])).backward()
    >>> optimizer.step()
    >>> (loss.head.class_weights != before).any(dim=1).sum()
    tensor(10)

    The rows of a sparse gradient (`marginbench.PartialFC`, or torch.nn.Embedding with ``sparse``)
    move as `torch.optim.SGD` moves a parameter of these rows alone: g = gradient + weight_decay w,
    v = momentum v + g, w = w - lr v, and v starts at 0. All others keep their bits, and their v. A
    parameter with a dense gradient moves as in `torch.optim.SGD`.

    Arguments:
        params: parameters, or groups of them, each with options of its own.
        lr: the learning rate, at least 0.
        momentum: in [0, 1].
        weight_decay: at least 0.

    Returns:
        An optimizer; ``step()`` returns the loss of a closure, if it is given one.

    Raises:
        InputError: names the argument, what was expected and what came.

    Source: torch.optim.SGD without dampening; rows as torch.optim.SparseAdam takes them.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": check_number("lr", lr, 0),
            "momentum": check_number("momentum", momentum, 0, high=1),
            "weight_decay": check_number("weight_decay", weight_decay, 0),
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the rows that have a gradient.

        >>> import torch
        >>> from marginbench import RowSGD
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> weight.sum().backward()
        >>> RowSGD([weight], lr=0.25).step()
        >>> weight.tolist()
        [0.75, 0.75]
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        if not gradient.is_sparse:
            self._step(parameter, gradient, group)
            return
        rows, gradient = _rows(gradient)
        for some, part in zip(rows.split(_AT_A_TIME), gradient.split(_AT_A_TIME), strict=True):
            self._step(parameter, part, group, some)

    def _step(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any], rows: Tensor | None = None
    ) -> None:
        weights = parameter if rows is None else parameter.index_select(0, rows)
        if group["weight_decay"]:
            gradient = gradient.add(weights, alpha=group["weight_decay"])
        if group["momentum"]:
            state = self.state[parameter]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            buffer = state["momentum_buffer"]
            past = buffer if rows is None else buffer.index_select(0, rows)
            gradient = past.mul_(group["momentum"]).add_(gradient)
            if rows is not None:
                buffer.index_copy_(0, rows, gradient)
        moved = weights.add_(gradient, alpha=-group["lr"])
        if rows is not None:
            parameter.index_copy_(0, rows, moved)


def _rows(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers of a sparse gradient's rows, rising, and the rows."""
    rows = gradient._indices()[0]
    # What torch has accumulated never says that it is coalesced, even where it is; to coalesce it
    # again takes longer than the rest of a step.
    if not bool((rows[1:] > rows[:-1]).all()):
        gradient = gradient.coalesce()
        rows = gradient._indices()[0]
    return rows, gradient._values()
