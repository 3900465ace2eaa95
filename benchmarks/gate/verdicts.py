"""A case's verdict as a line of the record."""

from __future__ import annotations

import math
import statistics

from .records import GateVerdict
from .timing import CaseRun, Timed


def verdict_line(one: Timed) -> GateVerdict:
    run, ratio = one.last, one.judgement.ratio
    detectable = run.sample.detectable(run.seconds) if run.sample.groups else math.inf
    return GateVerdict(
        case=one.case.id, verdict=one.judgement.verdict, reason=one.judgement.reason,
        ratio=ratio.estimate if ratio else None, low=ratio.low if ratio else None,
        high=ratio.high if ratio else None, p_value=one.judgement.p_value,
        base_s=_per_call(run, "base"), candidate_s=_per_call(run, "candidate"),
        groups=len(run.groups),
        seconds=round(sum(r.seconds for r in (one.screen, one.confirmation) if r), 3),
        detectable=detectable if math.isfinite(detectable) else None, shared=run.shared,
    )  # fmt: skip


def _per_call(run: CaseRun, side: str) -> float | None:
    """The median over all legs, in seconds."""
    legs = [leg / group.calls for group in run.groups for block in getattr(group, side)
            for leg in block]  # fmt: skip
    return statistics.median(legs) * 1e-9 if legs else None
