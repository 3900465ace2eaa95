"""Plants extra work in a candidate, to see whether the gate finds it."""

from __future__ import annotations

import statistics
import time
from typing import Any

from .pair import Pair

_CALLS = 60
_LOOPS = 20_000


def extra_work(pair: Pair, fraction: float) -> None:
    """Makes the candidate slower by this fraction of its own time, with a loop that runs in every
    call. One iteration is measured in processor time, a call by the clock; how much slower the call
    became is left to the timing."""
    side = pair.sides[1]
    function = side.function
    turns = round(fraction * _seconds_of_a_call(pair) / _seconds_of_a_turn())

    def slowed(**given: Any) -> Any:
        value = function(**given)
        for _ in range(turns):
            pass
        return value

    side.candidate.function = slowed


def _seconds_of_a_call(pair: Pair) -> float:
    """A call of the candidate, without its preparation: the lower quartile, since on a shared
    machine some calls are interrupted."""
    side = pair.sides[1]
    for _ in range(10):
        pair.call(side)
    return sorted(pair.call(side) for _ in range(_CALLS))[_CALLS // 4] * 1e-9


def _seconds_of_a_turn() -> float:
    """One iteration of an empty loop."""
    found = []
    for _ in range(9):
        start = time.thread_time()
        for _ in range(_LOOPS):
            pass
        found.append((time.thread_time() - start) / _LOOPS)
    return statistics.median(found)
