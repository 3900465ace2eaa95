"""What the variants of the triplet loss share: sources, arguments, peer, and two builders, for
variants over all triplets of a batch and for mining rules alone."""

from collections.abc import Callable, Mapping

from ..loss import Contender, Cost, Invariant, Shape, Variant, standard_contenders
from ..shared.costs import all_pairs_cost
from .costs import peer_limit, triplets

FACENET = "Schroff, Kalenichenko, Philbin 2015 (FaceNet)"
HERMANS = "Hermans, Beyer, Leibe 2017 (In defense of the triplet loss)"
MOTIONS = (
    Invariant("rotating the embeddings does not matter", ".shared.motions:rotation"),
    Invariant("moving all embeddings does not matter", ".shared.motions:translation"),
    Invariant("the order does not matter", ".shared.motions:permutation"),
)


def explicit_arguments(batch):
    return {"anchor": batch.embeddings, "positive": batch.second, "negative": batch.third}


def batch_arguments(batch):
    return {"embeddings": batch.embeddings, "labels": batch.labels}


def peer(function: str, note: str, limit=None) -> Contender:
    return Contender(
        "pytorch-metric-learning",
        f"peers:{function}",
        needs=("package:pytorch_metric_learning",),
        dtypes=("float32", "float64"),
        limit=limit,
        note=note,
    )


# Since version 2 every contender of ours takes exactly equal distances for equal, as the reference
# does: on quantised codes and duplicates version 1 chose other negatives. The hardest keep their
# version: whichever of equals is taken is as hard.
TIES = 2
DEFAULTS = "its defaults: unsquared distances of unit embeddings, margin 0.05"
ALL_KEPT = (
    "every triplet of an anchor is in its row of distances, sorted by one program: distances and "
    "counts are kept, B x B each, where all triplets would be B^3; compared are distances rounded "
    "to float32 once: apart by less than 6e-8 of themselves they may count as equal"
)
_ALL_EQUATION = r"L = \sum_a \sum_p \sum_n [d_{ap} - d_{an} + m]_+, \quad d_{ij} = \|x_i - x_j\|^2"


def all_triplets(name: str, divisor: str, summary: str, sweep: bool) -> Variant:
    """A variant over every triplet of a labelled batch."""
    return Variant(
        name=name,
        summary=summary,
        equation=_ALL_EQUATION,
        source=f"{FACENET}, section 3.1; {HERMANS}, section 2 (batch all)",
        public="functional.triplet",
        public_options={"mining": name, "margin": 0.2},
        family="batch",
        arguments=batch_arguments,
        differentiable=("embeddings",),
        options={"margin": 0.2, "divisor": divisor},
        contenders=(
            *standard_contenders("batch_all", fused_quadratic=ALL_KEPT),
            peer("batch_all", f"all triplets, summed by anchor; {DEFAULTS}", peer_limit),
        ),
        cost=all_pairs_cost,
        reference_elements=lambda shape: shape.batch**2 + triplets(shape),
        unit_embeddings=True,
        selection="selection:batch_all",
        sweep=sweep,
        invariants=MOTIONS,
    )


def mining_rule(
    name: str,
    summary: str,
    equation: str,
    source: str,
    *contenders: Contender,
    index_bytes: Callable[[Shape], int],
    reference_elements: Callable[[Shape], int],
    selection: str,
    public: str,
    options: Mapping[str, float] | None = None,
    excused: Mapping[str, str] | None = None,
    version: int = 1,
) -> Variant:
    """A variant that mines and computes no loss: its output are indices."""

    def cost(shape: Shape, itemsize: int) -> Cost:
        b, d = shape.batch, shape.dim
        read = b * d * itemsize + 8 * b
        return Cost(read + index_bytes(shape), 0, b * (b - 1) * d, 0)

    return Variant(
        name=name,
        summary=summary,
        equation=equation,
        source=source,
        public=public,
        family="batch",
        arguments=batch_arguments,
        output="indices",
        reductions=("mean",),
        options=options or {},
        contenders=contenders,
        cost=cost,
        reference_elements=reference_elements,
        unit_embeddings=True,
        selection=selection,
        sweep=False,
        excused=excused or {},
        version=version,
    )
