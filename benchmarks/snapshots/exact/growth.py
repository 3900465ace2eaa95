"""Does memory grow with B x C (a head) or with B x B (all else)? Two differences show it exactly.

A head's peak e at four sizes gives e(2B, 2C) - e(2B, C) - e(B, 2C) + e(B, C): what grows with B
alone or with C alone cancels, and a matrix of one float32 for each row and class leaves its bytes,
4 B C. Elsewhere e(3B) - 2 e(2B) + e(B), with as many rows to a class throughout, leaves 8 B^2 of a
matrix of one float32 for each two rows. Both are reported as a share of such a matrix.

The bound is half a bit for each entry: no matrix fits below it, however packed. What fits below it:
the fused heads' scratch is a 256th of the logits between 8 and 32 MiB, and the tiled heads keep one
number for each row and 512 classes. The sizes are chosen above what would blur it: the tiled heads'
chunks are at their widest, and one is within the bound, should the worst moment be in the forward
pass at one size and in the backward pass at another; the fused heads' scratch is at its smallest;
and there are rows enough for the fused losses over pairs to occupy a GPU without splitting their
sums. A variant's own sizes follow from each of the four as it declares them: a memory of so many
rows to a row of the batch counts as rows do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from marginbench.loss import Shape

METRIC = "growth_share"
BOUND = 1 / 64
_ITEM = 4  # bytes of a float32, which these are measured in

RAN: Mapping[str, Shape] = {
    "head": Shape(64, 16, 32_768),
    "batch": Shape(2048, 16, 512),
    "rows": Shape(2048, 16, 512),
}
RECORDED: Mapping[str, Shape] = {
    "head": Shape(4096, 16, 32_768),
    "batch": Shape(8192, 16, 2048),
    "rows": Shape(8192, 16, 2048),
}


def corners(family: str, at: Shape) -> Sequence[tuple[int, Shape]]:
    """The sizes to measure with the sign or weight of each, in the order of the docstring above."""
    b, d, c = at.batch, at.dim, at.classes
    if family == "head":
        pairs = ((1, 2, 2), (-1, 2, 1), (-1, 1, 2), (1, 1, 1))
        return [(weight, Shape(n * b, d, m * c)) for weight, n, m in pairs]
    return [(weight, Shape(n * b, d, n * c)) for weight, n in ((1, 3), (-2, 2), (1, 1))]


def share(family: str, at: Shape, peak_of: Callable[[Shape], int]) -> float:
    """The growth of the peaks that ``peak_of`` gives, as a share of a float32 B x C or B x B."""
    grown = sum(weight * peak_of(shape) for weight, shape in corners(family, at))
    matrix = at.batch * at.classes if family == "head" else 2 * at.batch**2
    return grown / (matrix * _ITEM)
