"""A-Softmax (SphereFace): softmax over unit class weights with an angular margin on the target.

pytorch-metric-learning 2.9.0 computes the variants without annealing: SphereFaceLoss with
scale 1, and for m = 1 NormalizedSoftmaxLoss with temperature 1 on embeddings left at their
length. It departs from the definition where a norm is 0: it divides the gradient of such a class
weight by 1e-12, and SphereFaceLoss gives such an embedding the gradient 0. It has no annealing.
Its LargeMarginSoftmaxLoss is another loss (L-Softmax: the class weights keep their lengths) and is
not compared.
"""

from collections.abc import Mapping
from typing import Any

from ..loss import (
    Contender,
    Invariant,
    Loss,
    Range,
    Training,
    Variant,
    standard_contenders,
)
from ..shared.costs import unit_weights_cost

_PAPER = "Liu, Wen, Yu, Li, Raj, Song 2017 (SphereFace)"
_PSI = (
    r"\psi(\theta) = (-1)^k \cos(m\theta) - 2k, \quad"
    r" \theta \in \left[\tfrac{k\pi}{m}, \tfrac{(k+1)\pi}{m}\right]"
)
_PEER = Contender(
    "pytorch-metric-learning",
    "peers:a_softmax",
    needs=("package:pytorch_metric_learning",),
    dtypes=("float32", "float64"),
    note="SphereFaceLoss(scale=1), for m = 1 NormalizedSoftmaxLoss(temperature=1)",
)
_INVARIANTS = (
    Invariant("the order of the batch does not matter", ".shared.invariants:permutation"),
    Invariant(
        "the lengths of the class weights do not matter", ".shared.invariants:weight_lengths"
    ),
    Invariant(
        "the gradient of a class weight is orthogonal to it",
        ".shared.invariants:orthogonal_weight_gradient",
    ),
)


def _arguments(batch):
    return {
        "embeddings": batch.embeddings,
        "labels": batch.labels,
        "class_weights": batch.class_weights,
    }


def _variant(name: str, m: int, summary: str, target: str, source: str, **changes) -> Variant:
    annealing = changes.pop("annealing", 0.0)
    return Variant(
        name=name,
        summary=summary,
        equation=r"L = -\sum_i \log \frac{e^{f_i}}{e^{f_i} +"
        r" \sum_{j \neq y_i} e^{\|x_i\| \cos\theta_{j,i}}}, \quad"
        rf" f_i = {target}, \quad {_PSI}, \quad m = {m}",
        source=f"{_PAPER}, {source}",
        family="head",
        public="functional.a_softmax",
        arguments=_arguments,
        differentiable=("embeddings", "class_weights"),
        options={"m": m, "annealing": annealing},
        contenders=standard_contenders("a_softmax", tiled=True) + (() if annealing else (_PEER,)),
        cost=unit_weights_cost,
        reference_elements=lambda shape: shape.batch * shape.classes,
        invariants=_INVARIANTS,
        **changes,
    )


_WITH_MARGIN = r"\|x_i\| \psi(\theta_{y_i,i})"
_ANNEALED = (
    r"\frac{\lambda \|x_i\| \cos\theta_{y_i,i} + \|x_i\| \psi(\theta_{y_i,i})}{1 + \lambda},"
    r" \quad \lambda = 5"
)


_RELEASED = {"base": 1_000, "gamma": 0.12, "power": 1}


def _released_schedule(step: float) -> dict[str, float]:
    """lambda = max(5, 1000 / (1 + 0.12 t)), by the iteration as released: its floor, 5 parts of
    the plain cosine, is reached at iteration 1,658. Pressed into a short run, lambda falls before
    the network tells classes apart, and with a thousand of them the embeddings shrink to
    nothing."""
    return {"annealing": max(5.0, _RELEASED["base"] / (1 + _RELEASED["gamma"] * step))}


def _psi_weight(options: Mapping[str, Any]) -> str:
    """Of psi in (lambda cos theta + psi) / (1 + lambda)."""
    share = 1 / (1 + float(options.get("annealing", 0.0)))
    return f"psi, which holds the margin, has {share:.0%} of the target's weight"


LOSS = Loss(
    name="a-softmax",
    title="A-Softmax loss (SphereFace)",
    source=f"{_PAPER}, equations 5 to 7",
    training=Training(
        variant="m4",
        schedule=_released_schedule,
        source="wy1iu/sphereface f20b130, train/code/sphereface_model.prototxt",
        # From a margin that nearly has its full weight to one that hardly counts.
        search={"annealing": Range(0.1, 50.0, log=True, falling=_RELEASED)},
        amounts_to=_psi_weight,
    ),
    public={
        "ASoftmaxLoss": "modules:ASoftmaxLoss",
        "Annealing": "modules:Annealing",
        "functional.a_softmax": "functional:a_softmax",
    },
    variants=(
        _variant("m4", 4, "margin m = 4, as the paper trains", _WITH_MARGIN, "equation 7"),
        _variant("m1", 1, "m = 1: modified softmax", _WITH_MARGIN, "equation 5", sweep=False),
        _variant("m2", 2, "margin m = 2", _WITH_MARGIN, "equation 7", sweep=False),
        _variant("m3", 3, "margin m = 3", _WITH_MARGIN, "equation 7", sweep=False),
        _variant(
            "m4-annealed",
            4,
            "m = 4 blended with the plain cosine, five parts to one (lambda = 5)",
            _ANNEALED,
            "equation 7 and appendix G (annealing)",
            annealing=5.0,
            sweep=False,
        ),
    ),
)
