"""A loss from the catalogue as something to train with: its parameters, its call, its updates.

Nothing here knows a loss by name. What is learnt beside the network follows from the declaration:
a field of the batch (class weights, bias, centers) is a parameter if a differentiable argument is
made from it, and is replaced after each step if `Training.updates` names a variant for it.

Shapes: B batch, D dimension of an embedding, C identities trained on.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.drawing import Batch, random_batch
from kernels.loss import Contender, Loss, Shape, Training, Variant

LEARNABLE = ("class_weights", "bias", "centers")


class NotRun(Exception):
    """Why a training can't be done here; its text goes into the result as the reason."""


def recipe(loss: Loss) -> Training:
    """What the loss declares; else its first variant over class weights or a labelled batch, and
    failing that its first with a loss at all. Raises NotRun if it has none."""
    if loss.training is not None:
        return loss.training
    trainable = [v for v in loss.variants if v.output == "loss"]
    preferred = [v for v in trainable if v.family in ("head", "batch")]
    if not trainable:
        raise NotRun("no variant of it is a loss")
    return Training(variant=(preferred or trainable)[0].name)


def why_not(contender: Contender, device: str) -> str | None:
    """What the contender lacks on this machine and device, or None."""
    if "cuda" in contender.needs and device != "cuda":
        return "needs CUDA"
    if device not in contender.devices:
        return f"needs one of the devices {', '.join(contender.devices)}; got {device}"
    if "float32" not in contender.dtypes:
        return "does not take float32"
    packages = [need.removeprefix("package:") for need in contender.needs if ":" in need]
    packages += ["triton"] * ("triton" in contender.needs)
    for package in packages:
        if importlib.util.find_spec(package) is None:
            return f"needs the package {package}"
    if "compiler" in contender.needs and device == "cpu" and not (_has("g++") or _has("clang++")):
        return "needs a C++ compiler"
    return None


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _made_from(variant: Variant, field: str) -> set[str]:
    """The arguments that change with a field of the batch: found by following gradients."""
    batch = random_batch(Shape(4, 3, 2), seed=0)
    leaf = getattr(batch, field).clone().requires_grad_()
    arguments = variant.arguments(dataclasses.replace(batch, **{field: leaf}))
    return {k for k, v in arguments.items() if isinstance(v, Tensor) and v.requires_grad}


def learnt_fields(variant: Variant) -> tuple[str, ...]:
    """The fields of the batch that are trained by gradient together with the network."""
    return tuple(f for f in LEARNABLE if _made_from(variant, f) & set(variant.differentiable))


def needs_partners(variant: Variant) -> bool:
    """Whether it takes explicit pairs or triplets, and not the labelled batch alone."""
    return bool(_made_from(variant, "second") or _made_from(variant, "third"))


class Objective:
    """``objective(x, labels, ..., progress=...)`` is the mean loss; ``objective.step_done()``
    follows the optimiser's step. ``parameters`` holds what the optimiser trains beside the network.

    Class weights start normal with variance 1 / D, bias and centers at zero.
    """

    def __init__(
        self,
        loss: Loss,
        contender: str,
        classes: int,
        dim: int,
        generator: torch.Generator,
        device: str = "cpu",
    ) -> None:
        self.training = recipe(loss)
        self.variant = loss.variant(self.training.variant)
        self._function = _callable(loss, self.variant, contender, device)
        self._updates = {
            field: (loss.variant(name), _updater(loss, loss.variant(name), contender, device))
            for field, name in self.training.updates.items()
        }
        self.partners = needs_partners(self.variant)
        weights_CD = torch.randn(classes, dim, generator=generator) / dim**0.5
        self.fields = {
            "class_weights": weights_CD.to(device),
            "bias": torch.zeros(classes, device=device),
            "centers": torch.zeros(classes, dim, device=device),
        }
        self.learnt = learnt_fields(self.variant)
        for field in self.learnt:
            self.fields[field].requires_grad_()
        self._last: Batch | None = None

    @property
    def parameters(self) -> list[Tensor]:
        return [self.fields[field] for field in self.learnt]

    def options(self, progress: float) -> Mapping[str, Any]:
        """The variant's options when ``progress`` (0 to 1) of the steps are done."""
        schedule = self.training.schedule
        return {**self.variant.options, **(schedule(progress) if schedule else {})}

    def __call__(
        self,
        x_BD: Tensor,
        labels_B: Tensor,
        second_BD: Tensor | None = None,
        third_BD: Tensor | None = None,
        different_B: Tensor | None = None,
        *,
        progress: float,
    ) -> Tensor:
        """The mean loss of embeddings as the network gives them (put on the unit sphere here
        where the variant asks). Partners are passed where ``partners`` says so."""
        unit = F.normalize if self.variant.unit_embeddings else lambda x: x
        x_BD = unit(x_BD)
        batch = Batch(
            embeddings=x_BD,
            labels=labels_B,
            second=x_BD if second_BD is None else unit(second_BD),
            third=x_BD if third_BD is None else unit(third_BD),
            different=torch.zeros_like(labels_B, dtype=torch.bool)
            if different_B is None
            else different_B,
            **self.fields,
        )
        self._last = batch
        tensors = {
            name: tensor.detach()
            if isinstance(tensor, Tensor) and name not in self.variant.differentiable
            else tensor
            for name, tensor in self.variant.arguments(batch).items()
        }
        return self._function(**tensors, **self.options(progress), reduction="mean")

    @torch.no_grad()
    def step_done(self) -> None:
        """Replaces the fields that follow a rule of their own, from the step's embeddings."""
        for field, (variant, update) in self._updates.items():
            assert self._last is not None, "step_done() follows a call"
            arguments = variant.arguments(dataclasses.replace(self._last, **self.fields))
            tensors = {k: v.detach() for k, v in arguments.items() if v is not None}
            self.fields[field] = update(**tensors, **variant.options)
        self._last = None


def _callable(loss: Loss, variant: Variant, name: str, device: str) -> Callable[..., Any]:
    try:
        contender = variant.contender(name)
    except KeyError as error:
        raise NotRun(str(error.args[0])) from None
    reason = why_not(contender, device)
    if reason:
        raise NotRun(reason)
    function = loss.resolve(contender.entry)
    return torch.compile(function) if contender.compiled else function


def _updater(loss: Loss, variant: Variant, name: str, device: str) -> Callable[..., Any]:
    """The same contender's update rule; eager's where it has none of its own."""
    known = {contender.name for contender in variant.contenders}
    return _callable(loss, variant, name if name in known else "eager", device)
