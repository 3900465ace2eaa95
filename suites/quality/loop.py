"""Trains one network with one loss, the same way for every loss: the closed division.

Backbone, optimiser, learning rate, steps and images a step are equal for all; what a loss adds
(its parameters, an update rule, a schedule of its options) follows from its declaration.
Shapes: B batch, D dimension of an embedding, N images of a split.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from kernels.loss import Loss

from . import backbones, metrics, sampling
from .datasets import SEEN, Dataset
from .jobs import Row, Settings
from .objective import Objective


class Diverged(Exception):
    """A step whose embeddings or loss were not finite; says which step."""


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """PyTorch on ``count`` CPU threads inside the block, as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Run:
    """The network, the objective and the data of one training, and its loop.

    All randomness comes from one generator on the CPU: equal seeds on one machine give equal
    numbers, bit for bit on the CPU (inside `cpu_threads` with the settings' count).
    """

    def __init__(
        self,
        loss: Loss,
        contender: str,
        dataset: Dataset,
        settings: Settings,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.settings, self.dataset, self.device = settings, dataset, device
        images, self.labels = dataset.split("train")
        self.images = images.to(device)
        self.tests = {
            name: EvaluationSplit(dataset, name)
            for name in ("test", SEEN)
            if name in dataset.splits
        }
        self.generator = torch.Generator().manual_seed(seed)
        self.network = backbones.build(
            settings.backbone, images[0].numel(), settings.dim, self.generator,
            last_relu=settings.last_relu,
        ).to(device)  # fmt: skip
        classes = int(self.labels.max()) + 1
        self.objective = Objective(loss, contender, classes, settings.dim, self.generator, device)
        self.optimiser = torch.optim.Adam(
            [*self.network.parameters(), *self.objective.parameters], lr=settings.learning_rate
        )
        self.steps = settings.epochs * sampling.steps_per_epoch(len(self.labels), settings.batch)
        self.step = 0

    def epochs(self) -> Iterator[Row]:
        """The metrics of the untrained network, then those after each epoch.

        ``train_time_s`` is the time trained so far, evaluation left out.
        """
        seconds = 0.0
        yield {"epoch": 0.0, "train_loss": None, "train_time_s": 0.0, **self.evaluate()}
        for epoch in range(1, self.settings.epochs + 1):
            began = time.perf_counter()
            losses = [self.train_step(rows) for rows in self.batches()]
            seconds += time.perf_counter() - began
            train_loss = sum(losses) / len(losses)
            row = {"epoch": float(epoch), "train_loss": train_loss, "train_time_s": seconds}
            yield {**row, **self.evaluate()}

    def batches(self) -> Iterator[Tensor]:
        """An epoch's batches: P x K for a loss over the pairs of a batch, else shuffled images."""
        s = self.settings
        if self.objective.variant.family == "batch":
            return sampling.identity_balanced(
                self.labels, s.identities_per_batch, s.images_per_identity, self.generator
            )
        return sampling.shuffled(len(self.labels), s.batch, self.generator)

    def train_step(self, rows: Tensor) -> float:
        """One step of the optimiser on the images of ``rows``; the loss before it."""
        progress = self.step / self.steps
        decay = 0.1 if progress >= self.settings.decay_at[0] else 1.0
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * decay
        loss = self.objective(*self._embedded(rows), progress=progress)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise Diverged(f"the loss was {value} at step {self.step} of {self.steps}")
        self.optimiser.zero_grad()
        # A batch without an active pair or triplet may give a constant: nothing to learn from it.
        if loss.requires_grad:
            loss.backward()
            self.optimiser.step()
        self.objective.step_done()
        self.step += 1
        return value

    def _embedded(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Embeddings and labels of the batch, and of its partners where the loss takes them:
        one forward pass for all."""
        labels = self.labels[rows].to(self.device)
        if not self.objective.partners:
            return self._finite(self.network(self.images[rows.to(self.device)])), labels
        second, third = sampling.partners(self.labels, rows, self.generator)
        different = torch.rand(len(rows), generator=self.generator) < 0.5
        images = self.images[torch.cat([rows, second, third]).to(self.device)]
        x_BD, second_BD, third_BD = self._finite(self.network(images)).chunk(3)
        return x_BD, labels, second_BD, third_BD, different.to(self.device)

    def _finite(self, x_BD: Tensor) -> Tensor:
        if not bool(torch.isfinite(x_BD).all()):
            raise Diverged(f"embeddings were not finite at step {self.step} of {self.steps}")
        return x_BD

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (N x D, on the CPU) of images, in one pass."""
        self.network.eval()
        x_ND = self.network(images.to(self.device)).cpu()
        self.network.train()
        return x_ND

    def evaluate(self) -> Row:
        """The metrics on ``test``, and those on ``seen`` with that in front of their names."""
        row: Row = {}
        for name, test in self.tests.items():
            figures = metrics.evaluate(self.embed(test.images), test.labels, test.pairs)
            prefix = "" if name == "test" else f"{name}_"
            row |= {prefix + metric: value for metric, value in figures.items()}
        return row

    def description(self) -> dict[str, Any]:
        """Everything that the figures depend on, in plain values."""
        objective = self.objective
        return {
            **asdict(self.settings),
            "decay_at": list(self.settings.decay_at),
            "division": "closed: one recipe for all losses",
            "optimiser": "Adam",
            "batch": self.settings.batch,
            "steps": self.steps,
            "sampler": "P x K" if objective.variant.family == "batch" else "shuffled",
            "explicit_partners": objective.partners,
            "unit_embeddings": objective.variant.unit_embeddings,
            "trained_beside_network": list(objective.learnt),
            "updated_by_rule": dict(objective.training.updates),
            "options_first": dict(objective.options(0.0)),
            "options_last": dict(objective.options((self.steps - 1) / self.steps)),
            "protocol": "open-set: no identity of test is trained on",
            "dataset_sha256": self.dataset.manifest,
            "images": {name: len(rows) for name, rows in self.dataset.splits.items()},
            "verification": f"cosine, {len(self.tests['test'].pairs.same)} balanced pairs, "
            f"{metrics.FOLDS} folds, threshold from the other folds",
            "device": self.device,
        }


class EvaluationSplit:
    """A split to evaluate on: images, their identities (as the dataset names them, and numbered
    from 0 as labels) and the verification pairs that are asked of it."""

    def __init__(self, dataset: Dataset, split: str) -> None:
        self.images, self.labels = dataset.split(split)
        self.identities = dataset.identities[dataset.splits[split]]
        self.pairs = metrics.verification_pairs(self.labels)
