r"""Triplet loss: an anchor should be nearer to its positive than to its negative, by a margin.

Distances d are squared Euclidean everywhere. p runs over the positives of an anchor a (its label,
not itself), n over its negatives (another label). The functions take embeddings as they are;
FaceNet puts them on the unit sphere, and so do the suite's inputs.

Conventions where implementations differ: the divisor of a mean is part of a variant's definition;
ties go to the lowest index; without a negative beyond the positive,
``semi-hard`` takes the farthest negative, as TensorFlow's well-known implementation does.

pytorch-metric-learning 2.9.0 computes all but ``semi-hard`` and ``mine-semi-hard``: it has no rule
of one nearest semi-hard negative for each pair of anchor and positive. Its semi-hard triplets
include those with d_an = d_ap + margin exactly, whose hinge is zero. ``mine-semi-hard-all`` has no
Triton contender: how long its answer is depends on the data.
"""

from ..loss import Loss, Range, Training, Variant, standard_contenders
from ..shared.costs import all_pairs_cost
from .costs import (
    batch_hard_cost,
    explicit_cost,
    hardest_limit,
    peer_limit,
    positive_pairs,
    semi_hard_cost,
    square_limit,
    triplets,
)
from .variants import (
    ALL_KEPT,
    DEFAULTS,
    FACENET,
    HERMANS,
    MOTIONS,
    TIES,
    all_triplets,
    batch_arguments,
    explicit_arguments,
    mining_rule,
    peer,
)

LOSS = Loss(
    name="triplet",
    title="Triplet loss",
    source=f"{FACENET}, section 3.1",
    training=Training(
        variant="semi-hard",
        source=f"{FACENET}, section 3.2",
        # Squared distances on the unit sphere lie between 0 and 4.
        search={"margin": Range(0.05, 1.0, log=True)},
    ),
    public={
        "TripletLoss": "modules:TripletLoss",
        "ExplicitTripletLoss": "modules:ExplicitTripletLoss",
        "functional.triplet": "functional:triplet",
        "functional.explicit_triplet": "functional:explicit_triplet",
        "miners.BatchHardMiner": "miners:BatchHardMiner",
        "miners.SemiHardMiner": "miners:SemiHardMiner",
        "miners.AllSemiHardMiner": "miners:AllSemiHardMiner",
    },
    variants=(
        Variant(
            name="explicit",
            summary="explicit triplets of squared distances; mean divides by N",
            equation=r"L = \sum_i [\|a_i - p_i\|^2 - \|a_i - n_i\|^2 + m]_+",
            source=f"{FACENET}, section 3.1",
            public="functional.explicit_triplet",
            family="rows",
            arguments=explicit_arguments,
            differentiable=("anchor", "positive", "negative"),
            options={"margin": 0.2},
            contenders=(
                *standard_contenders("explicit"),
                peer("explicit", f"triplets given as indices; {DEFAULTS}", square_limit),
            ),
            cost=explicit_cost,
            reference_elements=lambda shape: shape.batch * shape.dim,
            unit_embeddings=True,
            selection="selection:explicit",
            invariants=MOTIONS,
        ),
        all_triplets(
            "batch-all",
            "valid",
            "every triplet of a labelled batch; mean divides by the number of valid triplets",
            sweep=True,
        ),
        all_triplets(
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
            source=f"{HERMANS}, section 2 (batch hard), with squared distances",
            public="functional.triplet",
            public_options={"mining": "batch-hard", "margin": 0.2},
            family="batch",
            arguments=batch_arguments,
            differentiable=("embeddings",),
            options={"margin": 0.2},
            contenders=(
                *standard_contenders("batch_hard"),
                peer("batch_hard", f"BatchHardMiner; {DEFAULTS}"),
            ),
            cost=batch_hard_cost,
            reference_elements=lambda shape: shape.batch**2,
            unit_embeddings=True,
            selection="selection:batch_hard",
            invariants=MOTIONS,
        ),
        Variant(
            name="semi-hard",
            summary="for each anchor and positive the nearest negative beyond the positive, else "
            "the farthest negative; mean divides by the pairs whose anchor has a negative",
            equation=r"L = \sum_a \sum_p [d_{ap} - d_{a\,n(a,p)} + m]_+, \quad"
            r" n(a,p) = \arg\min_{n: d_{an} > d_{ap}} d_{an}"
            r" \text{ or, if there is none, } \arg\max_n d_{an}",
            source=f"{FACENET}, section 3.2; the farthest negative as in TensorFlow's "
            "triplet_semihard_loss",
            public="functional.triplet",
            public_options={"mining": "semi-hard", "margin": 0.2},
            family="batch",
            arguments=batch_arguments,
            differentiable=("embeddings",),
            options={"margin": 0.2},
            contenders=standard_contenders("semi_hard"),
            cost=semi_hard_cost,
            reference_elements=lambda shape: shape.batch**2 + positive_pairs(shape) * shape.batch,
            unit_embeddings=True,
            selection="selection:semi_hard",
            invariants=MOTIONS,
            version=TIES,
        ),
        Variant(
            name="semi-hard-all",
            summary="every triplet whose negative lies beyond the positive but within the margin; "
            "mean divides by the number of such triplets",
            equation=r"L = \sum_a \sum_p \sum_{n: d_{ap} < d_{an} < d_{ap} + m}"
            r" (d_{ap} - d_{an} + m)",
            source=f"{FACENET}, section 3.2",
            public="functional.triplet",
            public_options={"mining": "semi-hard-all", "margin": 0.2},
            family="batch",
            arguments=batch_arguments,
            differentiable=("embeddings",),
            options={"margin": 0.2},
            contenders=(
                *standard_contenders("semi_hard_all", fused_quadratic=ALL_KEPT),
                peer(
                    "semi_hard_all",
                    f"TripletMarginMiner('semihard'); {DEFAULTS}",
                    peer_limit,
                ),
            ),
            cost=all_pairs_cost,
            reference_elements=lambda shape: shape.batch**2 + triplets(shape),
            unit_embeddings=True,
            selection="selection:semi_hard_all",
            invariants=MOTIONS,
            version=TIES,
        ),
        mining_rule(
            "mine-batch-hard",
            "the rule of batch-hard alone: positive (B) and negative (B), -1 where none",
            r"p(a) = \arg\max_p d_{ap}, \quad n(a) = \arg\min_n d_{an}",
            f"{HERMANS}, section 2 (batch hard)",
            *standard_contenders("mine_batch_hard"),
            peer("mine_batch_hard", "BatchHardMiner", hardest_limit),
            index_bytes=lambda shape: 16 * shape.batch,
            reference_elements=lambda shape: shape.batch**2,
            selection="selection:mined_hard",
            public="miners.BatchHardMiner",
        ),
        mining_rule(
            "mine-semi-hard",
            "the rule of semi-hard alone: anchors, positives, negatives, a row for each "
            "pair of anchor and positive, in row-major order",
            r"n(a,p) = \arg\min_{n: d_{an} > d_{ap}} d_{an}"
            r" \text{ or, if there is none, } \arg\max_n d_{an}",
            f"{FACENET}, section 3.2; the farthest negative as in TensorFlow's "
            "triplet_semihard_loss",
            *standard_contenders("mine_semi_hard"),
            index_bytes=lambda shape: 24 * positive_pairs(shape),
            reference_elements=lambda shape: shape.batch**2 + positive_pairs(shape) * shape.batch,
            selection="selection:mined_semi_hard",
            public="miners.SemiHardMiner",
            version=TIES,
        ),
        mining_rule(
            "mine-semi-hard-all",
            "all semi-hard triplets: anchors, positives, negatives in lexicographic order",
            r"\{(a, p, n) : d_{ap} < d_{an} < d_{ap} + m\}",
            f"{FACENET}, section 3.2",
            *standard_contenders("mine_semi_hard_all", fused=False),
            peer("mine_semi_hard_all", "TripletMarginMiner('semihard')", peer_limit),
            # How many triplets come out depends on the data: the least is none.
            index_bytes=lambda shape: 0,
            reference_elements=lambda shape: shape.batch**2 + triplets(shape),
            selection="selection:semi_hard_all",
            public="miners.AllSemiHardMiner",
            version=TIES,
            options={"margin": 0.2},
            excused={"triton": "how long its answer is depends on the data"},
        ),
    ),
)
