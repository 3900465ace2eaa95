"""What is minimised: a weighted sum of losses from the catalogue, their parameters and updates.

Nothing here knows a loss by name. What is learnt beside the network follows from the declarations:
a field of the batch (class weights, bias, centers) is a parameter if a differentiable argument is
made from it, and is replaced after each step if `Training.updates` names a variant for it. A field
exists once in a training: terms that use the same field share it, as softmax + center do.

Shapes: B batch, D dimension of an embedding, C identities trained on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from marginbench.inputs import Batch
from suites.quality.jobs import Term

from .terms import LEARNABLE, declared


@dataclass(frozen=True)
class Embedded:
    """A step's embeddings as the network gives them: x, and where a term takes explicit partners
    another image of the row's identity (second), one of another identity (third), and for which
    rows a pair takes the third (different)."""

    x_BD: Tensor
    labels_B: Tensor
    second_BD: Tensor | None = None
    third_BD: Tensor | None = None
    different_B: Tensor | None = None

    def batch(self, fields: Mapping[str, Tensor], *, unit: bool) -> Batch:
        """What a variant makes its arguments from; on the unit sphere if it trains so."""
        on_sphere = F.normalize if unit else lambda x: x
        x_BD = on_sphere(self.x_BD)
        none_B = torch.zeros_like(self.labels_B, dtype=torch.bool)
        return Batch(
            embeddings=x_BD,
            labels=self.labels_B,
            second=x_BD if self.second_BD is None else on_sphere(self.second_BD),
            third=x_BD if self.third_BD is None else on_sphere(self.third_BD),
            different=none_B if self.different_B is None else self.different_B,
            **fields,
        )


class Objective:
    """``objective(embedded, progress)`` is the mean loss; ``objective.step_done()`` follows the
    optimiser's step. ``parameters`` holds what the optimiser trains beside the network.

    Class weights start normal with variance 1 / D, bias and centers at zero. Raises NotRun where
    a term can't be computed here, InputError for terms that make no objective.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        contender: str,
        classes: int,
        dim: int,
        generator: torch.Generator,
        device: str = "cpu",
        *,
        steps: int,
    ) -> None:
        self.terms = declared(terms, contender, device, steps)
        self.partners = any(term.partners for term in self.terms)
        self.labelled_batch = any(term.variant.family == "batch" for term in self.terms)
        self.learnt = tuple(f for f in LEARNABLE if any(f in term.learnt for term in self.terms))
        weights_CD = torch.randn(classes, dim, generator=generator) / dim**0.5
        self.fields = {
            "class_weights": weights_CD.to(device),
            "bias": torch.zeros(classes, device=device),
            "centers": torch.zeros(classes, dim, device=device),
        }
        for field in self.learnt:
            self.fields[field].requires_grad_()
        self._last: Embedded | None = None
        self._progress = 0.0

    @property
    def parameters(self) -> list[Tensor]:
        return [self.fields[field] for field in self.learnt]

    @property
    def updated(self) -> dict[str, str]:
        """The fields that a rule replaces, and the variant that is the rule."""
        return {u.field: u.variant.name for term in self.terms for u in term.updates}

    @property
    def unit_embeddings(self) -> bool:
        """Whether every term trains on the unit sphere: the embeddings are tested there then."""
        return all(term.unit for term in self.terms)

    @property
    def classifies(self) -> bool:
        """Whether there are class weights, which turn embeddings into logits."""
        return "class_weights" in self.learnt

    @property
    def norm_free(self) -> bool:
        """Whether the lengths of the class weights matter to no term that has them."""
        heads = [term for term in self.terms if "class_weights" in term.learnt]
        return bool(heads) and all(term.norm_free for term in heads)

    @property
    def bias(self) -> Tensor | None:
        return self.fields["bias"].detach() if "bias" in self.learnt else None

    @torch.no_grad()
    def logits(self, x_BD: Tensor) -> Tensor:
        """Of each class (B x C), by the class weights; of unit length where their lengths do not
        matter. The scale of the embeddings does not change which is largest."""
        w_CD = self.fields["class_weights"]
        return F.linear(x_BD, F.normalize(w_CD) if self.norm_free else w_CD, self.bias)

    def seen_by_the_loss(self, x_ND: Tensor) -> Tensor:
        return F.normalize(x_ND) if self.unit_embeddings else x_ND

    def __call__(self, embedded: Embedded, progress: float) -> Tensor:
        """The weighted sum of the terms that count when ``progress`` (0 to 1) of the steps are
        done, each a mean."""
        self._last, self._progress = embedded, progress
        values = []
        for term in self.terms:
            if not term.counts(progress):
                continue
            batch = embedded.batch(self.fields, unit=term.unit)
            tensors = {
                name: tensor.detach()
                if isinstance(tensor, Tensor) and name not in term.variant.differentiable
                else tensor
                for name, tensor in term.variant.arguments(batch).items()
            }
            value = term.function(**tensors, **term.options(progress), reduction="mean")
            values.append(value if term.weight == 1 else term.weight * value)
        return values[0] if len(values) == 1 else torch.stack(values).sum()

    @torch.no_grad()
    def step_done(self) -> None:
        """Replaces the fields that follow a rule of their own, from the step's embeddings and
        with the options that hold at that step."""
        assert self._last is not None, "step_done() follows a call"
        for term in self.terms:
            if not term.counts(self._progress):
                continue
            batch = self._last.batch(self.fields, unit=term.unit)
            for update in term.updates:
                # Rules see the fields as they are after the optimiser's step.
                now = dataclasses.replace(batch, **self.fields)
                arguments = update.variant.arguments(now)
                tensors = {k: v.detach() for k, v in arguments.items() if v is not None}
                value = update.function(**tensors, **update.options(self._progress))
                self.fields[update.field] = value
        self._last = None

    def state(self) -> dict[str, Tensor]:
        return {name: field.detach() for name, field in self.fields.items()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name, field in self.fields.items():
            field.copy_(state[name])

    def description(self, last: float) -> dict[str, Any]:
        """The terms in plain values; ``last`` is the share of steps done at the last one."""
        return {
            "terms": [term.description(last) for term in self.terms],
            "explicit_partners": self.partners,
            "unit_embeddings": self.unit_embeddings,
            "trained_beside_network": list(self.learnt),
            "updated_by_rule": self.updated,
        }
