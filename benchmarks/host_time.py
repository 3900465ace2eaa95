"""What a call of a head in Triton costs the host: its launches are counted, and none runs.

    python -m benchmarks.host_time reports/published/host-time.json

Tensors of the CPU stand in for a GPU's, so a machine without one will do; what is checked of values
on a CPU alone is left out, and lengths of embeddings, which torch would compute here, are those of
their first column. What remains is the time of Python and torch: checks, operators,
outputs and the arguments of launches. What Triton and the driver take for each launch comes on top.
Prints a table, and writes the record.

Exit codes: 0 written; 2 bad usage; 3 the record can't be written.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from marginbench import catalogue
from marginbench.inputs import Batch
from marginbench.loss import Loss, Shape, Variant
from marginbench.shared import cosine_heads
from marginbench.shared.launching import recorded
from marginbench.shared.lengths import over_lengths

from . import library, record_programs
from .instruments import machine
from .module_commands import run
from .snapshots.launches import CONTENDER, prepared, zeros

SCHEMA_VERSION = 1
SHAPES = (Shape(1024, 512, 100_000), Shape(1024, 512, 1_000_000))
DTYPE = "bfloat16"
_WARMUP, _ROUNDS = 10, 400


@dataclass(frozen=True)
class Row:
    """Microseconds (medians of the rounds, and the least) and launches of one call, forward and
    backward."""

    loss: str
    variant: str
    classes: int
    forward_us: float
    backward_us: float
    forward_least_us: float
    backward_least_us: float
    forward_launches: int
    backward_launches: int


def measure(shapes: Sequence[Shape] = SHAPES, rounds: int = _ROUNDS) -> Iterator[Row]:
    """Every head that has a Triton contender, at each size; its first variant."""
    for shape in shapes:
        batch = zeros(shape, DTYPE)
        for loss in catalogue.losses():
            for variant in loss.variants[:1]:
                names = {contender.name for contender in variant.contenders}
                if variant.family == "head" and CONTENDER in names:
                    yield _row(loss, variant, batch, rounds)


def _row(loss: Loss, variant: Variant, batch: Batch, rounds: int) -> Row:
    function, tensors, leaves = prepared(loss, variant, batch, DTYPE)
    column = batch.embeddings[:, :1].detach().requires_grad_()

    def lengths(_: Tensor, scale: Tensor | float) -> Tensor:
        return over_lengths(column, scale)

    def once() -> tuple[int, int, int, int]:
        with recorded() as launches:
            began = time.perf_counter_ns()
            value = function(**tensors, **variant.options, reduction="mean")
            between, forward = time.perf_counter_ns(), len(launches)
            torch.autograd.grad(value, [*leaves, column], allow_unused=True)
            ended = time.perf_counter_ns()
        return between - began, ended - between, forward, len(launches) - forward

    collects = gc.isenabled()
    gc.disable()
    try:
        with (
            library.unchecked(),
            mock.patch.object(cosine_heads, "over_lengths", lengths),
        ):
            rows = [once() for _ in range(_WARMUP + rounds)][_WARMUP:]
    finally:
        if collects:
            gc.enable()
    forward_us, backward_us = ([row[k] / 1e3 for row in rows] for k in (0, 1))
    return Row(
        loss.name, variant.name, batch.shape.classes,
        forward_us=round(statistics.median(forward_us), 1),
        backward_us=round(statistics.median(backward_us), 1),
        forward_least_us=round(min(forward_us), 1),
        backward_least_us=round(min(backward_us), 1),
        forward_launches=rows[0][2], backward_launches=rows[0][3],
    )  # fmt: skip


def facts(rows: Sequence[Row], path: Path) -> dict[str, object]:
    """The record: where, how and of which commit the rows were measured, and they."""
    return {
        "schema_version": SCHEMA_VERSION,
        "what": "host time of a call with its launches built and not run, in microseconds",
        "measured": {
            **record_programs.written_by("host_time", path),
            **record_programs.of_tree(),
            "machine": machine.name(),
            "versions": machine.versions(),
            "how": f"median and least of {_ROUNDS} calls after {_WARMUP}, garbage collection off",
            "batch": SHAPES[0].batch,
            "dim": SHAPES[0].dim,
            "dtype": DTYPE,
        },
        "rows": [asdict(row) for row in rows],
    }


def table(rows: Sequence[Row]) -> str:
    """A line a head and size."""
    head = f"{'head':24}{'classes':>10}{'forward':>12}{'backward':>12}"
    lines = [f"{head}{'least':>18}{'launches':>10}"]
    for row in rows:
        launches = f"{row.forward_launches} + {row.backward_launches}"
        least = f"{row.forward_least_us:.0f} + {row.backward_least_us:.0f} us"
        lines.append(
            f"{row.loss + '/' + row.variant:24}{row.classes:>10,}{row.forward_us:>9.0f} us"
            f"{row.backward_us:>9.0f} us{least:>18}{launches:>10}"
        )
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    def made(path: Path) -> tuple[dict[str, object], str]:
        rows = list(measure())
        return facts(rows, path), table(rows)

    return record_programs.record("host_time", __doc__, words, made)


if __name__ == "__main__":
    run(main)
