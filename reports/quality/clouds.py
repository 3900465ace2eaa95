"""Which of many points are shown, and in whose style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

# Points drawn in a figure; beyond, each panel shows an even part of its own.
MOST = 3000
FEWEST = 120
NAMED = 14


def chosen(count: int, panels: int) -> np.ndarray:
    """Indices of the points to draw: all, or an even part that keeps the figure small."""
    most = max(FEWEST, MOST // max(1, panels))
    # By multiples of the golden ratio: spread over the images whatever period their order has.
    places = np.argsort(np.arange(count) * 0.6180339887498949 % 1, kind="stable")
    return np.sort(places[:most])


def square(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """Limits with one scale on both axes, so that angles and distances are what they look like."""
    middle_x, middle_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    half = max(max(xs) - min(xs), max(ys) - min(ys)) / 2 * 1.08 or 1.0
    return [(middle - half, middle + half) for middle in (middle_x, middle_y)]


def by_identity(identities: Sequence[float]) -> list[tuple[int | None, np.ndarray]]:
    """(place, indices) of each kind of point: the identities with most images in styles of their
    own, all others together in grey and first, so that they lie below."""
    labels = np.asarray(identities)
    counts = Counter(labels.tolist())
    named = sorted(counts, key=lambda one: (-counts[one], one))[:NAMED]
    named.sort()
    found: list[tuple[int | None, np.ndarray]] = []
    rest = np.flatnonzero(~np.isin(labels, named))
    if rest.size:
        found.append((None, rest))
    return found + [(place, np.flatnonzero(labels == one)) for place, one in enumerate(named)]
