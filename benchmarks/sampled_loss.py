"""What sampling classes does to a head's loss and gradients, and what it saves: Partial FC.

    python -m benchmarks.sampled_loss reports/published/sampled-loss.json

CosFace over class weights of random directions, of embeddings with a cosine of their own to their
class weight: 0, as a training starts, and one at which the loss is about 1. For each rate, with and
without the correction: the mean loss over draws of classes, and the part of the mean gradient along
that of all classes, over its length. Then a step of training at rate 1 and 0.1: the time, on
however busy a machine, and the peak of live bytes. Prints tables, and writes the record.

Exit codes: 0 written; 2 bad usage; 3 the record can't be written.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from marginbench import CosFaceLoss, PartialFC, RowSGD
from marginbench.loss import Shape

from . import record_programs
from .instruments import machine
from .module_commands import run
from .snapshots.exact.counting import allocations

SCHEMA_VERSION = 1
SHAPE, STEP = Shape(64, 512, 10_000), Shape(128, 128, 1_000_000)
COSINES = (0.0, 0.55)
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
STEP_RATES = (1.0, 0.1)
_DRAWS, _WARMUP, _ROUNDS = 40, 2, 11


@dataclass(frozen=True)
class Bias:
    """``loss`` is the mean over draws and ``deviation`` theirs (standard deviation); ``embeddings``
    and ``class_weights``: of the mean gradient what lies along that of all classes, 1 for all."""

    cosine: float
    rate: float
    corrected: bool
    loss: float
    deviation: float
    embeddings: float
    class_weights: float


@dataclass(frozen=True)
class Step:
    """Forward, backward and the optimizer's step: milliseconds (median and least of the rounds),
    and the peak of live bytes beyond weights and momentum."""

    rate: float
    median_ms: float
    least_ms: float
    peak_bytes: int


def _embeddings(head: CosFaceLoss, labels: Tensor, cosine: float) -> Tensor:
    """Directions with that cosine to their class weight."""
    own_BD = normalize(head.class_weights.detach()[labels])
    other_BD = torch.randn(own_BD.shape)
    other_BD = normalize(other_BD - (other_BD * own_BD).sum(dim=1, keepdim=True) * own_BD)
    return (cosine * own_BD + (1 - cosine**2) ** 0.5 * other_BD).requires_grad_()


def _drawn(module: PartialFC, x_BD: Tensor, labels: Tensor) -> tuple[float, Tensor, Tensor]:
    """The loss of the next draw and its gradients."""
    value = module(x_BD, labels)
    by_x, by_w = torch.autograd.grad(value, [x_BD, module.head.class_weights])
    return float(value.detach()), by_x, by_w.to_dense()


def biases(shape: Shape = SHAPE, draws: int = _DRAWS) -> Iterator[Bias]:
    """Each cosine, rate and correction."""
    for cosine in COSINES:
        torch.manual_seed(0)
        head = CosFaceLoss(shape.dim, shape.classes)
        labels = torch.randint(shape.classes, (shape.batch,))
        x_BD = _embeddings(head, labels, cosine)
        _, *whole = _drawn(PartialFC(head, 1.0), x_BD, labels)
        for rate in RATES:
            for corrected in (False, True) if rate < 1 else (False,):
                module = PartialFC(head, rate, corrected=corrected)
                losses, along = [], [0.0, 0.0]
                for _ in range(draws if rate < 1 else 1):
                    value, *found = _drawn(module, x_BD, labels)
                    losses.append(value)
                    for k, (one, all_of) in enumerate(zip(found, whole, strict=True)):
                        along[k] += float((one * all_of).sum() / all_of.square().sum())
                yield Bias(
                    cosine, rate, corrected, round(statistics.fmean(losses), 4),
                    round(statistics.pstdev(losses), 4),
                    *(round(one / len(losses), 4) for one in along),
                )  # fmt: skip


def steps(shape: Shape = STEP, rounds: int = _ROUNDS) -> Iterator[Step]:
    """A training's step at each rate."""
    torch.manual_seed(0)
    x_BD = torch.randn(shape.batch, shape.dim, requires_grad=True)
    labels = torch.randint(shape.classes, (shape.batch,))
    for rate in STEP_RATES:
        module = PartialFC(CosFaceLoss(shape.dim, shape.classes), rate)
        optimizer = RowSGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

        def once(module: PartialFC = module, optimizer: RowSGD = optimizer) -> None:
            optimizer.zero_grad()
            module(x_BD, labels).backward()
            optimizer.step()

        taken = []
        for _ in range(_WARMUP + rounds):
            began = time.perf_counter()
            once()
            taken.append(1e3 * (time.perf_counter() - began))
        taken = taken[_WARMUP:]
        optimizer.zero_grad()
        peak = allocations(once)["peak_bytes"]
        yield Step(rate, round(statistics.median(taken), 1), round(min(taken), 1), peak)


def facts(found: Sequence[Bias], stepped: Sequence[Step], path: Path) -> dict[str, object]:
    """The record: where, how and of which commit all was measured, and that."""
    return {
        "schema_version": SCHEMA_VERSION,
        "what": "the sampled loss and its gradients by rate, and a step's time and memory",
        "measured": {
            **record_programs.written_by("sampled_loss", path),
            **record_programs.of_tree(),
            "machine": machine.name(),
            "versions": machine.versions(),
            "how": f"CosFace of scale 64 and margin 0.35 in float32, {_DRAWS} draws of {SHAPE}; "
            f"steps: median and least of {_ROUNDS} after {_WARMUP}, of {STEP}",
        },
        "biases": [asdict(one) for one in found],
        "steps": [asdict(one) for one in stepped],
    }


def tables(found: Sequence[Bias], stepped: Sequence[Step]) -> str:
    """In Markdown: a line a cosine and rate, and a line a step."""
    lines = [
        "| target's cosine | rate | loss | corrected | gradient of embeddings | corrected "
        "| of class weights | corrected |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by_key = {(one.cosine, one.rate, one.corrected): one for one in found}
    for one in found:
        if one.corrected:
            continue
        other = by_key.get((one.cosine, one.rate, True), one)
        cells = [f"{one.cosine:g}", f"{one.rate:g}"]
        for name in ("loss", "embeddings", "class_weights"):
            cells += [f"{getattr(of, name):.2f}" for of in (one, other)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| rate | step | live bytes at most, beyond weights and momentum |",
        "|---|---|---|",
    ]
    lines += [
        f"| {one.rate:g} | {one.median_ms:.0f} ms | {one.peak_bytes / 1e6:.0f} MB |"
        for one in stepped
    ]
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    def made(path: Path) -> tuple[dict[str, object], str]:
        found, stepped = list(biases()), list(steps())
        return facts(found, stepped, path), tables(found, stepped)

    return record_programs.record("sampled_loss", __doc__, words, made)


if __name__ == "__main__":
    run(main)
