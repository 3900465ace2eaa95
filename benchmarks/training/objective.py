"""What is minimised: a weighted sum of losses from the catalogue, their parameters and updates.

Nothing here knows a loss by name. What is learnt beside the network follows from the declarations:
a state (class weights, bias, centers or one that a loss declares) is a parameter if a
differentiable argument is made from it, and is replaced after each step if `Training.updates` names
a variant for it. A state exists once in a training: terms that use the same one share it, as
softmax + center do.

Shapes: B batch, D dimension of an embedding, C identities trained on, M rows remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from marginbench.fields import STANDARD, Field, Shape, sized
from marginbench.inputs import Batch, Maker
from marginbench.loss import Variant
from suites.jobs import Term

from .terms import Declared, declared, place

_REMEMBERED = ("memory", "memory_labels")


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

    def batch(self, states: Mapping[str, Tensor], *, unit: bool) -> Batch:
        """What a variant makes its arguments from, with the standard states; on the unit sphere if
        it trains so."""
        on_sphere = F.normalize if unit else lambda x: x
        x_BD = on_sphere(self.x_BD)
        none_B = torch.zeros_like(self.labels_B, dtype=torch.bool)
        return Batch(
            embeddings=x_BD,
            labels=self.labels_B,
            second=x_BD if self.second_BD is None else on_sphere(self.second_BD),
            third=x_BD if self.third_BD is None else on_sphere(self.third_BD),
            different=none_B if self.different_B is None else self.different_B,
            class_weights=states["class_weights"],
            bias=states["bias"],
            centers=states["centers"],
        )


class Objective:
    """``objective(embedded, progress)`` is the mean loss; ``objective.step_done()`` follows the
    optimiser's step. ``parameters`` holds what the optimiser trains beside the network.

    States start as their fields say. ``batch``, ``dim`` and ``classes`` are the sizes that a
    variant's own follow from. Raises NotRun where a term can't be computed here, InputError for
    terms that make no objective.
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
        batch: int,
    ) -> None:
        self.terms = declared(terms, contender, device, steps)
        needed = {name for term in self.terms for name in term.partners}
        self.partners = tuple(name for name in ("second", "third") if name in needed)
        self.labelled_batch = any(term.variant.family == "batch" for term in self.terms)
        self.shape, self._generator = Shape(batch, dim, classes), generator
        self.fields = {
            name: Maker(field, self.shape, generator).for_a_training().to(device)
            for name, field in STANDARD.items()
            if field.kind == "state"
        }
        for term, field, variant in self._own():
            at = place(term.term.loss, field.name)
            if field.kind == "state" and at not in self.fields:
                maker = Maker(field, sized(variant, self.shape), generator)
                self.fields[at] = maker.for_a_training().to(device)
        self.learnt = tuple(at for at in self.fields if any(at in t.learnt for t in self.terms))
        for at in self.learnt:
            self.fields[at].requires_grad_()
        rows = [self._rows(v) for _, field, v in self._own() if field.kind == "memory"]
        self.memory_rows = max(rows, default=0)
        self._memory = (
            torch.zeros(0, dim, device=device),
            torch.zeros(0, dtype=torch.int64, device=device),
        )
        self._last: Embedded | None = None
        self._inputs: dict[str, Tensor] = {}
        self._progress = 0.0

    def _own(self) -> list[tuple[Declared, Field, Variant]]:
        return [(term, *one) for term in self.terms for one in term.own]

    def _rows(self, variant: Variant) -> int:
        """How much of the memory a variant sees once it is full."""
        return sized(variant, self.shape)["M"]

    @property
    def parameters(self) -> list[Tensor]:
        return [self.fields[field] for field in self.learnt]

    @property
    def updated(self) -> dict[str, str]:
        """The states that a rule replaces, and the variant that is the rule."""
        return {u.place: u.variant.name for term in self.terms for u in term.updates}

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
        self._last, self._progress, self._inputs = embedded, progress, {}
        values = []
        for term in self.terms:
            if not term.counts(progress):
                continue
            batch = self._batch(embedded, term)
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
        """Replaces the states that follow a rule of their own, from the step's embeddings and
        with the options that hold at that step; then remembers the embeddings."""
        assert self._last is not None, "step_done() follows a call"
        replaced = {}
        for term in self.terms:
            if not term.counts(self._progress):
                continue
            # Rules see the states as the optimiser's step left them.
            batch = self._batch(self._last, term)
            for update in term.updates:
                arguments = update.variant.arguments(batch)
                tensors = {k: v.detach() for k, v in arguments.items() if v is not None}
                value = update.function(**tensors, **update.options(self._progress))
                replaced[update.place] = value
        self.fields |= replaced
        if self.memory_rows:
            new = (self._last.x_BD.detach(), self._last.labels_B)
            both = zip(self._memory, new, strict=True)
            x_MD, labels_M = (torch.cat(pair)[-self.memory_rows :] for pair in both)
            self._memory = (x_MD, labels_M)
        self._last = None

    def _batch(self, embedded: Embedded, term: Declared) -> Batch:
        """What the term and its updates make their arguments from. What is made anew for a step
        is the same for all that ask in that step."""
        batch = embedded.batch(self.fields, unit=term.unit)
        declared: dict[str, Tensor] = {}
        for field, variant in term.own:
            at = place(term.term.loss, field.name)
            if field.kind == "state":
                declared[field.name] = self.fields[at]
            elif field.kind == "memory":
                x_MD, labels_M = (of[-self._rows(variant) :] for of in self._memory)
                seen = F.normalize(x_MD) if term.unit else x_MD
                declared[field.name] = labels_M if field.dtype == "int64" else seen
            else:
                if at not in self._inputs:
                    maker = Maker(field, sized(variant, batch.shape), self._generator, batch)
                    self._inputs[at] = maker.for_a_training().to(embedded.x_BD.device).detach()
                declared[field.name] = self._inputs[at]
        return batch.changed(**declared) if declared else batch

    def state(self) -> dict[str, Tensor]:
        remembered = dict(zip(_REMEMBERED, self._memory, strict=True)) if self.memory_rows else {}
        return {**{name: field.detach() for name, field in self.fields.items()}, **remembered}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name, field in self.fields.items():
            field.copy_(state[name])
        if self.memory_rows:
            x_MD, labels_M = (
                state[name].to(of.device)
                for name, of in zip(_REMEMBERED, self._memory, strict=True)
            )
            self._memory = (x_MD, labels_M)

    def description(self, last: float) -> dict[str, Any]:
        """The terms in plain values; ``last`` is the share of steps done at the last one."""
        return {
            "terms": [term.description(last) for term in self.terms],
            "explicit_partners": bool(self.partners),
            "unit_embeddings": self.unit_embeddings,
            "trained_beside_network": list(self.learnt),
            "updated_by_rule": self.updated,
            **({"memory_rows": self.memory_rows} if self.memory_rows else {}),
        }
