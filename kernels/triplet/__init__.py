r"""Triplet loss: an anchor is to be nearer to its positive than to its negative, by a margin.

Distances d are squared Euclidean everywhere. p runs over the positives of an anchor a (its label,
not itself), n over its negatives (another label). The functions take embeddings as they are;
FaceNet puts them on the unit sphere, and so are they drawn.

Rules where the world disagrees: the divisor of a mean is part of a variant's definition; of equal
candidates the one with the lowest index is taken; without a negative beyond the positive,
``semi-hard`` takes the farthest negative, as TensorFlow's well-known implementation does.

pytorch-metric-learning 2.9.0 computes all but ``semi-hard`` and ``mine-semi-hard``: it has no rule
of one nearest semi-hard negative for each pair of anchor and positive. Its semi-hard triplets
include those with d_an = d_ap + margin exactly, whose hinge is zero. ``mine-semi-hard-all`` has no
Triton contender: how long its answer is depends on the data.
"""

from ..loss import (
    Contender,
    Cost,
    Invariant,
    Loss,
    Shape,
    Training,
    Variant,
    standard_contenders,
)

_FACENET = "Schroff, Kalenichenko, Philbin 2015 (FaceNet)"
_HERMANS = "Hermans, Beyer, Leibe 2017 (In defense of the triplet loss)"
_MOTIONS = (
    Invariant("rotating the embeddings does not matter", ".machines.motions:rotation"),
    Invariant("moving all embeddings does not matter", ".machines.motions:translation"),
    Invariant("the order does not matter", ".machines.motions:permutation"),
)
_PEER = "pytorch-metric-learning"
_INDEX_BYTES = 2 * 2**30


def _triplets(shape: Shape) -> int:
    """Valid triplets of a drawn batch, whose identities have B / C samples each."""
    same = max(shape.batch // shape.classes, 1)
    return shape.batch * (same - 1) * (shape.batch - same)


def _positive_pairs(shape: Shape) -> int:
    return shape.batch * (max(shape.batch // shape.classes, 1) - 1)


def _explicit_arguments(batch):
    return {"anchor": batch.embeddings, "positive": batch.second, "negative": batch.third}


def _batch_arguments(batch):
    return {"embeddings": batch.embeddings, "labels": batch.labels}


def _explicit_cost(shape: Shape, itemsize: int) -> Cost:
    n, d = shape.batch, shape.dim
    operands = 3 * n * d * itemsize
    return Cost(
        forward_bytes=operands + 4,
        backward_bytes=2 * operands + 4,
        forward_flops=6 * n * d,
        # Three differences, scaled.
        backward_flops=6 * n * d,
    )


def _all_cost(shape: Shape, itemsize: int) -> Cost:
    """Every triplet takes part; the hinges, O(B^2 log B), are left out of the count."""
    b, d = shape.batch, shape.dim
    operands = b * d * itemsize
    # One inner product an unordered pair; backward makes them again (B x B is never stored) and
    # multiplies the coefficients of all pairs with the embeddings.
    products = b * (b - 1) * d
    return Cost(
        forward_bytes=operands + 8 * b + 4,
        backward_bytes=2 * operands + 8 * b + 4,
        forward_flops=products,
        backward_flops=products + 2 * b * b * d,
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


def _batch_hard_cost(shape: Shape, itemsize: int) -> Cost:
    return _mined_cost(shape, itemsize, shape.batch)


def _semi_hard_cost(shape: Shape, itemsize: int) -> Cost:
    return _mined_cost(shape, itemsize, _positive_pairs(shape))


def _mining_cost(shape: Shape, itemsize: int, index_bytes: int) -> Cost:
    b, d = shape.batch, shape.dim
    return Cost(
        forward_bytes=b * d * itemsize + 8 * b + index_bytes,
        backward_bytes=0,
        forward_flops=b * (b - 1) * d,
        backward_flops=0,
    )


def _peer_limit(shape: Shape, dtype: str) -> str | None:
    """It lists every valid triplet as three int64 indices, by way of a B^3 mask while that has
    fewer than 2^31 elements."""
    if 24 * _triplets(shape) > _INDEX_BYTES:
        return (
            f"would list {_triplets(shape):,} triplets as indices, "
            f"{24 * _triplets(shape) / 2**30:.1f} GiB before any distance is read"
        )
    return None


def _hardest_limit(shape: Shape, dtype: str) -> str | None:
    if shape.batch < 2 * shape.classes or shape.classes == 1:
        return "answers only for anchors that have both a positive and a negative"
    return None


def _square_limit(shape: Shape, dtype: str) -> str | None:
    if shape.batch > 4096:
        return "builds the distances of every anchor to every other row (N x 2N), not 2N of them"
    return None


def _peer(function: str, note: str, limit=None) -> Contender:
    return Contender(
        _PEER,
        f"peers:{function}",
        needs=("package:pytorch_metric_learning",),
        dtypes=("float32", "float64"),
        limit=limit,
        note=note,
    )


_DEFAULTS = "its defaults: unsquared distances of unit embeddings, margin 0.05"
_ALL_EQUATION = r"L = \sum_a \sum_p \sum_n [d_{ap} - d_{an} + m]_+, \quad d_{ij} = \|x_i - x_j\|^2"


def _batch_all(name: str, divisor: str, summary: str, sweep: bool) -> Variant:
    return Variant(
        name=name,
        summary=summary,
        equation=_ALL_EQUATION,
        source=f"{_FACENET}, section 3.1; {_HERMANS}, section 2 (batch all)",
        family="batch",
        arguments=_batch_arguments,
        differentiable=("embeddings",),
        options={"margin": 0.2, "divisor": divisor},
        contenders=(
            *standard_contenders("batch_all"),
            _peer("batch_all", f"all triplets, summed by anchor; {_DEFAULTS}", _peer_limit),
        ),
        cost=_all_cost,
        reference_elements=lambda shape: shape.batch**2 + _triplets(shape),
        unit_embeddings=True,
        sweep=sweep,
        invariants=_MOTIONS,
    )


LOSS = Loss(
    name="triplet",
    title="Triplet loss",
    source=f"{_FACENET}, section 3.1",
    training=Training(variant="semi-hard", source=f"{_FACENET}, section 3.2"),
    variants=(
        Variant(
            name="explicit",
            summary="explicit triplets of squared distances; mean divides by N",
            equation=r"L = \sum_i [\|a_i - p_i\|^2 - \|a_i - n_i\|^2 + m]_+",
            source=f"{_FACENET}, section 3.1",
            family="rows",
            arguments=_explicit_arguments,
            differentiable=("anchor", "positive", "negative"),
            options={"margin": 0.2},
            contenders=(
                *standard_contenders("explicit"),
                _peer("explicit", f"triplets given as indices; {_DEFAULTS}", _square_limit),
            ),
            cost=_explicit_cost,
            reference_elements=lambda shape: shape.batch * shape.dim,
            unit_embeddings=True,
            invariants=_MOTIONS,
        ),
        _batch_all(
            "batch-all",
            "valid",
            "every triplet of a labelled batch; mean divides by the number of valid triplets",
            sweep=True,
        ),
        _batch_all(
            "batch-all-active",
            "active",
            "every triplet of a labelled batch; mean divides by the number with a positive hinge",
            sweep=False,
        ),
        Variant(
            name="batch-hard",
            summary="for each anchor the farthest positive and the nearest negative; mean divides "
            "by the number of anchors that have both",
            equation=r"L = \sum_a \left[\max_p d_{ap} - \min_n d_{an} + m\right]_+",
            source=f"{_HERMANS}, section 2 (batch hard), with squared distances",
            family="batch",
            arguments=_batch_arguments,
            differentiable=("embeddings",),
            options={"margin": 0.2},
            contenders=(
                *standard_contenders("batch_hard"),
                _peer("batch_hard", f"BatchHardMiner; {_DEFAULTS}"),
            ),
            cost=_batch_hard_cost,
            reference_elements=lambda shape: shape.batch**2,
            unit_embeddings=True,
            invariants=_MOTIONS,
        ),
        Variant(
            name="semi-hard",
            summary="for each anchor and positive the nearest negative beyond the positive, else "
            "the farthest negative; mean divides by the pairs whose anchor has a negative",
            equation=r"L = \sum_a \sum_p [d_{ap} - d_{a\,n(a,p)} + m]_+, \quad"
            r" n(a,p) = \arg\min_{n: d_{an} > d_{ap}} d_{an}"
            r" \text{ or, if there is none, } \arg\max_n d_{an}",
            source=f"{_FACENET}, section 3.2; the farthest negative as in TensorFlow's "
            "triplet_semihard_loss",
            family="batch",
            arguments=_batch_arguments,
            differentiable=("embeddings",),
            options={"margin": 0.2},
            contenders=standard_contenders("semi_hard"),
            cost=_semi_hard_cost,
            reference_elements=lambda shape: shape.batch**2 + _positive_pairs(shape) * shape.batch,
            unit_embeddings=True,
            invariants=_MOTIONS,
        ),
        Variant(
            name="semi-hard-all",
            summary="every triplet whose negative lies beyond the positive but within the margin; "
            "mean divides by the number of such triplets",
            equation=r"L = \sum_a \sum_p \sum_{n: d_{ap} < d_{an} < d_{ap} + m}"
            r" (d_{ap} - d_{an} + m)",
            source=f"{_FACENET}, section 3.2",
            family="batch",
            arguments=_batch_arguments,
            differentiable=("embeddings",),
            options={"margin": 0.2},
            contenders=(
                *standard_contenders("semi_hard_all"),
                _peer(
                    "semi_hard_all",
                    f"TripletMarginMiner('semihard'); {_DEFAULTS}",
                    _peer_limit,
                ),
            ),
            cost=_all_cost,
            reference_elements=lambda shape: shape.batch**2 + _triplets(shape),
            unit_embeddings=True,
            invariants=_MOTIONS,
        ),
        Variant(
            name="mine-batch-hard",
            summary="the rule of batch-hard alone: positive (B) and negative (B), -1 where none",
            equation=r"p(a) = \arg\max_p d_{ap}, \quad n(a) = \arg\min_n d_{an}",
            source=f"{_HERMANS}, section 2 (batch hard)",
            family="batch",
            arguments=_batch_arguments,
            output="indices",
            reductions=("mean",),
            contenders=(
                *standard_contenders("mine_batch_hard"),
                _peer("mine_batch_hard", "BatchHardMiner", _hardest_limit),
            ),
            cost=lambda shape, itemsize: _mining_cost(shape, itemsize, 16 * shape.batch),
            reference_elements=lambda shape: shape.batch**2,
            unit_embeddings=True,
        ),
        Variant(
            name="mine-semi-hard",
            summary="the rule of semi-hard alone: anchors, positives, negatives, a row for each "
            "pair of anchor and positive, in row-major order",
            equation=r"n(a,p) = \arg\min_{n: d_{an} > d_{ap}} d_{an}"
            r" \text{ or, if there is none, } \arg\max_n d_{an}",
            source=f"{_FACENET}, section 3.2; the farthest negative as in TensorFlow's "
            "triplet_semihard_loss",
            family="batch",
            arguments=_batch_arguments,
            output="indices",
            reductions=("mean",),
            contenders=standard_contenders("mine_semi_hard"),
            cost=lambda shape, itemsize: _mining_cost(shape, itemsize, 24 * _positive_pairs(shape)),
            reference_elements=lambda shape: shape.batch**2 + _positive_pairs(shape) * shape.batch,
            unit_embeddings=True,
        ),
        Variant(
            name="mine-semi-hard-all",
            summary="all semi-hard triplets: anchors, positives, negatives in lexicographic order",
            equation=r"\{(a, p, n) : d_{ap} < d_{an} < d_{ap} + m\}",
            source=f"{_FACENET}, section 3.2",
            family="batch",
            arguments=_batch_arguments,
            options={"margin": 0.2},
            output="indices",
            reductions=("mean",),
            contenders=(
                *standard_contenders("mine_semi_hard_all", fused=False),
                _peer("mine_semi_hard_all", "TripletMarginMiner('semihard')", _peer_limit),
            ),
            # How many triplets come out depends on the data: the least is none.
            cost=lambda shape, itemsize: _mining_cost(shape, itemsize, 0),
            reference_elements=lambda shape: shape.batch**2 + _triplets(shape),
            unit_embeddings=True,
            excused={"triton": "how long its answer is depends on the data"},
        ),
    ),
)
