"""Lower bounds on a triplet variant's cost, and sizes that its peer can't hold, by the shape."""

from ..loss import Cost, Shape

# A call that lists this much takes several seconds on a CPU, and one run makes a dozen.
_INDEX_BYTES = 2**28


def triplets(shape: Shape) -> int:
    """Valid triplets of a drawn batch, whose identities have B / C samples each."""
    same = max(shape.batch // shape.classes, 1)
    return shape.batch * (same - 1) * (shape.batch - same)


def positive_pairs(shape: Shape) -> int:
    return shape.batch * (max(shape.batch // shape.classes, 1) - 1)


def explicit_cost(shape: Shape, itemsize: int) -> Cost:
    n, d = shape.batch, shape.dim
    operands = 3 * n * d * itemsize
    return Cost(
        forward_bytes=operands + 4,
        backward_bytes=2 * operands + 4,
        forward_flops=6 * n * d,
        # Three differences, scaled.
        backward_flops=6 * n * d,
    )


def _mined_cost(shape: Shape, itemsize: int, triplets: int) -> Cost:
    """The distances of all pairs forward; backward only the mined triplets' rows."""
    b, d = shape.batch, shape.dim
    operands = b * d * itemsize
    return Cost(
        forward_bytes=operands + 8 * b + 4,
        backward_bytes=2 * operands + 16 * triplets + 4,
        forward_flops=b * (b - 1) * d,
        backward_flops=min(6 * triplets * d, 2 * b * b * d),
    )


def batch_hard_cost(shape: Shape, itemsize: int) -> Cost:
    return _mined_cost(shape, itemsize, shape.batch)


def semi_hard_cost(shape: Shape, itemsize: int) -> Cost:
    return _mined_cost(shape, itemsize, positive_pairs(shape))


def peer_limit(shape: Shape, dtype: str) -> str | None:
    """It lists every valid triplet as three int64 indices, from a B^3 mask while that has fewer
    than 2^31 elements, else anchor by anchor in Python."""
    count = triplets(shape)
    if 24 * count <= _INDEX_BYTES:
        return None
    listed = (
        f"would list {count:,} triplets as indices, "
        f"{24 * count / 2**30:.2f} GiB before any distance is read "
        f"(at most {_INDEX_BYTES / 2**30:.2f} GiB is allowed)"
    )
    if count >= 2**31:
        return f"cannot run at all: {count:,} triplets pass 2^31; {listed}"
    if shape.batch**3 >= 2**31:
        return f"{listed}; B^3 = {shape.batch**3:,} passes 2^31, so in a loop over the anchors"
    return listed


def hardest_limit(shape: Shape, dtype: str) -> str | None:
    if shape.batch < 2 * shape.classes or shape.classes == 1:
        return "answers only for anchors that have both a positive and a negative"
    return None


def square_limit(shape: Shape, dtype: str) -> str | None:
    if shape.batch > 4096:
        return "builds the distances of every anchor to every other row (N x 2N), not 2N of them"
    return None
