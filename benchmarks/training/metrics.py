"""What is measured on the embeddings of a split, in float64; every figure is deterministic.

The table (`benchmarks.instruments.metrics`) names each metric's instrument. Shapes: N images, D
dimension of an embedding, C classes, M pairs. Retrieval, verification and angles are by cosine
whatever the loss trained with, as verification of faces does, so that losses compare; distances and
lengths are of the embeddings as they are passed: as the loss saw them, of unit length where it
trains on such.
"""

from __future__ import annotations

import math
import pkgutil

import torch
from torch import Tensor

from suites.schema import Metrics

from ..instruments.metrics import METRICS
from .instruments import Embedded, Figures, Head
from .verification import Pairs


def instruments_of(*, head: bool = False) -> dict[str, str]:
    """The instrument of each metric of embeddings, or of those with class weights, by name."""
    return {
        one.name.removeprefix("seen_") if head else one.name: one.instrument
        for one in METRICS.values()
        if one.instrument and one.head == head
    }


def evaluate(x_ND: Tensor, labels_N: Tensor, pairs: Pairs) -> Metrics:
    """Every metric of the embeddings x_ND (as the loss saw them) with identities labels_N (int64);
    None where one is not defined, all None where an embedding is not finite."""
    wanted = instruments_of()
    if not bool(torch.isfinite(x_ND).all()):
        return dict.fromkeys(wanted)
    return _measured(Embedded(x_ND.detach().double(), labels_N, pairs), wanted)


def head(
    x_ND: Tensor,
    labels_N: Tensor,
    class_weights_CD: Tensor,
    bias_C: Tensor | None = None,
    norm_free: bool = False,
) -> Metrics:
    """Every metric that needs class weights, of embeddings whose classes were trained on; labels_N
    index the class weights, ``norm_free`` as of `Head`."""
    wanted = instruments_of(head=True)
    tensors = (x_ND, class_weights_CD) if bias_C is None else (x_ND, class_weights_CD, bias_C)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        return dict.fromkeys(wanted)
    x_ND, w_CD, *bias = (tensor.detach().double().cpu() for tensor in tensors)
    own = Head(w_CD, bias[0] if bias else None, norm_free)
    return _measured(Embedded(x_ND, labels_N, head=own), wanted)


def _measured(of: Embedded, wanted: dict[str, str]) -> Metrics:
    found: Figures = {}
    for instrument in dict.fromkeys(wanted.values()):
        found |= pkgutil.resolve_name(f"{__package__}.{instrument}")(of)
    return {name: found[name] if math.isfinite(found[name]) else None for name in wanted}
