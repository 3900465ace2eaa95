"""The definition of CosFace, in float64."""

from __future__ import annotations

from torch import Tensor

from ..shared.references import over_cosines, over_sampled_cosines


def cosface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    margin: float = 0.35,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over s cos theta_j with the target s (cos theta_y - m) (Wang et al. 2018,
    equation 4); mean divides by B."""
    return over_cosines(
        embeddings, labels, class_weights, scale, lambda cosine_B, _: cosine_B - margin, reduction
    )


def cosface_sampled(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    sampled: Tensor,
    *,
    scale: Tensor | float = 64.0,
    margin: float = 0.35,
    corrected: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """The same over the sampled classes alone; ``corrected``, each but the label's counts
    (C - 1) / (S - 1) times."""
    return over_sampled_cosines(
        embeddings, labels, class_weights, sampled, scale, lambda cosine_B, _: cosine_B - margin,
        corrected, reduction,
    )  # fmt: skip
