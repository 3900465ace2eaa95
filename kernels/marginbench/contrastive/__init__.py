"""Contrastive loss: identical pairs are pulled together, different ones pushed out to a margin.

pytorch-metric-learning 2.9.0 sums the same hinges unsquared, averages those above zero, and puts
embeddings on the unit sphere first. Its documented extension point, a reducer, squares and halves
them here, so that the peer computes the paper's function.
"""

from ..loss import (
    Contender,
    Cost,
    Invariant,
    Loss,
    Range,
    Shape,
    Training,
    Variant,
    standard_contenders,
)
from ..shared.costs import all_pairs_cost

_PAPER = "Hadsell, Chopra, LeCun 2006"
_TERM = r"\tfrac{1-Y}{2} D^2 + \tfrac{Y}{2} \max(0, m - D)^2"
_PEER_NOTE = (
    "hinges squared and halved by a custom reducer; its defaults are unsquared hinges, the mean of "
    "those above zero, and unit embeddings"
)
_MOTIONS = (
    Invariant("rotating the embeddings does not matter", ".shared.motions:rotation"),
    Invariant("moving all embeddings does not matter", ".shared.motions:translation"),
    Invariant("the order does not matter", ".shared.motions:permutation"),
)


def _pairs_arguments(batch):
    return {
        "embeddings_a": batch.embeddings,
        "embeddings_b": batch.third.where(batch.different[:, None], batch.second),
        "different": batch.different,
    }


def _batch_arguments(batch):
    return {"embeddings": batch.embeddings, "labels": batch.labels}


def _pairs_cost(shape: Shape, itemsize: int) -> Cost:
    n, d = shape.batch, shape.dim
    operands = 2 * n * d * itemsize
    return Cost(
        forward_bytes=operands + n + 4,
        backward_bytes=2 * operands + n + 4,
        forward_flops=3 * n * d,
        # The difference again, scaled, with either sign.
        backward_flops=3 * n * d,
    )


def _square_limit(shape: Shape, dtype: str) -> str | None:
    if shape.batch <= 2:
        return "returns 0 where there is at most one pair of either kind"
    if shape.batch > 4096:
        return "builds the distances of every a to every b (N x N), not only of the N pairs"
    return None


LOSS = Loss(
    name="contrastive",
    title="Contrastive loss",
    source=f"{_PAPER}, equation 4",
    training=Training(
        variant="all-pairs",
        # The paper gives no number; distances are of embeddings of any length.
        search={"margin": Range(0.25, 8.0, log=True)},
    ),
    public={
        "ContrastiveLoss": "modules:ContrastiveLoss",
        "PairContrastiveLoss": "modules:PairContrastiveLoss",
        "functional.contrastive": "functional:contrastive",
        "functional.pair_contrastive": "functional:pair_contrastive",
    },
    variants=(
        Variant(
            name="pairs",
            summary="explicit pairs; D is the Euclidean distance, not squared; mean divides by N",
            equation=rf"L = \sum_i {_TERM}, \quad D = \|a_i - b_i\|_2, \quad"
            r" Y = 1 \text{ for different identities}",
            source=f"{_PAPER}, equation 4",
            public="functional.pair_contrastive",
            family="rows",
            arguments=_pairs_arguments,
            differentiable=("embeddings_a", "embeddings_b"),
            options={"margin": 1.0},
            contenders=(
                *standard_contenders("pairs"),
                Contender(
                    "pytorch-metric-learning",
                    "peers:pairs",
                    needs=("package:pytorch_metric_learning",),
                    dtypes=("float32", "float64"),
                    limit=_square_limit,
                    note=_PEER_NOTE,
                ),
            ),
            cost=_pairs_cost,
            reference_elements=lambda shape: shape.batch * shape.dim,
            invariants=_MOTIONS,
        ),
        Variant(
            name="all-pairs",
            summary="every unordered pair of a labelled batch; mean divides by B(B-1)/2",
            equation=rf"L = \sum_{{i<j}} {_TERM}, \quad D = \|x_i - x_j\|_2, \quad"
            r" Y = [y_i \neq y_j]",
            source=f"{_PAPER}, equation 4, over the pairs of a batch",
            public="functional.contrastive",
            family="batch",
            arguments=_batch_arguments,
            differentiable=("embeddings",),
            options={"margin": 1.0},
            contenders=(
                *standard_contenders("all_pairs"),
                Contender(
                    "pytorch-metric-learning",
                    "peers:all_pairs",
                    needs=("package:pytorch_metric_learning",),
                    dtypes=("float32", "float64"),
                    note=_PEER_NOTE,
                ),
            ),
            cost=all_pairs_cost,
            reference_elements=lambda shape: shape.batch**2,
            invariants=_MOTIONS,
        ),
    ),
)
