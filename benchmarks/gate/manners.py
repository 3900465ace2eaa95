"""What has to hold of a side before its time means anything, and of its timed calls afterwards.

Each check is a way to look faster than one is; a slower honest version passes them all.
"""

from __future__ import annotations

import statistics
import threading
import time

import torch

from ..agreement import TIMED_REDUCTION
from ..verdict import fails
from . import ceilings
from .pair import Pair, Side, Wrong

_SETTLE_S = 0.01
# Odd, for the median: whoever puts work off does so in most calls, a stolen processor in one.
_REPEATS = 5
# Of a call's own processor time, what may be spent after it returned: to release memory, say.
_LEFT_OVER = 0.25
_LEAST_NS = 100_000


def check_before(pair: Pair, side: Side) -> None:
    """Raises Wrong: on memory that holds anything, with the previous output still alive, and with
    an eye on what goes on after it has returned."""
    _right_on_dirty_memory(pair, side)
    _keeps_no_buffer(pair, side)
    # With several threads, those that wait for work spin, and look as if they did some.
    if side.subject.device == "cpu" and torch.get_num_threads() == 1:
        _finishes_in_time(pair, side)


def check_after(pair: Pair, side: Side, fastest_s: float) -> None:
    """Raises Wrong where a timed call gave something else than the base's definition does, or its
    fastest leg took less time a call than the machine can do the work in."""
    for inputs, outputs in side.kept:
        wrong = fails(pair.truth(inputs), side.candidate, outputs)
        if wrong:
            raise Wrong(side.name, f"a timed call gave a wrong result: {wrong}")
    side.kept.clear()
    subject = pair.sides[0].subject
    least = ceilings.least_seconds(subject)
    if fastest_s < least:  # or the machine was slower when its rates were taken than it is now
        least = min(least, ceilings.least_seconds(subject, anew=True))
    if fastest_s < least:
        raise Wrong(
            side.name,
            f"{fastest_s * 1e6:.3g} µs a call, where the least work takes {least * 1e6:.3g} µs at "
            "the rates that this machine reaches: the result is invalid",
        )


def _right_on_dirty_memory(pair: Pair, side: Side) -> None:
    """torch fills fresh memory with NaN while deterministic algorithms are asked for."""
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
    """An output that the next call writes over saves an allocation, and corrupts its owner's."""
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
