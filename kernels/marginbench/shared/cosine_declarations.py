"""What the declarations of the heads over cosines share; imports neither torch nor triton."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..fields import Field, Shape
from ..loss import Contender, Invariant, Variant, standard_contenders
from .costs import unit_weights_cost


def _invariants(*named: tuple[str, str]) -> tuple[Invariant, ...]:
    return tuple(Invariant(name, f".shared.invariants:{check}") for name, check in named)


_OF_CLASS_WEIGHTS = _invariants(
    ("the order of the batch does not matter", "permutation"),
    ("the lengths of the class weights do not matter", "weight_lengths"),
    ("the gradient of a class weight is orthogonal to it", "orthogonal_weight_gradient"),
)
_OF_EMBEDDINGS = _invariants(
    ("the lengths of the embeddings do not matter", "embedding_lengths"),
    ("the gradient of an embedding is orthogonal to it", "orthogonal_embedding_gradient"),
)
_PARTIAL_FC = "An, Deng, Guo, Feng, Zhu, Yang, Liu 2022 (Partial FC)"
_OTHERS = r"\sum_{j \neq y_i}"
_SAMPLED = Field(
    "sampled", ("S",), "classes, rising, each once, the labels' among them", "int64",
    draw=lambda make: make.distinct(make.shape.classes, holding=make.batch.labels),
)  # fmt: skip


def equation(target: str, added: str = "") -> str:
    """L of the target's logit over s, in TeX, with cos theta_j of x and w_j, and what is added."""
    return (
        rf"L = -\sum_i \log \frac{{e^{{s {target}}}}}{{e^{{s {target}}} +"
        rf" {_OTHERS} e^{{s \cos\theta_{{j,i}}}}}}" + added
    )


def variant(
    name: str, function: str, *, target: str, options: Mapping[str, Any],
    added: str = "", peers: tuple[Contender, ...] = (), learnt_scale: Any = None,
    inputs: tuple[Any, ...] = (), **declared: Any,
) -> Variant:  # fmt: skip
    """A variant over cosines: ``target`` is its logit over s in TeX, ``added`` what it has beside
    the cross-entropy, ``learnt_scale`` the field whose scale is learnt, ``inputs`` the fields that
    it takes beside, by their names. With a declared ``added_at_length`` the embeddings' lengths
    matter."""

    def arguments(batch: Any) -> dict[str, Any]:
        taken = {
            "embeddings": batch.embeddings,
            "labels": batch.labels,
            "class_weights": batch.class_weights,
            **{field.name: getattr(batch, field.name) for field in inputs},
        }
        return taken if learnt_scale is None else {**taken, "scale": batch.scale}

    learnt = () if learnt_scale is None else ("scale",)
    by_length = "added_at_length" in declared
    return Variant(
        name=name,
        equation=equation(target, added),
        family="head",
        public=f"functional.{function}",
        arguments=arguments,
        differentiable=("embeddings", "class_weights", *learnt),
        fields=inputs if learnt_scale is None else (*inputs, learnt_scale),
        options=options,
        contenders=standard_contenders(function, tiled=True) + peers,
        cost=lambda shape, itemsize: unit_weights_cost(shape, itemsize, cosines=True),
        reference_elements=lambda shape: shape.batch * shape.classes,
        invariants=_OF_CLASS_WEIGHTS + (() if by_length else _OF_EMBEDDINGS),
        **declared,
    )


def sampled(of: Variant, *, corrected: bool = False) -> Variant:
    """A variant over cosines over a sampled share of the classes, by the function of its name and
    ``_sampled``; ``corrected``: each class but the label's counts for its share of all."""
    function = of.contender("eager").entry.partition(":")[2] + "_sampled"

    def arguments(batch: Any) -> dict[str, Any]:
        return {**of.arguments(batch), "sampled": batch.sampled}

    def alone(shape: Shape) -> Shape:
        return replace(shape, classes=shape["S"])

    summary = f"as {of.name}, over the labels' classes and a sample of the others"
    copies = r"\frac{C - 1}{|S| - 1} " if corrected else ""
    return replace(
        of,
        name="sampled-corrected" if corrected else "sampled",
        summary=f"{summary}, which stand for all others" if corrected else summary,
        equation=of.equation.replace(_OTHERS, rf"{copies}\sum_{{j \in S,\ j \neq y_i}}"),
        source=f"{of.source}; sampled: {_PARTIAL_FC}",
        public="",
        arguments=arguments,
        fields=(*of.fields, _SAMPLED),
        sizes={**of.sizes, "S": _sampled_classes},
        options={**of.options, "corrected": corrected},
        contenders=standard_contenders(function, tiled=True),
        cost=lambda shape, itemsize: of.cost(alone(shape), itemsize),
        reference_elements=lambda shape: of.reference_elements(alone(shape)),
        sweep=False,
    )


def _sampled_classes(shape: Shape) -> int:
    """Room for a class of its own for each row, and for a tenth of the others; a multiple of 16,
    which kernels are compiled for, where there are as many."""
    own = min(shape.batch, shape.classes)
    wanted = own + math.ceil((shape.classes - own) / 10)
    return min(16 * math.ceil(wanted / 16), shape.classes)


def metric_learning(entry: str, note: str) -> Contender:
    """pytorch-metric-learning's loss, where it is the same function."""
    return Contender(
        "pytorch-metric-learning",
        entry,
        needs=("package:pytorch_metric_learning",),
        dtypes=("float32", "float64"),
        note=note,
    )
