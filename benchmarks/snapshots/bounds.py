"""What bounds each kernel of linear + log-sum-exp on each GPU: counts over the published rates.

What a call does at least follows from its sizes, from the tiles that its kernels were compiled for
and from the least work of the loss; how many instructions a tile takes, from the pins. Each count,
over the rate that `instruments.gpus` has of a card, is a time that the kernel cannot be
faster than; but issue slots are near it only, since the pins do not say which instructions stand
outside the loop over tiles. Nothing here was measured, and none of it predicts a time::

    case = Case(Shape(1024, 512, 100_000), "bfloat16", cost, bias=True)
    [(one.kernel, one.largest) for one in bounds(rows, "sm_90", case)]

Needs neither torch nor triton: the launcher's arithmetic stands here again, and a test holds it
against what is launched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from marginbench.loss import Cost, Shape

from ..instruments import gpus
from . import pins

ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}
PRODUCTS, L2, DRAM, EXPONENTIALS, ISSUE = (
    "products", "L2 bytes", "DRAM bytes", "exponentials", "issue slots",
)  # fmt: skip
NAMES = (PRODUCTS, L2, DRAM, EXPONENTIALS, ISSUE)
# The launcher's, `marginbench.shared.linear_lse_tiles` and `linear_lse_gradients`.
_SCRATCH_BYTES, _SLOTS, _WAVES, _PROGRAMS = (8 << 20, 32 << 20), 3, 4, 2
Words = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """A call, forward and backward; ``cost`` is the least of its loss there."""

    shape: Shape
    dtype: str
    cost: Cost
    bias: bool

    @property
    def itemsize(self) -> int:
        return ITEMSIZE[self.dtype]


@dataclass(frozen=True)
class Work:
    """What a kernel does in one launch. ``operations``: of matrix products. ``l2_bytes``: read by
    all programs, nothing of it from an L1 cache. ``dram_bytes``: inputs read once, no cache being
    warm, and outputs written once. ``tiles``: how often the whole of its code is run, over all
    programs. ``uneven``: how much more than a fair share the busiest processor does."""

    operations: float
    l2_bytes: float
    dram_bytes: float
    exponentials: float
    tiles: float
    programs: int
    uneven: float


@dataclass(frozen=True)
class Bounds:
    """``seconds`` by name, None where no rate is published; ``warps`` that a processor holds, and
    ``processors`` that have something to do."""

    kernel: str
    target: str
    work: Work
    seconds: Mapping[str, float | None]
    warps: int
    processors: int

    @property
    def largest(self) -> str:
        """The name of the longest of those that are known."""
        known = {name: time for name, time in self.seconds.items() if time is not None}
        return max(known, key=lambda name: known[name])

    @property
    def least_s(self) -> float:
        return self.seconds[self.largest] or 0.0

    @property
    def l2_bytes_per_s(self) -> float:
        """What the L2 cache has to give, not to be the largest bound itself."""
        return self.work.l2_bytes / self.least_s


def bounds(rows: Sequence[pins.Row], target: str, case: Case) -> list[Bounds]:
    """Of each kernel in a loss's pinned ``rows`` for the target, in the order of a call; of several
    tiles, the one that reads least from the L2 cache."""
    found = []
    for kernel, count in _COUNTS.items():
        fitting = [row for row in rows if row["kernel"] == kernel and _fits(row, target, case)]
        counted = [(count(_words(row), case, gpus.TARGETS[target].processors), row)
                   for row in fitting]  # fmt: skip
        if counted:
            work, row = min(
                counted, key=lambda one: (one[0].l2_bytes, one[1]["instructions"], pins.key(one[1]))
            )
            found.append(_bounds(row, work, target, case))
    return found


def _bounds(row: pins.Row, work: Work, target: str, case: Case) -> Bounds:
    sheet, processors = gpus.TARGETS[target].sheet, gpus.TARGETS[target].processors
    clock = sheet.clock_hz(processors)
    warps = int(_words(row).get("num_warps", 4))  # Triton's own default

    def clocks(amount: float, each: int | None) -> float | None:
        return amount / (each * clock) if each else None

    # What only a processor with a program can do takes longer where they have unequal shares.
    busiest = work.uneven / processors
    seconds = {
        PRODUCTS: work.operations * work.uneven / sheet.card.flops_per_s[case.dtype],
        L2: clocks(work.l2_bytes, sheet.l2_bytes),
        DRAM: work.dram_bytes / sheet.card.bytes_per_s,
        EXPONENTIALS: clocks(work.exponentials * busiest, sheet.exponentials),
        ISSUE: clocks(row["instructions"] * warps * work.tiles * busiest, sheet.issued),
    }
    return Bounds(row["kernel"], target, work, seconds, row["warps"],
                  min(work.programs, processors))  # fmt: skip


def _words(row: pins.Row) -> Words:
    return dict(word.split("=", 1) for word in row["arguments"].split())


def _fits(row: pins.Row, target: str, case: Case) -> bool:
    """Whether it is compiled for such a call: its dtype, aligned rows, and a bias or none."""
    words = _words(row)
    operand = words.get("x_ptr", words.get("w_ptr", case.dtype))
    return (
        row["target"] == target
        and "error" not in row
        and operand == case.dtype
        and words.get("D", "16") == "16"
        and words.get("HALF", str(case.dtype == "float16")) == str(case.dtype == "float16")
        and ("bias_ptr" not in words or (words["bias_ptr"] != "None") == case.bias)
    )


def _blocks(length: int, block: int) -> int:
    return -(-length // block)


def _uneven(busiest: float, whole: float, processors: int) -> float:
    """``busiest`` of the ``whole`` are one processor's."""
    return max(1.0, busiest * processors / whole)


def splits_of_stream(words: Words, shape: Shape, processors: int) -> tuple[int, int, int]:
    """Blocks of rows, blocks of classes that a program owns, and how many splits."""
    row_blocks = _blocks(shape.batch, int(words["BLOCK_B"]))
    class_blocks = _blocks(shape.classes, int(words["BLOCK_C"]))
    each = _blocks(class_blocks, _blocks(_WAVES * processors, row_blocks))
    return row_blocks, each, _blocks(class_blocks, each)


def _stream(words: Words, case: Case, processors: int) -> Work:
    B, D, C = case.shape.batch, case.shape.dim, case.shape.classes
    row_blocks, each, splits = splits_of_stream(words, case.shape, processors)
    class_blocks = _blocks(C, int(words["BLOCK_C"]))
    tiles = row_blocks * class_blocks
    # The last split may be shorter: only whole ones are sure to be somebody's.
    busiest = _blocks(row_blocks * (class_blocks // each), processors) * each
    return Work(
        operations=case.cost.forward_flops,
        l2_bytes=(class_blocks * B + row_blocks * C) * D * case.itemsize,
        dram_bytes=case.cost.forward_bytes,
        exponentials=B * C,
        tiles=tiles,
        programs=row_blocks * splits,
        uneven=_uneven(busiest, tiles, processors),
    )


def _tile(words: Words) -> dict[str, int]:
    return {name: int(words[name]) for name in words if name.startswith(("LOGITS_", "DX_", "DW_"))}


@dataclass(frozen=True)
class Sharing:
    """How `gradients` cuts up the backward pass."""

    span: int
    ranges: int
    splits: int
    coefficient_items: int
    dx_items: int
    dw_items: int


def sharing(words: Words, case: Case, processors: int) -> Sharing:
    """Of its pinned tiles, for a call that wants every gradient."""
    B, D, C = case.shape.batch, case.shape.dim, case.shape.classes
    tile = _tile(words)
    unit = max(tile["LOGITS_C"], tile["DX_C"], tile["DW_C"])
    low, high = _SCRATCH_BYTES
    budget = min(max(B * C * case.itemsize // 256, low), high)
    affordable = budget // (_SLOTS * B * case.itemsize) // unit
    span = unit * min(max(affordable, 1), _blocks(C, unit))
    tiles_BD = _blocks(B, tile["DX_B"]) * _blocks(D, tile["DX_D"])
    depths = _blocks(span, tile["DX_C"])
    splits = _blocks(depths, _blocks(depths, max(1, processors // tiles_BD)))
    return Sharing(
        span, _blocks(C, span), splits,
        _blocks(B, tile["LOGITS_B"]) * _blocks(span, tile["LOGITS_C"]), tiles_BD * splits,
        _blocks(span, tile["DW_C"]) * _blocks(D, tile["DW_D"]),
    )  # fmt: skip


def _gradients(words: Words, case: Case, processors: int) -> Work:
    """Three kinds of items in one code: the rarest kind is how often all of it is run at least."""
    B, D, C = case.shape.batch, case.shape.dim, case.shape.classes
    share = sharing(words, case, processors)
    tile = _tile(words)
    x, w, coefficients = (size * case.itemsize for size in (B * D, C * D, B * C))
    partial = share.splits * B * D * 4 * (share.ranges - 1)
    read = (
        _blocks(C, tile["LOGITS_C"]) * x + _blocks(B, tile["LOGITS_B"]) * w
        + _blocks(D, tile["DX_D"]) * coefficients + _blocks(B, tile["DX_B"]) * w + partial
        + _blocks(D, tile["DW_D"]) * coefficients + _blocks(C, tile["DW_C"]) * x
    )  # fmt: skip
    rarest = min(share.coefficient_items, share.dx_items, share.dw_items)
    items = (share.ranges + 1) * (share.coefficient_items + share.dx_items + share.dw_items)
    return Work(
        # The logits are made again.
        operations=case.cost.forward_flops + case.cost.backward_flops,
        l2_bytes=read,
        # All but dX, which another kernel writes.
        dram_bytes=case.cost.backward_bytes - x,
        exponentials=B * C,
        # Of the last range only a part may be there.
        tiles=max(share.ranges - 1, 1) * rarest,
        programs=min(items, _PROGRAMS * processors),
        # By a ticket: nobody has much more than others.
        uneven=max(1.0, processors / items),
    )


def _grid(case: Case, block: int, length: int, processors: int) -> tuple[int, float]:
    """Programs of a kernel that has one a block, and how uneven their shares are."""
    programs = _blocks(length, block)
    return programs, _uneven(_blocks(programs, processors), programs, processors)


def _rows_of_terms(words: Words, case: Case, processors: int) -> Work:
    """Reads each row's embedding and class weights; its parts of the sums are left out."""
    B, D = case.shape.batch, case.shape.dim
    block = int(words["BLOCK_B"])
    programs, uneven = _grid(case, block, B, processors)
    # A plain target is the diagonal of a product of rows with their own classes.
    plain = words["MARGIN_FUNCTION"] == "None"
    read = 2 * B * D * case.itemsize
    return Work(2 * B * block * D if plain else 0, read, 0, B, programs, programs, uneven)


def _largest_factor(words: Words, case: Case, processors: int) -> Work:
    return Work(0, 4 * case.shape.batch, 0, 0, 1, 1, processors)


def _embedding_gradient(words: Words, case: Case, processors: int) -> Work:
    """Reads x and at least one partial sum; writes dX."""
    B, D = case.shape.batch, case.shape.dim
    programs, uneven = _grid(case, int(words["BLOCK_B"]), B, processors)
    read = B * D * (4 + case.itemsize)
    return Work(0, read, B * D * case.itemsize, 0, programs, programs, uneven)


def _own_weight_gradient(words: Words, case: Case, processors: int) -> Work:
    """A program a row, of which those that begin a class do the work: at least one."""
    read = case.shape.batch * case.shape.dim * case.itemsize
    return Work(0, read, 0, 0, 1, case.shape.batch, 1)


def _inverse_lengths(words: Words, case: Case, processors: int) -> Work:
    C, D = case.shape.classes, case.shape.dim
    programs, uneven = _grid(case, int(words["BLOCK_C"]), C, processors)
    read = C * D * case.itemsize
    return Work(0, read, read + 4 * C, 0, programs, programs, uneven)


# In the order of a call.
_COUNTS: Mapping[str, Callable[[Words, Case, int], Work]] = {
    "shared.linear_lse_forward.inverse_lengths": _inverse_lengths,
    "shared.linear_lse_forward.stream": _stream,
    "shared.linear_lse_forward.rows_of_terms": _rows_of_terms,
    "shared.linear_lse_backward.largest_factor": _largest_factor,
    "shared.linear_lse_backward.gradients": _gradients,
    "shared.linear_lse_targets.embedding_gradient": _embedding_gradient,
    "shared.linear_lse_targets.own_weight_gradient": _own_weight_gradient,
}
