"""An estimate with its interval, whatever it was estimated from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """``count``: how many figures of independent seeds, rounds or groups it rests on. ``low`` and
    ``high`` are None where these are too few."""

    estimate: float
    low: float | None
    high: float | None
    count: int

    def times(self, factor: float) -> Interval:
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Interval(self.estimate * factor, low, high, self.count)

    @property
    def inverse(self) -> Interval:
        """That of 1/estimate: ends change places."""
        if self.low is None or self.high is None:
            return Interval(1 / self.estimate, None, None, self.count)
        return Interval(1 / self.estimate, 1 / self.high, 1 / self.low, self.count)

    def excludes(self, value: float) -> bool:
        return self.low is not None and self.high is not None and not self.low <= value <= self.high
