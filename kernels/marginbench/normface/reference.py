"""The definition of NormFace, in float64."""

from __future__ import annotations

from torch import Tensor

from ..shared.references import over_cosines


def normface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 30.0,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over s cos theta_j (Wang et al. 2017, equation 5); mean divides by B."""
    return over_cosines(
        embeddings, labels, class_weights, scale, lambda cosine_B, _: cosine_B, reduction
    )
