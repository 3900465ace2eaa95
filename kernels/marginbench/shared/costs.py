"""Lower bounds on cost that several losses share, as formulas of the shape; no torch."""

from ..loss import Cost, Shape


def all_pairs_cost(shape: Shape, itemsize: int) -> Cost:
    """A loss over all pairs of a batch; what it does with a distance (a hinge, a sort of O(B^2 log
    B)) is left out of the count."""
    b, d = shape.batch, shape.dim
    operands = b * d * itemsize
    # One inner product an unordered pair; backward multiplies the coefficients of all pairs with
    # the embeddings. Without B x B kept the products are recomputed, but that is no lower bound.
    return Cost(
        forward_bytes=operands + 8 * b + 4,
        backward_bytes=2 * operands + 8 * b + 4,
        forward_flops=b * (b - 1) * d,
        backward_flops=2 * b * b * d,
    )


def unit_weights_cost(shape: Shape, itemsize: int, *, cosines: bool = False) -> Cost:
    """A head over class weights of unit length; ``cosines``: over embeddings of unit length too.

    Beside the products: the norms forward; backward, what lies along a row of unit length is taken
    off its gradient.
    """
    b, d, c = shape.batch, shape.dim, shape.classes
    operands = (b * d + c * d) * itemsize
    product = 2 * b * c * d
    return Cost(
        forward_bytes=operands + 8 * b + 4,
        backward_bytes=2 * operands + 8 * b + 4,
        forward_flops=product + 2 * (b + c) * d,
        backward_flops=2 * product + 4 * (c + b * cosines) * d,
    )
