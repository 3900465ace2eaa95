"""Validity checks: what must hold of a side before it is timed, and of its timed calls afterwards.

Each check rules out one way to look faster than one is; an honest slower version passes them all.
"""

from __future__ import annotations

import statistics
import threading
import time

import torch

from ..agreement.comparison import TIMED_REDUCTION
from ..agreement.verdict import fails
from . import ceilings
from .pair import Pair, Side, Wrong

_SETTLE_S = 0.01
# Odd, for the median: whoever puts work off does so in most calls, a stolen processor in one.
_REPEATS = 5
# Share of a call's processor time that may be spent after it has returned, such as to free memory.
_LEFT_OVER = 0.25
_LEAST_NS = 100_000


def check_before(pair: Pair, side: Side) -> None:
    """Raises Wrong if a call is wrong on dirty memory, writes over its previous output, or goes on
    working after it has returned."""
    _right_on_dirty_memory(pair, side)
    _keeps_no_buffer(pair, side)
    # With several threads, idle ones spin while they wait, which looks like work.
    if side.subject.device == "cpu" and torch.get_num_threads() == 1:
        _finishes_in_time(pair, side)


def check_after(pair: Pair, side: Side, fastest_s: float) -> None:
    """Raises Wrong if a timed call's result differs from the base's definition, or the fastest leg
    took less time a call than this machine needs for the work."""
    for inputs, outputs in side.kept:
        wrong = fails(pair.truth(inputs), side.candidate, outputs)
        if wrong:
            raise Wrong(side.name, f"a timed call gave a wrong result: {wrong}")
    side.kept.clear()
    subject = pair.sides[0].subject
    least = ceilings.least_seconds(subject)
    if fastest_s < least:  # the machine may have been slower when its rates were measured
        least = min(least, ceilings.least_seconds(subject, anew=True))
    if fastest_s < least:
        raise Wrong(
            side.name,
            f"{fastest_s * 1e6:.3g} µs a call, where the least work takes {least * 1e6:.3g} µs at "
            "the rates that this machine reaches: the result is invalid",
        )


def _right_on_dirty_memory(pair: Pair, side: Side) -> None:
    """torch fills fresh memory with NaN while deterministic algorithms are on."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        pair.call(side, keep=True)
    finally:
        torch.use_deterministic_algorithms(before)
    inputs, outputs = side.kept.pop()
    wrong = fails(pair.truth(inputs), side.candidate, outputs)
    if wrong:
        raise Wrong(side.name, wrong)


def _keeps_no_buffer(pair: Pair, side: Side) -> None:
    """Reusing an output buffer saves an allocation and corrupts what the caller still holds."""
    subject = side.subject
    first = subject.evaluate(side.function, side.inputs, TIMED_REDUCTION, pair.upstream)
    held = first.kept()
    pair.call(side)
    pairs = [*zip(first.value, held.value, strict=True),
             *((first.grads[name], held.grads[name]) for name in held.grads)]  # fmt: skip
    for mine, copy in pairs:
        if mine is not None and copy is not None and not torch.equal(mine, copy):
            raise Wrong(side.name, "a later call writes over what an earlier one returned")


def _finishes_in_time(pair: Pair, side: Side) -> None:
    """No thread of its own is left, and hardly any processor time of this process, all threads
    together, passes after most calls while nobody has called."""
    threads = threading.active_count()
    shares: list[float] = []
    for _ in range(_REPEATS):
        start = time.process_time_ns()
        pair.call(side)
        middle = time.process_time_ns()
        more = threading.active_count() - threads
        time.sleep(_SETTLE_S)
        left = time.process_time_ns() - middle
        shares.append((left - _LEAST_NS) / max(1, middle - start))
        if more > 0:
            raise Wrong(side.name, f"it works on after it has returned: {more} threads are left")
    share = statistics.median(shares)
    if share > _LEFT_OVER:
        raise Wrong(
            side.name,
            f"it works on after it has returned: {share:.0%} of a call's processor time",
        )
