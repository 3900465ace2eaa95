"""What the declarations of the heads over cosines share; imports neither torch nor triton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..loss import Contender, Invariant, Variant, standard_contenders
from .costs import unit_weights_cost

_INVARIANTS = tuple(
    Invariant(name, f".shared.invariants:{check}")
    for name, check in (
        ("the order of the batch does not matter", "permutation"),
        ("the lengths of the class weights do not matter", "weight_lengths"),
        ("the lengths of the embeddings do not matter", "embedding_lengths"),
        ("the gradient of a class weight is orthogonal to it", "orthogonal_weight_gradient"),
        ("the gradient of an embedding is orthogonal to it", "orthogonal_embedding_gradient"),
    )
)


def equation(target: str) -> str:
    """L of the target's logit over s, in TeX, with cos theta_j of x and w_j."""
    return (
        rf"L = -\sum_i \log \frac{{e^{{s {target}}}}}{{e^{{s {target}}} +"
        r" \sum_{j \neq y_i} e^{s \cos\theta_{j,i}}}"
    )


def variant(
    name: str, function: str, *, target: str, options: Mapping[str, Any],
    peers: tuple[Contender, ...] = (), learnt_scale: Any = None, **declared: Any,
) -> Variant:  # fmt: skip
    """A variant over cosines: ``target`` is its logit over s in TeX, ``learnt_scale`` the field
    whose scale is learnt."""

    def arguments(batch: Any) -> dict[str, Any]:
        taken = {
            "embeddings": batch.embeddings,
            "labels": batch.labels,
            "class_weights": batch.class_weights,
        }
        return taken if learnt_scale is None else {**taken, "scale": batch.scale}

    learnt = () if learnt_scale is None else ("scale",)
    return Variant(
        name=name,
        equation=equation(target),
        family="head",
        public=f"functional.{function}",
        arguments=arguments,
        differentiable=("embeddings", "class_weights", *learnt),
        fields=() if learnt_scale is None else (learnt_scale,),
        options=options,
        contenders=standard_contenders(function, tiled=True) + peers,
        cost=lambda shape, itemsize: unit_weights_cost(shape, itemsize, cosines=True),
        reference_elements=lambda shape: shape.batch * shape.classes,
        invariants=_INVARIANTS,
        **declared,
    )


def metric_learning(entry: str, note: str) -> Contender:
    """pytorch-metric-learning's loss, where it is the same function."""
    return Contender(
        "pytorch-metric-learning",
        entry,
        needs=("package:pytorch_metric_learning",),
        dtypes=("float32", "float64"),
        note=note,
    )
