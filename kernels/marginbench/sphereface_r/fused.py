"""SphereFace-R in Triton: the shared linear + log-sum-exp of unit weights, and a multiplied
angle."""

from __future__ import annotations

from ..shared import target_angles
from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from . import arguments

_BY_RULE = {"true": target_angles.HELD, "detached": target_angles.DETACHED}

head = Head("sphereface_r", target_angles.combined, unit_weights=True)


@of_terms(arguments.sphereface_r, on=check_fused)
def sphereface_r(embeddings, labels, class_weights, scale_B, m, rule):
    """Edges as eager's. No B x C matrix is made. Differentiable once. What the GPU only can see (a
    label out of range, a NaN) makes the loss NaN."""
    return head(
        embeddings, labels, class_weights, scales=scale_B.float(), margin=_BY_RULE[rule],
        parameters=(m,),
    )  # fmt: skip
