"""Agreement of every contender with the float64 reference: values and gradients, each reduction."""

from __future__ import annotations

import torch
from torch import Tensor

from marginbench.loss import Inputs
from suites.schema import Status

from ..instruments.contenders import BASE
from ..instruments.rows import Candidate, Row, Subject, clear_gradients, explain, not_run
from . import verdict
from .tolerance import accumulation, epsilon
from .truth import Truth, elements
from .verdict import Verdict

TIMED_REDUCTION = "mean"
# Where the reference goes through more elements than this, a timed case compares only the reduction
# that is timed: the three differ in the last step alone, and the agreement suite compares all of
# them at smaller sizes.
ALL_REDUCTIONS_ELEMENTS = 1_000_000


def reductions(subject: Subject, *, every: bool) -> tuple[str, ...]:
    """The reductions to compare at this size; ``every`` compares all of them at any size."""
    declared = subject.variant.reductions
    if not subject.differentiable:
        return (TIMED_REDUCTION,)
    if every or elements(subject) <= ALL_REDUCTIONS_ELEMENTS:
        return declared
    return (TIMED_REDUCTION,)


def metrics(subject: Subject) -> tuple[str, ...]:
    """The metrics of agreement for this kind of output."""
    if subject.variant.output == "indices":
        return ("index_mismatches", "index_regret")
    return ("relative_error", "error_over_eager")


def measure(
    subject: Subject,
    candidates: list[Candidate],
    inputs: Inputs,
    seed: int,
    *,
    every: bool = True,
    only: str = "",
    eager: Candidate | None = None,
    truths: dict[str, Truth] | None = None,
    mode: str = "",
) -> list[Row]:
    """Rows of every candidate that has a callable; the caller handles the others.

    ``every`` asks for all reductions, however large the case, ``only`` for one; ``eager`` is the
    base of comparison if it is not among the candidates; ``truths`` holds, by reduction, what
    the caller has computed already, and receives the rest; ``mode`` is recorded with each row (such
    as the interpreter's). A contender that fails, changes its inputs or returns nonsense loses only
    its own rows.
    """
    rows: list[Row] = []
    base = eager or next(c for c in candidates if c.name == BASE)
    known = {} if truths is None else truths
    asked = (only,) if only and subject.differentiable else reductions(subject, every=every)
    for reduction in asked:
        of = {"reduction": reduction} if subject.differentiable else {}
        if mode:
            of["mode"] = mode
        truth = None
        try:
            truth = known.get(reduction) or Truth(subject, inputs, reduction, base, seed)
            known[reduction] = truth
            _ = truth.outputs
            if truth.against != "reference":
                of["against"] = truth.against
            failure = ""
        except Exception as error:
            failure = f"the reference failed: {explain(error)}"
        for candidate in candidates:
            if candidate.function is None or _skips(candidate, reduction):
                continue
            if truth is None or failure:
                rows += not_run(candidate.name, metrics(subject)[:1], failure, **of)
            else:
                rows += _of_contender(truth, candidate, of)
    return rows


def _skips(candidate: Candidate, reduction: str) -> bool:
    """Each reduction would be compiled separately, so only the timed one is compared."""
    return candidate.contender.compiled and reduction != TIMED_REDUCTION


def _of_contender(truth: Truth, candidate: Candidate, of: dict[str, str]) -> list[Row]:
    subject = truth.subject
    before = snapshot(truth.inputs)
    try:
        assert candidate.function is not None
        with candidate.watched():
            got = subject.evaluate(
                candidate.function, truth.inputs, truth.reduction, truth.upstream
            )
        changed = changes(truth.inputs, before)
        verdicts = verdict.judge(truth, candidate, got)
    except Exception as error:
        restore(truth.inputs, before)
        return not_run(candidate.name, metrics(subject)[:1], explain(error), **of)
    if changed:
        restore(truth.inputs, before)
    rows = []
    for found in verdicts:
        reason = changed or found.reason
        rows += _rows(truth, candidate, found, reason, of)
    return rows


def _rows(
    truth: Truth, candidate: Candidate, found: Verdict, reason: str, of: dict[str, str]
) -> list[Row]:
    status: Status = "worse" if reason else "ok"
    narrowed = of if found.metric.startswith("index_") else {**of, "quantity": found.quantity}
    protocol: dict[str, object] = {"against": truth.against, **candidate.protocol}
    if found.limit is not None:
        protocol["limit"] = found.limit
    if found.flipped:
        protocol["flipped"] = list(found.flipped)
    row = Row(candidate.name, found.metric, narrowed, status, reason, found.value, [], protocol)
    if found.metric != "relative_error" or candidate.name == BASE or found.value is None:
        return [row]
    eager = truth.eager_errors.get(found.quantity)
    if eager is None:
        return [row, *not_run(candidate.name, ("error_over_eager",), "eager has none", **narrowed)]
    # Not `tolerance.floor`, which decides: this one only divides, by no less than one rounding,
    # and is recorded. The larger floor would make the recorded ratios of small cases others.
    floor = epsilon(accumulation(truth.subject.dtype))
    ratio = found.value / max(eager, floor)
    protocol = {**protocol, "eager": eager, "floor": floor}
    return [
        row,
        Row(candidate.name, "error_over_eager", narrowed, status, reason, ratio, [], protocol),
    ]


Snapshot = dict[str, tuple[Tensor, int]]


def snapshot(inputs: Inputs) -> Snapshot:
    """Copies of the inputs, and torch's counters of in-place changes."""
    return {
        name: (tensor.detach().clone(), tensor._version)
        for name, tensor in inputs.tensors.items()
        if tensor is not None
    }


def changes(inputs: Inputs, before: Snapshot) -> str:
    """Which inputs a call has changed, bit for bit; empty if none."""
    changed = []
    for name, (copy, version) in before.items():
        now = inputs.tensors[name].detach()
        if inputs.tensors[name]._version != version or not same_bits(now, copy):
            changed.append(name)
    return f"it changed its input {', '.join(changed)}" if changed else ""


def same_bits(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return torch.equal(a.contiguous().view(kind), b.contiguous().view(kind))


def restore(inputs: Inputs, before: Snapshot) -> None:
    clear_gradients(inputs)
    with torch.no_grad():
        for name, (copy, _) in before.items():
            inputs.tensors[name].copy_(copy)
