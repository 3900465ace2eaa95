"""Shares of trials, with what they leave open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scipy import stats

_BOUNDS = ("value", "low", "high", "upper")


@dataclass(frozen=True)
class Share:
    """``hits`` of ``of``. `low` and `high`: the exact 95% interval (Clopper and Pearson 1934);
    `upper`: the one-sided 95% bound. All are for independent trials."""

    hits: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.of:
            raise ValueError(f"hits: expected 0 to {self.of}; got {self.hits}")

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else float("nan")

    @property
    def low(self) -> float:
        return self._bound(0.025)

    @property
    def high(self) -> float:
        return self._bound(0.975)

    @property
    def upper(self) -> float:
        return self._bound(0.95)

    def _bound(self, level: float) -> float:
        if level < 0.5:
            low = stats.beta.ppf(level, self.hits, self.of - self.hits + 1) if self.hits else 0.0
            return float(low)
        if self.hits == self.of:
            return 1.0
        return float(stats.beta.ppf(level, self.hits + 1, self.of - self.hits))

    def __add__(self, other: Share) -> Share:
        return Share(self.hits + other.hits, self.of + other.of)

    def text(self) -> str:
        """'3 of 40: 7.5% [1.6%, 20.4%]'."""
        if not self.of:
            return "none"
        interval = f"[{percent(self.low)}, {percent(self.high)}]"
        return f"{self.hits:,} of {self.of:,}: {percent(self.value)} {interval}"

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        if not self.of:
            return {"hits": 0, "of": 0}
        bounds = {name: float(f"{getattr(self, name):.6g}") for name in _BOUNDS}
        return {"hits": self.hits, "of": self.of, **bounds}


def percent(share: float) -> str:
    """With as many decimals as a small share needs."""
    if share != share:
        return "–"
    if 0 < share < 0.01 or 0.99 < share < 1:
        return f"{share:.2%}"
    return f"{share:.1%}" if 0 < share < 1 else f"{share:.0%}"
