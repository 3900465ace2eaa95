"""Figures as people read them: three significant digits, a unit that fits, ratios in words.

Bytes are counted in binary units (1 MiB = 2^20 bytes), as allocators do.
"""

from __future__ import annotations

import math

from benchmarks.instruments.metrics import METRICS
from suites.interval import Interval

NOTHING = "–"


def digits3(value: float | None) -> str:
    """Three significant digits, no exponent between 0.001 and a million."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    rounded = float(f"{value:.2e}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def time(seconds: float | None) -> str:
    """A duration in ns, µs, ms or s; what would round up to 1000 of one is shown in the next."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    for step, unit in ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms")):
        if abs(seconds) < step * 999.5:
            return f"{digits3(seconds / step)} {unit}" if seconds else "0 s"
    return f"{digits3(seconds)} s"


def tick(text: str) -> str:
    """A figure on an axis, without the zeros that say how exact it is: 10 ms, not 10.0 ms."""
    number, _, unit = text.partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def size(number: float | None) -> str:
    """Bytes, in KiB, MiB or GiB."""
    if number is None or not math.isfinite(number):
        return NOTHING
    for step, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if abs(number) >= step:
            return f"{digits3(number / step)} {unit}"
    return f"{number:.0f} B"


def decimal(rate: float) -> str:
    """A rate up to where its unit's own letter begins: '24.1 G'."""
    for step, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rate >= step * 0.9995:
            return f"{digits3(rate / step)} {letter}"
    return f"{digits3(rate)} "


def count(number: float) -> str:
    """A size on an axis: 64, 16384, 10k, 1M."""
    for step, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 10_000 and number % step == 0:
            return f"{number / step:g}{unit}"
    return f"{number:.12g}"


def value(number: float | None, unit: str) -> str:
    """A metric's figure in its unit ("s", "bytes", "count" or "1")."""
    if unit == "s":
        return time(number)
    if unit == "bytes":
        return size(number)
    if unit == "count":
        return NOTHING if number is None else f"{number:,.0f}"
    return digits3(number)


def figure(metric: str, number: float | None) -> str:
    """A figure in the unit of its metric; of a metric that is not known, the bare number."""
    known = METRICS.get(metric)
    return value(number, known.unit if known else "1")


def bounds(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"(no interval: {plural(interval.count, 'round')})"
    return f"[{digits3(interval.low)}, {digits3(interval.high)}]"


def speed(ratio: Interval | None) -> str:
    """Time of the other over one's own: '2.31× faster [2.10, 2.55]', or as fast where 1 is in."""
    if ratio is None:
        return NOTHING
    if ratio.low is not None and not ratio.excludes(1):
        return f"{digits3(ratio.estimate)}× as fast {bounds(ratio)}"
    if ratio.estimate >= 1:
        return f"{digits3(ratio.estimate)}× faster {bounds(ratio)}"
    slower = ratio.inverse
    return f"{digits3(slower.estimate)}× slower {bounds(slower)}"


def plural(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"
