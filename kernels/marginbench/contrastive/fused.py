"""The contrastive loss in Triton. Same functions as eager, without float64.

The kernels: `fused_pairs` for explicit pairs, `fused_all_pairs` for the pairs of a batch.
"""

from __future__ import annotations

import functools

from ..shared.forms import of_terms
from ..shared.launching import check_fused
from . import arguments
from .fused_all_pairs import all_pairs_terms
from .fused_pairs import pair_terms


@of_terms(arguments.pairs, on=functools.partial(check_fused, name="embeddings_a"))
def pairs(embeddings_a, embeddings_b, different, margin):
    """D^2/2 of a pair of one identity, max(0, margin - D)^2/2 of a ``different`` one (Hadsell,
    Chopra, LeCun 2006, equation 4). A different pair at D = 0 has the sub-gradient 0."""
    return pair_terms(embeddings_a, embeddings_b, different, margin)[0]


@of_terms(arguments.all_pairs, on=check_fused)
def all_pairs(embeddings, labels, margin):
    """The pair loss over every unordered pair of a batch: l_i is half the sum of the losses of i's
    pairs, so that the sum over i is the sum over unordered pairs. Deterministic, O(B^2 D) time, no
    B x B tensor."""
    batch = embeddings.shape[0]
    return all_pairs_terms(embeddings, labels, margin), batch * (batch - 1) // 2
