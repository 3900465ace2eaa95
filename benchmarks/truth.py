"""What a call should give: the float64 reference on the call's own inputs, and eager's error."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from kernels.loss import Inputs

from . import indices, tolerance
from .contenders import BASE, REFERENCE
from .rows import Candidate, Outputs, Subject

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
        self._moves: dict[float, list[dict[str, float]]] = {}
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
        """Eager's own outputs on these inputs, by a call that nobody times."""
        if self._eager.function is None:
            raise RuntimeError(self._eager.reason)
        return self.subject.evaluate(
            self._eager.function, self.inputs, self.reduction, self.upstream
        ).kept()

    @functools.cached_property
    def eager_errors(self) -> dict[str, float]:
        """Eager's error by quantity; empty where eager did not run."""
        try:
            found = self.errors(self.eager)
        except Exception:
            return {}
        return {name: error for name, (error, _) in found.items() if error is not None}

    def to_hand_over(self) -> dict[str, object]:
        """The outputs as plain tensors, for another process; see `take_over`."""
        found = {"outputs": self.outputs, "eager": self.eager}
        return {name: (out.value, out.grads) for name, out in found.items()}

    def take_over(self, handed: dict[str, tuple[tuple[Tensor, ...], dict]]) -> None:
        """Outputs that another process computed from the same case, so that nobody does again."""
        self.__dict__.update({name: Outputs(*parts) for name, parts in handed.items()})

    def movement(self, name: str, by: float, enough: float) -> float:
        """How far a quantity of the exact result moves when the inputs move by ``by``: the
        farthest of several random moves, or the first that is ``enough``."""
        moves = self._moves.setdefault(by, [])
        farthest = 0.0
        for number in range(tolerance.MOVES):
            if number == len(moves):
                moves.append(self._move(by, number))
            farthest = max(farthest, moves[number].get(name, 0.0))
            if farthest >= enough:
                break
        return farthest

    def _move(self, by: float, number: int) -> dict[str, float]:
        inputs = tolerance.moved(tolerance.widened(self.inputs), by, self._seed + number)
        found = self.errors(self._exact(inputs))
        return {n: math.inf if error is None else error for n, (error, _) in found.items()}

    def _exact(self, inputs: Inputs) -> Outputs:
        threads = torch.get_num_threads()
        if self.against == "reference":
            # Mostly small operators in a loop; and one order of its sums on every machine.
            torch.set_num_threads(1)
        try:
            return self.subject.evaluate(self._function, inputs, self.reduction, self.upstream)
        finally:
            torch.set_num_threads(threads)

    def errors(self, got: Outputs) -> Errors:
        """Of every output against the truth."""
        if self.subject.variant.output == "indices":
            return self._index_errors(got)
        wanted = named(self.outputs)
        return {name: error_of(out, wanted[name]) for name, out in named(got).items()}

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


def named(outputs: Outputs) -> dict[str, Tensor | None]:
    """Every compared quantity by name: ``value``, ``grad:embeddings``, ..."""
    return {"value": outputs.value[0], **{f"grad:{k}": g for k, g in outputs.grads.items()}}


def error_of(got: Tensor | None, want: Tensor | None) -> tuple[float | None, str]:
    """The relative error, or None and what is wrong beyond rounding."""
    if want is None:
        return None, "the reference gives no gradient here"
    if got is None:
        return None, "no gradient reached it"
    if got.shape != want.shape:
        return None, f"shape {tuple(got.shape)} where {tuple(want.shape)} was expected"
    error = tolerance.relative(got, want)
    if math.isfinite(error):
        return error, ""
    bad = int((~torch.isfinite(got)).sum())
    if bad:
        return None, f"{bad} of {got.numel()} numbers are NaN or infinite"
    return None, "the reference is not finite here"


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
