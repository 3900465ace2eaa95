"""What a training is prepared with: settings that are checked and fitted to the data, and the
optimiser."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from marginbench.checks import InputError
from suites.jobs import Settings

from . import memory, sampling
from .datasets import DataError, Images
from .objective import Objective

SAMPLERS = ("auto", "balanced", "shuffled")
AUTOCAST = ("", "bfloat16", "float16")
_COUNTS = (
    "epochs", "dim", "identities_per_batch", "images_per_identity", "mine_every",
    "evaluate_every", "evaluation_images", "threads",
)  # fmt: skip


def fitted(s: Settings, labels: Tensor) -> Settings:
    """With the P x K that the images trained on are enough for, by `sampling.fitting`."""
    p, k = sampling.fitting(labels, s.identities_per_batch, s.images_per_identity)
    return replace(s, identities_per_batch=p, images_per_identity=k)


def check(s: Settings) -> None:
    """Raises InputError for a setting that there is not."""
    for name, known in (("sampler", SAMPLERS), ("autocast", AUTOCAST)):
        if getattr(s, name) not in known:
            raise InputError(name, f"one of {', '.join(map(repr, known))}", repr(getattr(s, name)))
    for name in _COUNTS:
        if getattr(s, name) < 1:
            raise InputError(name, "1 or more", getattr(s, name))


def check_batch(s: Settings, images: Images) -> None:
    """Raises DataError for images so large that one batch of them fills the machine's memory."""
    count, *shape = (int(side) for side in images.shape)
    batch = min(s.batch, count)
    needed, there = 4 * batch * math.prod(shape), memory.machine_bytes()
    if needed > there:
        channels, height, width = shape
        expected = f"a batch that fits into this machine's {there / 2**30:,.0f} GiB of memory"
        got = f"{batch:,} of {channels} x {height:,} x {width:,}: {needed / 2**30:,.0f} GiB"
        raise DataError("images", expected, got)


def optimiser(s: Settings, network: nn.Module, objective: Objective) -> torch.optim.Optimizer:
    """Weights decay; biases, slopes and norms (one number a map) do not.

    One group where nothing decays, and a step for all tensors at once (``foreach``): to the bit
    what one by one gives, and less overhead, which is much of a small network's step.
    """
    parameters = [*network.parameters(), *objective.parameters]
    groups = (
        [{"params": parameters, "weight_decay": 0.0}]
        if s.weight_decay == 0
        else [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": s.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
    )
    if s.optimiser == "adam":
        return torch.optim.Adam(groups, lr=s.learning_rate, foreach=True)
    if s.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=s.learning_rate, momentum=s.momentum, foreach=True)
    raise InputError("optimiser", "one of adam, sgd", repr(s.optimiser))
