"""Trains one network with one objective, the same way whatever the losses in it.

Backbone, optimiser, learning rate, steps and images a step are the settings'; what a loss adds
(its parameters, an update rule, a schedule of its options) follows from its declaration.
Shapes: B batch, D dimension of an embedding, N images.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from suites.jobs import Job
from suites.schema import Metrics

from . import backbones, memory, sampling
from .datasets import Dataset
from .evaluation import Evaluation
from .loader import Loader
from .mining import OfflineMiner
from .objective import Embedded, Objective
from .preparing import check, fitted, optimiser


class Diverged(Exception):
    """Embeddings or a loss that were not finite: at which step, and in which ``epoch``."""

    def __init__(self, what: str, epoch: int) -> None:
        super().__init__(what)
        self.epoch = epoch


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

    All randomness comes from one generator on the CPU, and in one order: equal seeds on one
    machine give equal numbers, bit for bit on the CPU (inside `cpu_threads` with the settings'
    count). `state` and `restore` carry a run over to another process between two epochs.
    """

    def __init__(self, job: Job, dataset: Dataset) -> None:
        check(job.settings)
        self.rows, self.labels = dataset.rows("train"), dataset.labels("train")
        s = self.settings = fitted(job.settings, self.labels)
        self.job, self.dataset, self.device = job, dataset, job.device
        channels, height, width = dataset.images.shape[1:]
        self.image_shape = (int(channels), int(height), int(width))
        self.generator = torch.Generator().manual_seed(job.seed)
        self.network = backbones.build(
            s.backbone, self.image_shape, s.dim, self.generator, last_relu=s.last_relu
        ).to(job.device)
        classes = int(self.labels.max()) + 1
        self.steps = s.epochs * sampling.steps_per_epoch(len(self.labels), s.batch)
        self.objective = Objective(
            job.terms, job.contender, classes, s.dim, self.generator, job.device,
            steps=self.steps, batch=s.batch,
        )  # fmt: skip
        self.optimiser = optimiser(s, self.network, self.objective)
        self.scaler = torch.amp.GradScaler(job.device, enabled=s.autocast == "float16")
        self.loader = Loader(dataset.images, job.device)
        self.evaluation = Evaluation(dataset, s, self.network, self.objective, self.loader)
        self.miner = None
        if self.objective.partners and s.partners != "random":
            self.miner = OfflineMiner(self.labels, s.partners, self.generator)
        self.epoch = self.step = 0
        self.seconds, self.rows_so_far = 0.0, list[Metrics]()

    def epochs(self) -> Iterator[Metrics | None]:
        """The metrics of the untrained network, then those after each epoch, or None after one
        that is not evaluated. After `restore`, only what comes then."""
        if not self.rows_so_far:
            memory.start(self.device)
            beside = dict.fromkeys(("train_loss", *_TIMED))
            if self.objective.classifies:
                beside["train_accuracy"] = None
            beside["train_time_s"] = 0.0
            yield self._evaluated(beside)
        while self.epoch < self.settings.epochs:
            row = self.train_epoch()
            yield self._evaluated(row) if self._is_evaluated(self.epoch) else None

    def _is_evaluated(self, epoch: int) -> bool:
        return epoch == self.settings.epochs or epoch % self.settings.evaluate_every == 0

    def train_epoch(self) -> Metrics:
        """One pass; how it went. ``train_time_s`` is the time trained so far, evaluation left
        out; speed and waiting are this epoch's."""
        began, waited, before = time.perf_counter(), self.loader.waited_s, self.step
        losses, right = 0.0, torch.zeros((), dtype=torch.int64, device=self.device)
        # Logits of their own, which a loss does not hand out: only where somebody looks at them.
        counted = self.objective.classifies and self._is_evaluated(self.epoch + 1)
        for embedded_rows, images in self._steps():
            loss, right_here = self.train_step(embedded_rows, images, counted)
            losses, right = losses + loss, right + right_here
        self.epoch += 1
        seconds = time.perf_counter() - began
        self.seconds += seconds
        steps = self.step - before
        row: Metrics = {
            "train_loss": losses / steps,
            "train_time_s": self.seconds,
            "samples_per_second": steps * self.settings.batch / seconds,
            "data_wait_share": (self.loader.waited_s - waited) / seconds,
            "peak_memory_bytes": memory.peak_bytes(self.device),
        }
        if counted:
            row["train_accuracy"] = int(right) / (steps * self.settings.batch)
        return row

    def _evaluated(self, row: Metrics) -> Metrics:
        row = {"epoch": float(self.epoch), **row, **self.evaluation.row()}
        # The last step of all is followed by no other that would find it out.
        if not self.evaluation.finite:
            raise Diverged(f"embeddings were not finite after epoch {self.epoch}", self.epoch)
        self.rows_so_far.append(row)
        return row

    def _steps(self) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        """An epoch's steps: the rows (B) of the training images, those of their partners where
        the objective takes them with the choice between both, and all their images.

        Everything is drawn before it is loaded: at the epoch's start, partners that are mined
        at their time. So how far the loader is ahead changes nothing.
        """
        batches = list(self._batches())
        every = self.settings.mine_every if self.miner else len(batches)
        while batches:
            # Up to the next step at which the training set is mined.
            count = every - self.step % every if self.miner else len(batches)
            drawn = self._with_partners(batches[:count])
            batches = batches[count:]
            of_all = [self.rows[torch.cat(self._embedded_rows(rows))] for rows in drawn]
            yield from zip(drawn, self.loader.steps(of_all), strict=True)

    def _embedded_rows(self, drawn: tuple[Tensor, ...]) -> list[Tensor]:
        """The step's rows, then those of each partner that the objective takes."""
        place = {"second": 1, "third": 2}
        return [drawn[0], *(drawn[place[name]] for name in self.objective.partners)]

    def _batches(self) -> Iterator[Tensor]:
        """P x K for a loss over the pairs of a batch, else shuffled images, unless set."""
        s = self.settings
        if self.sampler == "balanced":
            return sampling.identity_balanced(
                self.labels, s.identities_per_batch, s.images_per_identity, self.generator
            )
        return sampling.shuffled(len(self.labels), s.batch, self.generator)

    @property
    def sampler(self) -> str:
        if self.settings.sampler != "auto":
            return self.settings.sampler
        return "balanced" if self.objective.labelled_batch else "shuffled"

    def _with_partners(self, batches: list[Tensor]) -> list[tuple[Tensor, ...]]:
        if not self.objective.partners:
            return [(rows,) for rows in batches]
        together = torch.cat(batches)
        if self.miner:
            second, third = self.miner.mine(self._seen_by_the_loss, together)
        else:
            second, third = sampling.partners(self.labels, together, self.generator)
        different = torch.rand(len(together), generator=self.generator) < 0.5
        sizes = [len(rows) for rows in batches]
        return list(
            zip(batches, *(of.split(sizes) for of in (second, third, different)), strict=True)
        )

    def _seen_by_the_loss(self, rows: Tensor) -> Tensor:
        x_ND = self.evaluation.embed(self.rows[rows])
        return self.objective.seen_by_the_loss(x_ND.to(self.device))

    def train_step(
        self, rows: tuple[Tensor, ...], images: Tensor, counted: bool
    ) -> tuple[float, Tensor | int]:
        """One step of the optimiser; the loss before it, and how many of the batch the class
        weights predicted right, where that is counted."""
        progress = self.step / self.steps
        drops = sum(progress >= share for share in self.settings.decay_at)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * self.settings.decay_factor**drops
        embedded = self._embedded(rows, images)
        loss = self.objective(embedded, progress)
        value = float(loss.detach())
        if not math.isfinite(value):
            what = f"the loss was {value} at step {self.step} of {self.steps}"
            raise Diverged(what, self.epoch + 1)
        right: Tensor | int = 0
        if counted:
            logits_BC = self.objective.logits(embedded.x_BD.detach())
            right = (logits_BC.argmax(1) == embedded.labels_B).sum()
        self.optimiser.zero_grad()
        # A batch without an active pair or triplet may give a constant: nothing to learn from it.
        if loss.requires_grad:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimiser)
            self.scaler.update()
        self.objective.step_done()
        self.step += 1
        return value, right

    def _embedded(self, rows: tuple[Tensor, ...], images: Tensor) -> Embedded:
        """One forward pass for the batch and its partners; the loss is taken in float32."""
        half = self.settings.autocast
        dtype = getattr(torch, half or "bfloat16")
        with torch.autocast(self.device, dtype=dtype, enabled=bool(half)):
            x = self.network(images)
        x = x.float()
        if not bool(torch.isfinite(x).all()):
            what = f"embeddings were not finite at step {self.step} of {self.steps}"
            raise Diverged(what, self.epoch + 1)
        labels = self.labels[rows[0]].to(self.device)
        names = self.objective.partners
        if not names:
            return Embedded(x, labels)
        x_BD, *others = x.chunk(1 + len(names))
        by_name = {f"{name}_BD": other for name, other in zip(names, others, strict=True)}
        return Embedded(x_BD, labels, different_B=rows[3].to(self.device), **by_name)

    def state(self) -> dict[str, Any]:
        """All that the rest of the training depends on, between two epochs."""
        return {
            "epoch": self.epoch, "step": self.step, "seconds": self.seconds,
            "rows": self.rows_so_far, "network": self.network.state_dict(),
            "fields": self.objective.state(), "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(), "generator": self.generator.get_state(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.rows_so_far = list(state["rows"])
        self.network.load_state_dict(state["network"])
        self.objective.restore(state["fields"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"])
        memory.start(self.device)

    def description(self) -> dict[str, Any]:
        """Everything that the figures depend on, in plain values."""
        last = (self.steps - 1) / self.steps
        return {
            **asdict(self.settings),
            "decay_at": list(self.settings.decay_at),
            "batch": self.settings.batch,
            "steps": self.steps,
            "sampler": "P x K" if self.sampler == "balanced" else "shuffled",
            "partners": self.settings.partners if self.objective.partners else "none",
            **self.objective.description(last),
            "network_parameters": sum(p.numel() for p in self.network.parameters()),
            "protocol": self._protocol(),
            "dataset_sha256": self.dataset.manifest,
            "dataset_facts": self.dataset.summary,
            "images": {name: len(rows) for name, rows in self.dataset.splits.items()},
            "evaluated_images": self.evaluation.tested(),
            "device": self.device,
        }

    def _protocol(self) -> dict[str, str]:
        used = replace(self.job, settings=self.settings)
        text = self.evaluation.protocol(used, self.dataset.facts, self.steps)
        asked = self.job.settings
        if self.settings != asked:
            p_by_k = f"{asked.identities_per_batch} x {asked.images_per_identity}"
            text["batch"] += (
                f"; P x K = {p_by_k} was asked for, and fitted to the {len(self.labels):,} images "
                f"of {int(self.labels.max()) + 1:,} identities that there are to train on"
            )
        return text


_TIMED = ("train_time_s", "samples_per_second", "data_wait_share", "peak_memory_bytes")
