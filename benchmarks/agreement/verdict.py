"""Judges a contender's outputs against the truth; `tolerance` derives the limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from ..instruments.contenders import BASE, is_peer
from ..instruments.rows import Candidate, Outputs, explain
from . import flips, tolerance
from .truth import Truth


@dataclass(frozen=True)
class Verdict:
    """One quantity of one contender. ``value`` is its error, or None if it has none, as for an
    output that is not finite; ``reason`` is empty if it is within ``limit``; ``flipped`` says which
    ties it decided the other way, if that excuses what is beyond."""

    quantity: str
    metric: str
    value: float | None
    limit: float | None
    reason: str = ""
    flipped: tuple[str, ...] = ()


def is_plain(candidate: Candidate) -> bool:
    """Whether the derived bound judges it: eager, torch.compile's version of it and peers, whose
    order of roundings is not ours. Our own kernels are judged by eager's error."""
    contender = candidate.contender
    return contender.name == BASE or contender.compiled or is_peer(candidate.contender)


def judge(truth: Truth, candidate: Candidate, got: Outputs) -> list[Verdict]:
    """Every quantity of these outputs. Raises what the reference raises."""
    found = truth.errors(got)
    if truth.subject.variant.output == "indices":
        return [_of_indices(truth, candidate, metric, found, got) for metric in found]
    verdicts = [_of_tensor(truth, candidate, got, name, found[name]) for name in found]
    if any(v.reason and v.value is not None for v in verdicts) and not is_peer(candidate.contender):
        verdicts = _as_flipped(truth, candidate, got, verdicts)
    return [_not_a_number(got, verdict) for verdict in verdicts]


def _as_flipped(
    truth: Truth, candidate: Candidate, got: Outputs, verdicts: list[Verdict]
) -> list[Verdict]:
    """The same verdicts, with what ties that were decided the other way excuse."""
    flipped = truth.explaining(got)
    if flipped is None:
        return verdicts
    errors = truth.errors(got, flipped.outputs)
    moved, exact = flipped.outputs.named(), truth.outputs.named()
    excused = []
    for verdict in verdicts:
        name = verdict.quantity
        if verdict.reason and verdict.value is not None:
            net = _of_tensor(truth, candidate, got, name, errors[name])
            if net.reason:
                reason = f"{net.reason} besides {'; '.join(flipped.says)}"
                verdict = replace(verdict, reason=reason)
            else:
                jump = tolerance.error_of(moved[name], exact[name])[0] or 0.0
                limit = (net.limit or 0.0) + jump
                verdict = replace(verdict, limit=limit, reason="", flipped=flipped.says)
        excused.append(verdict)
    return excused


def _not_a_number(got: Outputs, verdict: Verdict) -> Verdict:
    """A value that is too large for its dtype may be anything that is not finite; but a NaN with
    finite gradients would go unnoticed in training."""
    if verdict.quantity != "value" or verdict.reason or not got.grads:
        return verdict
    gradients = [gradient for gradient in got.grads.values() if gradient is not None]
    finite = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    if finite and bool(torch.isnan(got.value[0]).any()):
        return replace(verdict, value=None, reason="NaN, with finite gradients")
    return verdict


def fails(truth: Truth, candidate: Candidate, got: Outputs) -> str:
    """Why these outputs of a timed call are wrong; empty if they are right.

    Cheap first: as near to eager's outputs as one rounding of each allows is near enough. Only
    where that fails is the reference asked.
    """
    try:
        if _near_eager(truth, got):
            return ""
        wrong = [verdict for verdict in judge(truth, candidate, got) if verdict.reason]
    except Exception as error:
        return f"the check itself failed: {explain(error)}"
    return f"{wrong[0].quantity}: {wrong[0].reason}" if wrong else ""


def _near_eager(truth: Truth, got: Outputs) -> bool:
    try:
        eager = truth.eager
    except Exception:
        return False
    subject = truth.subject
    if subject.variant.output == "indices":
        same = len(got.value) == len(eager.value)
        return same and all(map(torch.equal, got.value, eager.value))
    rounding = tolerance.epsilon(subject.dtype)
    limit = 2 * (rounding + tolerance.accumulated(subject.shape, subject.dtype))
    theirs = eager.named()
    errors = [tolerance.error_of(out, theirs[name])[0] for name, out in got.named().items()]
    return all(error is not None and error <= limit for error in errors)


def _of_tensor(
    truth: Truth,
    candidate: Candidate,
    outputs: Outputs,
    name: str,
    found: tuple[float | None, str],
) -> Verdict:
    error, problem = found
    if error is None:
        return Verdict(name, "relative_error", None, None, problem)
    if is_plain(candidate) or not _is_measure(truth, name):
        limit = _bound(truth, name)
        flat = _is_flat(outputs.named()[name]) and not _is_flat(truth.outputs.named()[name])
        if error > limit and not flat:
            held = not is_peer(candidate.contender)
            limit = max(limit, _allowance(truth, name, error, held=held))
    else:
        limit = _twice_eager(truth, name, truth.eager_errors[name])
        if error > limit:
            limit = _twice_eager(truth, name, truth.usual_error(name))
    reason = "" if error <= limit else f"error {error:.2g} where {limit:.2g} is allowed"
    return Verdict(name, "relative_error", error, limit, reason)


def _is_flat(out: torch.Tensor | None) -> bool:
    """The same number everywhere: a constant, of which no selection is an excuse."""
    return out is not None and out.numel() > 1 and bool((out == out.flatten()[0]).all())


def _is_measure(truth: Truth, name: str) -> bool:
    """Whether eager ran, and its own error is one that it may have: else it is no measure."""
    error = truth.eager_errors.get(name)
    if error is None:
        return False
    limit = _bound(truth, name)
    return error <= limit or error <= _allowance(truth, name, error, held=True)


def _stored_in(truth: Truth, name: str) -> str:
    """The dtype that a quantity comes in: a loss is returned as it was accumulated."""
    dtype = truth.subject.dtype
    is_loss = name == "value" and truth.subject.differentiable
    return tolerance.accumulation(dtype) if is_loss else dtype


def _bound(truth: Truth, name: str) -> float:
    """What ordinary evaluation may lose."""
    shape, dtype, exact = truth.subject.shape, truth.subject.dtype, truth.outputs.named()[name]
    bound = tolerance.bound(shape, dtype)
    if exact is None:
        return bound
    stored = _stored_in(truth, name)
    cost = tolerance.storage(exact, getattr(torch, stored))
    return bound + cost + tolerance.underflow(exact, shape, stored)


def _twice_eager(truth: Truth, name: str, eager: float) -> float:
    shape, exact = truth.subject.shape, truth.outputs.named()[name]
    accumulation = tolerance.accumulation(truth.subject.dtype)
    floor, lost = tolerance.floor(shape, truth.subject.dtype), 0.0
    if exact is not None:
        floor = max(floor, tolerance.storage(exact, getattr(torch, _stored_in(truth, name))))
        lost = tolerance.underflow(exact, shape, accumulation)
    return 2 * max(eager, floor) + lost


def _allowance(truth: Truth, name: str, error: float, *, held: bool) -> float:
    """What the inputs excuse: how far the exact result moves when they move by a bound."""
    bound = tolerance.bound(truth.subject.shape, truth.subject.dtype)
    return min(bound + truth.movement(name, bound, error, held=held), tolerance.FARTHEST)


def _of_indices(
    truth: Truth,
    candidate: Candidate,
    metric: str,
    found: dict[str, tuple[float | None, str]],
    got: Outputs,
) -> Verdict:
    error, problem = found[metric]
    if error is None:
        return Verdict("value", metric, None, None, problem)
    if metric == "index_mismatches" and "index_regret" in found:
        # How many differ is reported; what each of them costs is judged.
        return Verdict("value", metric, error, None)
    if not is_peer(candidate.contender) and truth.selection is not None:
        excused, wrong = flips.of_indices(truth.selection, got.value)
        reason = "; ".join(flips.first_few(wrong))
        return Verdict("value", metric, error, None, reason, flips.first_few(excused))
    if metric == "index_regret":
        shape, dtype = truth.subject.shape, truth.subject.dtype
        limit = tolerance.bound(shape, dtype)
        if not is_plain(candidate) and metric in truth.eager_errors:
            limit = 2 * max(truth.eager_errors[metric], tolerance.accumulated(shape, dtype))
    else:
        # Rows on both sides of a threshold: as many may differ as do when the inputs move.
        limit = 0.0 if is_plain(candidate) else 2 * truth.eager_errors.get(metric, 0.0)
        if error > limit:
            by = tolerance.bound(truth.subject.shape, truth.subject.dtype)
            most = tolerance.FARTHEST * truth.outputs.value[0].numel()
            limit = max(limit, min(truth.movement(metric, by, error, held=False), most))
    finite = limit if math.isfinite(limit) else None
    reason = "" if error <= limit else f"{metric} {error:.3g} where {limit:.3g} is allowed"
    return Verdict("value", metric, error, finite, reason)
