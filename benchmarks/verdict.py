"""Judges a contender's outputs against the truth; `tolerance` derives the limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from . import tolerance
from .contenders import BASE
from .rows import Candidate, Outputs, explain
from .truth import Truth, error_of, named


@dataclass(frozen=True)
class Verdict:
    """One quantity of one contender. ``value`` is its error, or None where it can't be told, as
    for an output that is not finite; ``reason`` is empty where it is within ``limit``."""

    quantity: str
    metric: str
    value: float | None
    limit: float | None
    reason: str = ""


def is_plain(candidate: Candidate) -> bool:
    """Eager, torch.compile's version of it and peers, which round in an order that nobody here
    chose and are judged by the derived bound; kernels of our own by eager's error."""
    contender = candidate.contender
    peer = any(need.startswith("package:") for need in contender.needs)
    return contender.name == BASE or contender.compiled or peer


def judge(truth: Truth, candidate: Candidate, got: Outputs) -> list[Verdict]:
    """Every quantity of these outputs. Raises what the reference raises."""
    found = truth.errors(got)
    if truth.subject.variant.output == "indices":
        return [_of_indices(truth, candidate, metric, *found[metric], found) for metric in found]
    outputs = named(got)
    return [_of_tensor(truth, candidate, name, outputs[name], *found[name]) for name in found]


def fails(truth: Truth, candidate: Candidate, got: Outputs) -> str:
    """Why these outputs, of a timed call, are not what the call should give; empty if fine.

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
    theirs = named(eager)
    errors = [error_of(out, theirs[name])[0] for name, out in named(got).items()]
    return all(error is not None and error <= limit for error in errors)


def _of_tensor(
    truth: Truth,
    candidate: Candidate,
    name: str,
    got: torch.Tensor | None,
    error: float | None,
    problem: str,
) -> Verdict:
    if error is None:
        return Verdict(name, "relative_error", None, None, problem)
    limit = _limit(truth, candidate, name)
    if error > limit and not (_is_flat(got) and not _is_flat(named(truth.outputs)[name])):
        limit = max(limit, _allowance(truth, candidate, name, error))
    reason = "" if error <= limit else f"error {error:.2g} where {limit:.2g} is allowed"
    return Verdict(name, "relative_error", error, limit, reason)


def _is_flat(out: torch.Tensor | None) -> bool:
    """The same number everywhere: a constant, of which no selection is an excuse."""
    return out is not None and out.numel() > 1 and bool((out == out.flatten()[0]).all())


def _limit(truth: Truth, candidate: Candidate, name: str) -> float:
    shape, dtype = truth.subject.shape, truth.subject.dtype
    if is_plain(candidate) or name not in truth.eager_errors:
        return tolerance.bound(shape, dtype)
    if name == "index_regret":
        return 2 * max(truth.eager_errors[name], tolerance.accumulated(shape, dtype))
    is_loss = name == "value" and truth.subject.differentiable
    stored = getattr(torch, tolerance.accumulation(dtype) if is_loss else dtype)
    exact = named(truth.outputs)[name]
    floor = tolerance.epsilon(tolerance.accumulation(dtype))
    if exact is not None:
        floor = max(floor, tolerance.storage(exact, stored))
    return 2 * max(truth.eager_errors[name], floor)


def _allowance(truth: Truth, candidate: Candidate, name: str, error: float) -> float:
    """What the inputs excuse: how far the exact result moves when they move by a bound."""
    shape, dtype = truth.subject.shape, truth.subject.dtype
    bound = tolerance.bound(shape, dtype)
    if is_plain(candidate):
        return min(bound + truth.movement(name, bound, error), tolerance.FARTHEST)
    by = tolerance.accumulated(shape, dtype)
    movement = truth.movement(name, by, max(error, tolerance.FLIPS * by))
    return bound + movement if movement > tolerance.FLIPS * by else 0.0


def _of_indices(
    truth: Truth,
    candidate: Candidate,
    metric: str,
    error: float | None,
    problem: str,
    found: dict[str, tuple[float | None, str]],
) -> Verdict:
    if error is None:
        return Verdict("value", metric, None, None, problem)
    if metric == "index_mismatches" and "index_regret" in found:
        # How many differ is told; what each of them costs is judged.
        return Verdict("value", metric, error, None)
    if metric == "index_regret":
        limit = _limit(truth, candidate, metric)
    else:
        # Rows on both sides of a threshold: as many may differ as do when the inputs move.
        limit = 0.0 if is_plain(candidate) else 2 * truth.eager_errors.get(metric, 0.0)
        if error > limit:
            by = tolerance.bound(truth.subject.shape, truth.subject.dtype)
            most = tolerance.FARTHEST * truth.outputs.value[0].numel()
            limit = max(limit, min(truth.movement(metric, by, error), most))
    finite = limit if math.isfinite(limit) else None
    reason = "" if error <= limit else f"{metric} {error:.3g} where {limit:.3g} is allowed"
    return Verdict("value", metric, error, finite, reason)
