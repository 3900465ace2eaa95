"""The library's modules and a batch for each, found by what the losses declare."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import marginbench
from marginbench import catalogue
from marginbench.loss import Loss
from marginbench.shared.modules import Head

DIM, CLASSES, ROWS = 16, 7, 24


@dataclass(frozen=True)
class Case:
    """``make(**options)`` makes the module; ``arguments(rows, seed)`` what forward takes, the first
    of them the embeddings; ``loss`` is what declares it."""

    name: str
    make: Callable[..., nn.Module]
    arguments: Callable[[int, int], tuple[Tensor, ...]]
    loss: Loss

    @property
    def is_head(self) -> bool:
        return isinstance(self.make(), Head)

    @property
    def surrogate_gradient(self) -> str:
        """What its gradient is where that is not the derivative: as declared of the variant that
        has the options which the module starts with."""
        made = self.make()
        declared = (
            variant.surrogate_gradient
            for variant in self.loss.variants
            if all(getattr(made, name, None) == of for name, of in variant.options.items())
        )
        return next(filter(None, declared), "")


def labelled(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(rows, DIM, generator=generator)
    return x_BD, torch.randint(CLASSES, (rows,), generator=generator)


def leaf(tensor: Tensor) -> Tensor:
    return tensor.clone().requires_grad_()


def value_and_gradients(
    module: nn.Module, first: Tensor, *rest: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """The loss, and the gradients of the embeddings and of the module's parameters."""
    x = leaf(first)
    value = module(x, *rest)
    value.sum().backward()
    gradients = [x.grad, *(one.grad for one in module.parameters())]
    module.zero_grad()
    return value.detach(), gradients


def _arguments(made: type[nn.Module]) -> Callable[[int, int], tuple[Tensor, ...]]:
    """What the module's forward requires, by the names of its arguments."""
    required = [
        name
        for name, argument in inspect.signature(made.forward).parameters.items()
        if name != "self" and argument.default is argument.empty
    ]
    if required == ["embeddings", "labels"]:
        return labelled

    def drawn(rows: int, seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        return tuple(_drawn(name, rows, generator) for name in required)

    return drawn


def _drawn(name: str, rows: int, generator: torch.Generator) -> Tensor:
    if name == "labels":
        return torch.randint(CLASSES, (rows,), generator=generator)
    if name == "different":
        return torch.rand(rows, generator=generator) < 0.5
    return torch.randn(rows, DIM, generator=generator)


def _cases() -> list[Case]:
    found = []
    for name, (loss, _) in catalogue.public().items():
        made = getattr(marginbench, name)
        if not (isinstance(made, type) and issubclass(made, nn.Module)):
            continue
        sized = {"dim", "classes"} <= set(inspect.signature(made).parameters)

        def make(*, made=made, sized=sized, **options: Any) -> nn.Module:
            module = made(DIM, CLASSES, **options) if sized else made(**options)
            return module.eval() if getattr(made, "differs_in_training", False) else module

        found.append(Case(name, make, _arguments(made), loss))
    rules = ("batch-all", "batch-all-active", "batch-hard", "semi-hard-all")
    return found + [
        Case(
            f"TripletLoss-{rule}", functools.partial(marginbench.TripletLoss, rule), labelled,
            catalogue.get("triplet"),
        )
        for rule in rules
    ]  # fmt: skip


CASES = _cases()
HEADS = [case for case in CASES if case.is_head]
OTHERS = [case for case in CASES if not case.is_head]
