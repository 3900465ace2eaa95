"""What a call should give: the float64 reference on the call's own inputs, and eager's error."""

from __future__ import annotations

import functools
import math
import statistics
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from marginbench.loss import Inputs

from ..instruments.contenders import BASE, REFERENCE
from ..instruments.rows import Candidate, Outputs, Subject
from . import flips, indices, tolerance

if TYPE_CHECKING:
    from marginbench.selections import Selection

# float64 elements that the reference may go through: one or two seconds of a CPU.
REFERENCE_ELEMENTS = 40_000_000

# By quantity: the error, or None and what is wrong beyond rounding.
Errors = dict[str, tuple[float | None, str]]


class Truth:
    """The expected outputs for one set of inputs and one reduction; computed when asked for.

    ``against`` names what stands for the truth: the reference, or, where its elements are too
    many, eager computed in float64 (which shares eager's mistakes, if not its rounding).
    """

    def __init__(
        self,
        subject: Subject,
        inputs: Inputs,
        reduction: str,
        eager: Candidate,
        seed: int,
        *,
        affordable: int = REFERENCE_ELEMENTS,
    ) -> None:
        self.subject, self.inputs, self.reduction = subject, inputs, reduction
        self.upstream = upstream(subject, reduction, seed)
        self._eager, self._seed = eager, seed
        self._moves: dict[tuple[float, bool], list[dict[str, float]]] = {}
        self._affordable = affordable
        by_reference = elements(subject) <= affordable
        self.against = "reference" if by_reference else "eager in float64"
        self._function = subject.loss.resolve(
            subject.variant.contender(REFERENCE if by_reference else BASE).entry
        )

    @functools.cached_property
    def outputs(self) -> Outputs:
        """In float64. Raises what the reference raises."""
        return self._exact(tolerance.widened(self.inputs))

    @functools.cached_property
    def eager(self) -> Outputs:
        """Eager's own outputs on these inputs, by an untimed call."""
        if self._eager.function is None:
            raise RuntimeError(self._eager.reason)
        return self.subject.evaluate(
            self._eager.function, self.inputs, self.reduction, self.upstream
        ).kept()

    @functools.cached_property
    def eager_errors(self) -> dict[str, float]:
        """Eager's error by quantity, without that of the ties which it decided the other way;
        empty where eager did not run."""
        try:
            found = self.errors(self.eager)
        except Exception:
            return {}
        bound = tolerance.bound(self.subject.shape, self.subject.dtype)
        if self.subject.differentiable and any((e or 0.0) > bound for e, _ in found.values()):
            flipped = self.explaining(self.eager)
            found = self.errors(self.eager, flipped.outputs) if flipped else found
        return {name: error for name, (error, _) in found.items() if error is not None}

    def usual_error(self, name: str) -> float:
        """Eager's error, or how large it is usually, from its errors with the inputs' columns in
        several orders; usually at most, where it is made of so few rows that it may be small by
        chance."""
        error, want = self.eager_errors.get(name, 0.0), self.outputs.named()[name]
        got = self.eager.named()[name]
        if got is None or want is None:
            return error
        few = tolerance.numbers_in(got.double() - want) < tolerance.FEW
        found = [other.eager_errors.get(name, 0.0) for other in self._reordered]
        usual = math.sqrt(statistics.fmean(e * e for e in found))
        return max(error, tolerance.LUCK * usual if few else usual)

    @functools.cached_property
    def _reordered(self) -> list[Truth]:
        return [
            Truth(
                self.subject, tolerance.reordered(self.inputs, self._seed + number),
                self.reduction, self._eager, self._seed, affordable=self._affordable,
            )
            for number in range(tolerance.ORDERS)
        ]  # fmt: skip

    @functools.cached_property
    def selection(self) -> Selection | None:
        """What the definition decides here, and which decisions rounding could flip; None for a
        definition that decides nothing, and if the decisions are too many to list."""
        variant, shape = self.subject.variant, self.subject.shape
        # A base that the gate compares with may be older than the field.
        entry = getattr(variant, "selection", "")
        if not entry or variant.reference_elements(shape) > self._affordable:
            return None
        return self.subject.loss.resolve(entry)(
            **tolerance.widened(self.inputs).tensors, **variant.options,
            within=tolerance.accumulated(shape, self.subject.dtype),
        )  # fmt: skip

    def selecting(self, taken: Tensor) -> Outputs:
        """The reference's outputs on these inputs with this selection in place of its own."""
        return self._exact(tolerance.widened(self.inputs), taken)

    def explaining(self, got: Outputs) -> flips.Flipped | None:
        """The decisions which rounding could flip that explain these outputs, if any do."""
        if self.selection is None:
            return None
        dtype = self.subject.dtype
        return flips.explaining(self.selection, got, self.outputs, self.selecting, dtype)

    def to_hand_over(self) -> dict[str, object]:
        """The outputs as plain tensors, for another process; see `take_over`."""
        found = {"outputs": self.outputs, "eager": self.eager}
        return {name: (out.value, out.grads) for name, out in found.items()}

    def take_over(self, handed: dict[str, tuple[tuple[Tensor, ...], dict]]) -> None:
        """Takes the outputs that another process computed for the same case."""
        self.__dict__.update({name: Outputs(*parts) for name, parts in handed.items()})

    def movement(self, name: str, by: float, enough: float, *, held: bool) -> float:
        """How far a quantity of the exact result moves when the inputs move by ``by``: the
        farthest of several random moves, or the first that is ``enough``. ``held`` keeps what the
        definition selects here, so that no move is a jump."""
        moves = self._moves.setdefault((by, held), [])
        farthest = 0.0
        for number in range(tolerance.MOVES):
            if number == len(moves):
                moves.append(self._move(by, number, held))
            farthest = max(farthest, moves[number].get(name, 0.0))
            if farthest >= enough:
                break
        return farthest

    def _move(self, by: float, number: int, held: bool) -> dict[str, float]:
        inputs = tolerance.moved(tolerance.widened(self.inputs), by, self._seed + number)
        selection = self.selection if held and self.subject.differentiable else None
        moved = self._exact(inputs, None if selection is None else selection.taken)
        found = self.errors(moved)
        return {n: math.inf if error is None else error for n, (error, _) in found.items()}

    def _exact(self, inputs: Inputs, selected: Tensor | None = None) -> Outputs:
        function = self._function
        if selected is not None:
            entry = self.subject.variant.contender(REFERENCE).entry
            function = functools.partial(self.subject.loss.resolve(entry), selected=selected)
        threads = torch.get_num_threads()
        if self.against == "reference":
            # Mostly small operators in a loop; and one order of its sums on every machine.
            torch.set_num_threads(1)
        try:
            return self.subject.evaluate(function, inputs, self.reduction, self.upstream)
        finally:
            torch.set_num_threads(threads)

    def errors(self, got: Outputs, wanted: Outputs | None = None) -> Errors:
        """Of every output against the truth, or against ``wanted`` in its place."""
        if self.subject.variant.output == "indices":
            return self._index_errors(got)
        theirs = (wanted or self.outputs).named()
        return {name: tolerance.error_of(out, theirs[name]) for name, out in got.named().items()}

    def _index_errors(self, got: Outputs) -> Errors:
        x_BD = self.inputs.tensors["embeddings"].detach().double()
        found = indices.compare(got.value, self.outputs.value, x_BD)
        if found.problem:
            return {"index_mismatches": (None, found.problem)}
        errors: Errors = {"index_mismatches": (float(found.mismatches), "")}
        if found.regret is not None:
            errors["index_regret"] = (found.regret, "")
        return errors


def elements(subject: Subject) -> int:
    """float64 elements that the reference goes through: what the loss declares, and for a loss
    over pairs of the batch the D differences that each distance is made of."""
    shape = subject.shape
    declared = subject.variant.reference_elements(shape)
    return declared + (shape.batch**2 * shape.dim if subject.variant.family == "batch" else 0)


def upstream(subject: Subject, reduction: str, seed: int) -> Tensor | None:
    """A gradient that is neither one nor uniform: normal for terms, in [0.5, 1.5) for a scalar."""
    if not subject.differentiable:
        return None
    generator = torch.Generator().manual_seed(seed + 1)
    if reduction == "none":
        drawn = torch.randn(subject.shape.batch, generator=generator)
    else:
        drawn = torch.rand((), generator=generator) + 0.5
    return drawn.to(subject.device)
