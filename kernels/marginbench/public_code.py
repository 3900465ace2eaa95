"""What public code computes under a loss's name, so that ours can be held against it.

A loss's folder may have a file ``public_code.py`` with ``PUBLIC_CODE``, some `PublicCode`. A
package is run as it is. What is none is written down from its equations, in our own words, and says
by file, line and commit where they stand.

B batch, D dimension, C classes.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .loss import Loss

# Of embeddings (B x D), labels (B) and class weights (C x D), and what more it takes by name: the
# loss that is trained with.
HeadLoss = Callable[..., Tensor]


@dataclass(frozen=True)
class PublicCode:
    """One public implementation, called as its own training calls it.

    ``source``: repository, commit, file and lines, or the package's class. ``options``: its
    numbers, by the names that our variants have for them. ``package``: what has to be installed to
    run it; empty where ``function`` is written down from its equations and theirs was not run.
    ``note``: what a reader must know of it. ``takes``: what it takes by name beside embeddings,
    labels and class weights, as the variants that it is held against do.
    """

    name: str
    source: str
    function: HeadLoss
    options: Mapping[str, Any] = field(default_factory=dict)
    package: str = ""
    note: str = ""
    takes: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        return not self.package or importlib.util.find_spec(self.package) is not None


def of(loss: Loss) -> tuple[PublicCode, ...]:
    """What the loss's folder declares; none where it has no such file."""
    name = f"{loss.package}.public_code"
    if importlib.util.find_spec(name) is None:
        return ()
    found: tuple[PublicCode, ...] = importlib.import_module(name).PUBLIC_CODE
    return found


def cosine_head(
    target: Callable[[Tensor], Tensor],
    *,
    scale: float,
    every: Callable[[Tensor], Tensor] | None = None,
    in_place: bool = False,
    lengths: bool = False,
) -> HeadLoss:
    """Mean cross-entropy over ``scale`` times cosines, the label's as ``target`` makes it.

    ``every``: what comes before that, of all classes' cosines. ``in_place``: class weights are
    overwritten by their directions before each step, so that the gradient is the direction's and
    knows nothing of the normalisation. ``lengths``: logits are times the embedding's length.
    """

    def loss(embeddings: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
        unit_CD = F.normalize(class_weights)
        if in_place:
            unit_CD = class_weights + (unit_CD - class_weights).detach()
        cosine_BC = F.normalize(embeddings) @ unit_CD.T
        if every is not None:
            cosine_BC = every(cosine_BC)
        own_B1 = target(cosine_BC.gather(1, labels[:, None]))
        logits_BC = scale * cosine_BC.scatter(1, labels[:, None], own_B1)
        if lengths:
            logits_BC = logits_BC * embeddings.norm(dim=1, keepdim=True)
        return F.cross_entropy(logits_BC, labels)

    return loss


def detached(value: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """That value of the cosine, with the cosine's own gradient."""
    return lambda cosine: cosine + (value(cosine) - cosine).detach()
