"""The contrastive loss in Triton. Same functions as eager, without float64.

The kernels: `fused_pairs` for explicit pairs, `fused_all_pairs` for the pairs of a batch.
"""

from __future__ import annotations

from torch import Tensor

from ..checks import check_batch, check_number, check_pairs, check_reduction
from ..shared.launching import check_fused
from ..shared.reduction import reduce
from .fused_all_pairs import all_pairs_terms
from .fused_pairs import pair_terms


def pairs(
    embeddings_a: Tensor,
    embeddings_b: Tensor,
    different: Tensor,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """D^2/2 of a pair of one identity, max(0, margin - D)^2/2 of a ``different`` one, with D the
    Euclidean distance; mean divides by N.

    embeddings_a, embeddings_b (N x D; float32, bfloat16 or float16), different (N, bool). A
    different pair at D = 0 has the sub-gradient 0. Returns float32: (N,) for reduction ``none``,
    else a scalar. Raises InputError naming the argument. Source: Hadsell, Chopra, LeCun 2006,
    equation 4.
    """
    check_pairs(embeddings_a, embeddings_b, different)
    check_fused(embeddings_a, "embeddings_a")
    margin = check_number("margin", margin, 0)
    check_reduction(reduction)
    terms_N, _ = pair_terms(embeddings_a, embeddings_b, different, margin)
    return reduce(terms_N, reduction)


def all_pairs(
    embeddings: Tensor, labels: Tensor, *, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """The pair loss over every unordered pair of a batch; mean divides by B(B-1)/2.

    embeddings (B x D; float32, bfloat16 or float16), labels (B, int64). l_i is half the sum of
    the losses of i's pairs, so that the sum over i is the sum over unordered pairs. Deterministic,
    O(B^2 D) time, no B x B tensor. Returns float32: (B,) for reduction ``none``, else a scalar.
    Raises InputError naming the argument. Source: Hadsell, Chopra, LeCun 2006, equation 4.
    """
    check_batch(embeddings, labels)
    check_fused(embeddings)
    margin = check_number("margin", margin, 0)
    check_reduction(reduction)
    batch = embeddings.shape[0]
    terms_B = all_pairs_terms(embeddings, labels, margin)
    return reduce(terms_B, reduction, divisor=batch * (batch - 1) // 2)
