"""Times base and candidate in ABBA blocks: ABBA or BAAB by a coin, several blocks on one set of
tensors.

A leg is as many calls of one side as take about a millisecond. On a shared machine the operating
system preempts a process for milliseconds at a time, and counts how often. A leg that was preempted
says nothing about the code: it is timed again at once, up to a few times. A leg longer than a
scheduler's time slice is always preempted; a short one usually is not.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .interval import log_ratio
from .pair import Pair, Side

_LEG_NS = 1_000_000
_GROUP_NS = 32_000_000
_MOST_BLOCKS = 8
# Where a busy machine makes a group take longer, groups become smaller: many rough groups say more
# than a few exact ones.
_PATIENCE_S = 0.12
_FEWEST_BLOCKS = 3
_TRIES = 5
_WARM_UP = 4
_WARM_UP_S = 0.15
_KEPT = 3


@dataclass(frozen=True)
class Group:
    """Some blocks on the same tensors. ``orders`` holds "ABBA" or "BAAB" for each, A the base;
    ``base`` and ``candidate`` the nanoseconds of their two legs, ``calls`` calls each.
    ``retaken``: legs thrown away because they were interrupted; ``interrupted``: legs used although
    they were."""

    number: int
    calls: int
    orders: tuple[str, ...]
    base: tuple[tuple[int, int], ...]
    candidate: tuple[tuple[int, int], ...]
    retaken: int = 0
    interrupted: int = 0

    @property
    def log_ratio(self) -> float:
        """The median over its blocks."""
        return statistics.median(map(log_ratio, self.base, self.candidate))

    @property
    def fastest_s(self) -> tuple[float, float]:
        """Seconds a call of the fastest leg of each side."""
        base, candidate = (min(map(min, legs)) for legs in (self.base, self.candidate))
        return base * 1e-9 / self.calls, candidate * 1e-9 / self.calls


class Timing:
    """Groups of one pair, without end; ``spent_s`` is the time that they took."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.random = pair.random
        self.spent_s = 0.0
        self._legs = 0
        self.calls, self.blocks = self._warm_up()

    def groups(self) -> Iterator[Group]:
        number = 0
        while True:
            start = time.perf_counter()
            self.pair.renew()
            for side in self.pair.sides:
                self.pair.call(side)  # the first call at new addresses is not timed
            group = self._group(number)
            took = time.perf_counter() - start
            self.spent_s += took
            if took > _PATIENCE_S and self.blocks > _FEWEST_BLOCKS:
                self.blocks -= 1
            yield group
            number += 1

    def _group(self, number: int) -> Group:
        orders, base, candidate = [], [], []
        self._retaken = self._interrupted = 0
        for _ in range(self.blocks):
            order = "ABBA" if self.random.random() < 0.5 else "BAAB"
            legs: dict[str, list[int]] = {"A": [], "B": []}
            for letter in order:
                legs[letter].append(self._leg(self.pair.sides["AB".index(letter)]))
            orders.append(order)
            base.append((legs["A"][0], legs["A"][1]))
            candidate.append((legs["B"][0], legs["B"][1]))
        return Group(
            number, self.calls, tuple(orders), tuple(base), tuple(candidate),
            self._retaken, self._interrupted,
        )  # fmt: skip

    def _leg(self, side: Side) -> int:
        self._legs += 1
        # Reservoir sampling: a call of any leg is equally likely to be kept.
        keep = self.random.random() < 2 * _KEPT / self._legs
        if keep and len(side.kept) >= _KEPT:
            side.kept.pop(self.random.randrange(_KEPT))
        chosen = self.random.randrange(self.calls) if keep else -1
        for _ in range(_TRIES):
            before = _interruptions()
            spent = sum(self.pair.call(side, keep=k == chosen) for k in range(self.calls))
            if _interruptions() == before:
                return spent
            self._retaken += 1
            chosen = -1
        self._retaken -= 1
        self._interrupted += 1
        return spent

    def _warm_up(self) -> tuple[int, int]:
        """Calls in a leg and blocks in a group, by how long a call takes."""
        times: list[int] = []
        start = time.perf_counter()
        while len(times) < 2 * _WARM_UP or time.perf_counter() - start < _WARM_UP_S:
            times += [self.pair.call(side) for side in self.pair.sides]
            if time.perf_counter() - start > 20 * _WARM_UP_S and len(times) >= 4:
                break
        once = max(1.0, statistics.median(times[len(times) // 2 :]))
        calls = max(1, round(_LEG_NS / once))
        blocks = max(1, min(_MOST_BLOCKS, round(_GROUP_NS / (4 * calls * once))))
        return calls, blocks


def _interruptions() -> int:
    """How often the operating system has preempted this process (involuntary switches)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
