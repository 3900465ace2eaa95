"""The softmax loss in Triton: the shared linear + log-sum-exp, with the target's logit as it is."""

from __future__ import annotations

from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from . import arguments

head = Head("softmax", None, unit_weights=False)


@of_terms(arguments.softmax, on=check_fused)
def softmax(embeddings, labels, class_weights, bias):
    """No B x C matrix is made. Differentiable once. What the GPU only can see (a label out of
    range, a NaN) makes the loss NaN."""
    return head(embeddings, labels, class_weights, bias)
