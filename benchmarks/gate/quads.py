"""Times base and candidate in quads: ABBA or BAAB by a coin, some quads on one set of tensors.

A leg is so many calls of one side that it lasts a millisecond or so. On a machine that others use
too, the kernel takes the processor away for milliseconds at a time; it counts how often. A leg in
which it did says nothing about the code and is taken again at once, up to a few times (a leg that
is longer than a turn on the processor is never left alone). A short leg has good chances.
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
_MOST_QUADS = 8
# Where others leave so little of the machine that a group takes longer, groups become smaller: many
# of them say more than a few that are exact.
_PATIENCE_S = 0.12
_FEWEST_QUADS = 3
_TRIES = 5
_WARM_UP = 4
_WARM_UP_S = 0.15
_KEPT = 3


@dataclass(frozen=True)
class Group:
    """Some quads on the same tensors. ``orders`` holds "ABBA" or "BAAB" for each, A the base;
    ``base`` and ``candidate`` the nanoseconds of their two legs, ``calls`` calls each.
    ``retaken``: legs thrown away because they were interrupted; ``interrupted``: legs that are
    used although they were."""

    number: int
    calls: int
    orders: tuple[str, ...]
    base: tuple[tuple[int, int], ...]
    candidate: tuple[tuple[int, int], ...]
    retaken: int = 0
    interrupted: int = 0

    @property
    def log_ratio(self) -> float:
        """The median of its quads'."""
        return statistics.median(map(log_ratio, self.base, self.candidate))

    @property
    def fastest_s(self) -> tuple[float, float]:
        """Seconds a call of the fastest leg of each side."""
        base, candidate = (min(map(min, legs)) for legs in (self.base, self.candidate))
        return base * 1e-9 / self.calls, candidate * 1e-9 / self.calls


class Timing:
    """An endless supply of groups of one pair; ``spent_s`` is the time that they took."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.random = pair.random
        self.spent_s = 0.0
        self._legs = 0
        self.calls, self.quads = self._warm_up()

    def groups(self) -> Iterator[Group]:
        number = 0
        while True:
            start = time.perf_counter()
            self.pair.renew()
            for side in self.pair.sides:
                self.pair.call(side)  # the first call at these addresses is nobody's
            group = self._group(number)
            took = time.perf_counter() - start
            self.spent_s += took
            if took > _PATIENCE_S and self.quads > _FEWEST_QUADS:
                self.quads -= 1
            yield group
            number += 1

    def _group(self, number: int) -> Group:
        orders, base, candidate = [], [], []
        self._retaken = self._interrupted = 0
        for _ in range(self.quads):
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
        # Reservoir sampling: a call of any leg is as likely to be kept.
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
        """Calls of a leg and quads of a group, by how long a call takes."""
        times: list[int] = []
        start = time.perf_counter()
        while len(times) < 2 * _WARM_UP or time.perf_counter() - start < _WARM_UP_S:
            times += [self.pair.call(side) for side in self.pair.sides]
            if time.perf_counter() - start > 20 * _WARM_UP_S and len(times) >= 4:
                break
        once = max(1.0, statistics.median(times[len(times) // 2 :]))
        calls = max(1, round(_LEG_NS / once))
        quads = max(1, min(_MOST_QUADS, round(_GROUP_NS / (4 * calls * once))))
        return calls, quads


def _interruptions() -> int:
    """How often the kernel has taken the processor away before this process was done with it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
