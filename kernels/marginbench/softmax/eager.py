"""The softmax loss in PyTorch: the linear layer and the library's own cross-entropy."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..checks import NO_LABEL
from ..shared.forms import checked
from ..shared.reduction import wide
from . import arguments


@checked(arguments.softmax)
def softmax(
    embeddings: Tensor, labels: Tensor, class_weights: Tensor, bias: Tensor | None, reduction: str
) -> Tensor:
    """Plain ``F.linear`` and ``F.cross_entropy``, what most training code does: where a peer or a
    kernel is compared with eager, it is compared with those. Logits of 16-bit inputs go into
    ``F.cross_entropy`` as float32, for a loss in 16 bits keeps two or three digits."""
    logits_BC = wide(F.linear(embeddings, class_weights, bias))
    return F.cross_entropy(logits_BC, labels, reduction=reduction, ignore_index=NO_LABEL)
