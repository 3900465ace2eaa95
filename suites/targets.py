"""What the kernels are to reach, as data; whether they do is read from a run's records.

Four kinds of target, each a figure and its bound:

- ``speed``: time of ``against`` over time of ``contender``, in the same rounds; at least ``bound``;
- ``memory``: peak bytes beyond the inputs and the gradients over those of the ``matrix`` that the
  plain algorithm keeps (``BxC`` logits in the inputs' dtype, ``BxB`` distances in float32); below
  ``bound``;
- ``products``: the time that the products alone take at the machine's measured matrix rate, over
  the time taken; at least ``bound``. A kernel that keeps no logits makes four products, for it
  makes them again in backward: those four count;
- ``bandwidth``: bytes that have to be read and written over time and over the machine's measured
  bandwidth; at least ``bound``.

``recorded_bytes`` is what a memory target's contender allocates beside its gradients on a GPU of
132 processors, rounded up to a MiB: counted without one, by a test that records the launches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from marginbench.loss import Shape

Kind = Literal["speed", "memory", "products", "bandwidth"]
MIB = 1 << 20


@dataclass(frozen=True)
class Target:
    group: str
    loss: str
    variant: str
    shape: Shape
    dtype: str
    device: str
    kind: Kind
    bound: float
    contender: str = "triton"
    against: str = ""
    matrix: Literal["", "BxC", "BxB"] = ""
    recorded_bytes: int = 0

    @property
    def case(self) -> str:
        """The id of the case that decides it."""
        parts = ("speed", self.loss, self.variant, str(self.shape), self.dtype, self.device)
        return "/".join((*parts, "drawn", "s0"))

    @property
    def text(self) -> str:
        if self.kind == "speed":
            if self.bound < 1:
                return f"{self.contender}: at most {1 / self.bound:.3g}× the time of {self.against}"
            times = "" if self.bound == 1 else f"{self.bound:g} times "
            return f"{self.contender}: at least {times}as fast as {self.against}"
        if self.kind == "memory":
            if self.matrix == "BxB":
                return f"{self.contender}: no B × B allocation"
            return f"{self.contender}: extra memory under {self.bound:.0%} of the B × C logits"
        of = "bound given by the products" if self.kind == "products" else "memory bandwidth"
        return f"{self.contender}: at least {self.bound:.0%} of the {of}"


HEADS = "Heads over class weights"
PAIRWISE = "All pairs of a batch"
ROWS = "Explicit pairs, triplets, center"
CPU = "On a CPU, without Triton"


def _heads() -> Iterator[Target]:
    few, many = Shape(1024, 512, 100_000), Shape(1024, 512, 1_000_000)
    for loss, variant, mib in (("softmax", "linear", (17, 17)), ("a-softmax", "m4", (18, 21))):
        for shape, share, allocated in zip((few, many), (0.20, 0.01), mib, strict=True):
            case = (HEADS, loss, variant, shape, "bfloat16", "cuda")
            yield Target(*case, "speed", 1.0, against="eager")
            yield Target(*case, "speed", 1.3, against="compiled")
            yield Target(*case, "memory", share, matrix="BxC", recorded_bytes=allocated * MIB)
            yield Target(*case, "products", 0.60)
    for shape in (few, many):
        case = (HEADS, "softmax", "linear", shape, "bfloat16", "cuda")
        yield Target(*case, "speed", 2.0, against="liger-kernel")
        # It has no bias.
        case = (HEADS, "softmax", "no-bias", shape, "bfloat16", "cuda")
        yield Target(*case, "speed", 1.0, against="cut-cross-entropy")
        # The fastest there is: faster than these too.
        for variant in ("linear", "no-bias"):
            case = (HEADS, "softmax", variant, shape, "bfloat16", "cuda")
            yield Target(*case, "speed", 1.0, against="quack-kernels")
            yield Target(*case, "speed", 1.0, against="torch-linear-cross-entropy")


def _pairwise() -> Iterator[Target]:
    shape = Shape(4096, 512, 1024)
    for loss, variant, mib in (
        ("triplet", "batch-hard", 6),
        ("triplet", "semi-hard", 11),
        ("contrastive", "all-pairs", 45),
    ):
        case = (PAIRWISE, loss, variant, shape, "bfloat16", "cuda")
        yield Target(*case, "speed", 3.0, against="eager")
        yield Target(*case, "speed", 1.5, against="compiled")
        yield Target(*case, "memory", 1.0, matrix="BxB", recorded_bytes=mib * MIB)
    # The peer takes no 16-bit inputs; B=1024 is the largest size of the plan that it can list.
    for size in (shape, Shape(1024, 512, 256)):
        case = (PAIRWISE, "triplet", "batch-all", size, "float32", "cuda")
        yield Target(*case, "speed", 20.0, against="pytorch-metric-learning")


def _rows() -> Iterator[Target]:
    """268 MB an operand: beyond every second-level cache."""
    shape = Shape(1_048_576, 128, 1024)
    for loss, variant in (("contrastive", "pairs"), ("triplet", "explicit"), ("center", "term")):
        case = (ROWS, loss, variant, shape, "bfloat16", "cuda")
        yield Target(*case, "bandwidth", 0.85)


def _cpu() -> Iterator[Target]:
    case = (CPU, "softmax", "linear", Shape(512, 128, 100_000), "float32", "cpu")
    yield Target(*case, "memory", 0.05, contender="tiled", matrix="BxC")
    yield Target(*case, "speed", 1 / 1.1, contender="tiled", against="eager")


TARGETS = (*_heads(), *_pairwise(), *_rows(), *_cpu())
