"""Heads that only a test has: functions in place of a folder's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from marginbench import catalogue
from marginbench.loss import Contender, Loss, Variant
from marginbench.shared.reduction import reduce
from marginbench.softmax.reference import negative_log_probability


@dataclass(frozen=True)
class _Planted(Loss):
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def resolve(self, entry: str) -> Callable[..., Any]:
        return self.functions[entry]


def planted(
    reference: Callable[..., Any], eager: Callable[..., Any] | None = None, **changes: Any
) -> tuple[Loss, Variant]:
    """A head of embeddings, labels and class weights, and its variant, with ``changes`` to what
    softmax without a bias declares."""
    functions = {"reference": reference, "eager": eager or reference}
    contenders = tuple(Contender(name, name) for name in functions)
    plain = catalogue.get("softmax").variant("no-bias")
    variant = replace(plain, contenders=contenders, invariants=(), **changes)
    given = {"name": "planted", "title": "planted", "source": "a test"}
    return _Planted(**given, variants=(variant,), functions=functions), variant


def of_cosines(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: float = 8.0,
    margin: Callable[[Tensor], Tensor] = lambda cosine: cosine,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over ``scale`` times the cosines, the target's after ``margin``, in the dtype
    of the inputs."""
    x_BD, w_CD = F.normalize(embeddings, dim=1), F.normalize(class_weights, dim=1)
    cosine_BC = x_BD @ w_CD.T
    target_B1 = margin(cosine_BC.gather(1, labels[:, None]))
    logits_BC = scale * cosine_BC.scatter(1, labels[:, None], target_B1)
    return reduce(negative_log_probability(logits_BC, labels), reduction)


def exact(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A head as its reference: in float64."""

    def reference(embeddings: Tensor, labels: Tensor, class_weights: Tensor, **options: Any):
        return function(embeddings.double(), labels, class_weights.double(), **options)

    return reference
