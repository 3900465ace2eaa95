"""The figures of single networks: embeddings and distances, small multiples; and ROC curves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.records.loading import Training
from suites.interval import Interval
from suites.quality.intervals import interval

from .. import drawing, units
from ..document import Cell, table
from ..plot import Axis, Cloud, Panel, Plot, Series, grid
from ..style import PALETTE, Styles, short
from . import clouds, numbers
from .reading import Group, series
from .table_figures import Drawn

_AXES = ("first axis (embedding's own units)", "second axis (the same)")
_DISTANCES = ("Euclidean distance (embedding's own units)", "share of pairs in a bin")
MOST_RATES = 41


def _grid(count: int, height: float) -> tuple[float, float, int]:
    """Width, height and columns of so many panels."""
    columns, rows = grid(count, 3 if count in (5, 6, 9) else 4)
    return 0.3 + 2.35 * max(2, columns), 0.45 + height * rows, columns


def embeddings(name: str, found: Sequence[Group], prefix: str, styles: Styles) -> Drawn:
    """Small multiples of the lowest seed's embeddings, a colour and a shape for each identity."""
    names = tuple(f"{prefix}embedding_{part}" for part in ("1", "2", "identity"))
    panels = [(g, s) for g in found if g.first and (s := series(g.first, *names))]
    if not panels:
        return None
    title = "Embeddings of seen identities" if prefix else "Embeddings of new identities"
    body = [_cloud_row(group, values) for group, values in panels]
    said = [f"{row[0].text}: {row[2]} images of {row[3]} identities, {row[4]} of the spread "
            "lies between identities" for row in body]  # fmt: skip
    alt = f"Scatter plots, one a loss. {'; '.join(said)}."
    most = clouds.chosen(10**6, len(panels)).size
    caption = (
        "The network of the lowest seed, not the best. Two-dimensional embeddings are shown as "
        "they are, others by their two principal axes, which show only a part of them. Colour and "
        f"shape: the identity; beyond {clouds.NAMED} identities the others are grey. At most "
        f"{most:,} images a panel; each panel has a scale of its own, equal on both axes."
    )
    columns = ("loss", "seed", "images", "identities", "share of spread between identities")
    data = table(columns, body, "All coordinates are in the records", numeric=columns[1:])
    drawn = [_embedding(group, values, len(panels)) for group, values in panels]
    plot = Plot(name, title, caption, alt, data, drawn, *_grid(len(panels), 2.45), labels=_AXES)
    return drawing.draw(plot)


def _embedding(group: Group, values: Sequence[Sequence[float]], panels: int) -> Panel:
    x, y = (Axis(limits=ends, ticks=3) for ends in clouds.square(values[0], values[1]))
    keep = clouds.chosen(len(values[0]), panels)
    xs, ys, kinds = (np.asarray(one)[keep] for one in values)
    points = [Cloud(xs[at], ys[at], place) for place, at in clouds.by_identity(kinds)]
    return Panel(x, y, title=short(group.label, 30), clouds=points, square=True)


def _cloud_row(group: Group, values: Sequence[Sequence[float]]) -> tuple[Any, ...]:
    """How far the plotted clouds are apart: variance of the identities' means over all of it."""
    points, kinds = np.column_stack(values[:2]), np.asarray(values[2])
    whole = float(points.var(axis=0).sum())
    identities = np.unique(kinds)
    parts = (points[kinds == one] for one in identities)
    inside = sum(float(((p - p.mean(axis=0)) ** 2).sum()) for p in parts) / len(points)
    share = f"{1 - inside / whole:.0%}" if whole else units.NOTHING
    seed = group.first.seed if group.first else 0
    return (Cell(group.label, mark=group.label), str(seed), f"{len(points):,}",
            f"{len(identities):,}", share)  # fmt: skip


def roc(name: str, found: Sequence[Group], prefix: str, styles: Styles) -> Drawn:
    """Share of same pairs accepted against false accepts, on a logarithmic axis: the mean over
    seeds at each rate, with its interval as a band."""
    rates = np.logspace(-4, 0, MOST_RATES)
    names = (f"{prefix}roc_far", f"{prefix}roc_tar")
    panels = []
    for group in found:
        whole = [s for one in group.ran if (s := series(one, *names))]
        if whole:
            accepted = np.stack([_accepted(one[0], one[1], rates) for one in whole])
            panels.append((group, [interval(at.tolist()) for at in accepted.T]))
    if not panels:
        return None
    said = [
        f"{g.label}: {m[20].estimate:.2f} at 1%, {m[10].estimate:.2f} at 0.1%" for g, m in panels
    ]
    alt = f"ROC curves, true accepts at false accepts, means over seeds. {'; '.join(said)}."
    body = [(Cell(g.label, mark=g.label), str(m[0].count),
             *(numbers.estimate("roc_tar", m[at]) for at in (0, 10, 20, 30)))
            for g, m in panels]  # fmt: skip
    columns = ("loss", "seeds", "at 0.01%", "at 0.1%", "at 1%", "at 10%")
    caption = (
        f"Verification over pairs of {'seen' if prefix else 'new'} identities; means over seeds, "
        "bands are 95% intervals at each rate. The number of pairs of different identities limits "
        "the resolution at the left end."
    )
    data = table(columns, body, "True accepts at false accepts", numeric=columns[1:])
    panel = Panel(
        Axis("false accepts (share of different pairs)", log=True, show=_percent),
        Axis("true accepts (share of same pairs)", limits=(-0.02, 1.02)),
        [_roc_curve(rates, middles, group.label, styles) for group, middles in panels],
    )
    return drawing.draw(
        Plot(name, "ROC curves", caption, alt, data, [panel], 6.4, 4.0, legend="right")
    )


def _percent(value: float) -> str:
    return f"{100 * value:g}%"


def _roc_curve(
    rates: np.ndarray, middles: Sequence[Interval], label: str, styles: Styles
) -> Series:
    low, high = ([None if (end := getattr(m, name)) is None else min(max(end, 0.0), 1.0)
                  for m in middles] for name in ("low", "high"))  # fmt: skip
    return Series(
        rates.tolist(), [m.estimate for m in middles], styles[label], short(label, 34), label,
        low=low, high=high, spread="band", width=1.2, size=3.2, marks=5,
    )  # fmt: skip


def _accepted(far: Sequence[float], tar: Sequence[float], rates: np.ndarray) -> np.ndarray:
    """The largest share of true accepts with no more false ones than each rate."""
    order = np.lexsort((tar, far))
    fars, tars = np.asarray(far)[order], np.maximum.accumulate(np.asarray(tar)[order])
    at = np.searchsorted(fars, rates * (1 + 1e-9), side="right") - 1
    return np.where(at >= 0, tars[np.maximum(at, 0)], 0.0)


def distances(name: str, found: Sequence[Group], prefix: str) -> Drawn:
    """Histograms of distances between images of one identity and of two, of the lowest seed."""
    panels = [(group, one) for group in found if (one := _histogram(group.first, prefix))]
    if not panels:
        return None
    body, drawn = [], []
    for group, (edges, same, other) in panels:
        overlap = sum(min(a, b) for a, b in zip(same, other, strict=True))
        body.append((Cell(group.label, mark=group.label), _mean(edges, same), _mean(edges, other),
                     f"{overlap:.0%}"))  # fmt: skip
        inside = Series(edges, same, PALETTE[0], "same identity", join="bins", width=1.2)
        between = Series(edges, other, PALETTE[1], "different identities", join="bins", width=1.2,
                         hollow=True)  # fmt: skip
        drawn.append(Panel(Axis(ticks=4), Axis(ticks=4), [inside, between], short(group.label, 30)))
    alt = "Histograms of distances, one panel a loss. " + "; ".join(
        f"{row[0].text}: mean {row[1]} inside an identity, {row[2]} between two, overlap {row[3]}"
        for row in body) + "."  # fmt: skip
    caption = ("Of the network of the lowest seed. Solid and filled: two images of one identity; "
               "dashed: of two. Each loss has a scale of its own.")  # fmt: skip
    columns = ("loss", "mean inside an identity", "mean between two", "overlap")
    data = table(columns, body, numeric=columns[1:])
    return drawing.draw(Plot(
        name, "Distances between embeddings", caption, alt, data, drawn,
        *_grid(len(panels), 1.75), "above", _DISTANCES,
    ))  # fmt: skip


def _histogram(training: Training | None, prefix: str) -> tuple[Sequence[float], ...] | None:
    """Edges and the two shares; None where they are missing or do not fit together."""
    if training is None:
        return None
    names = (f"{prefix}{kind}_distance_share" for kind in ("positive", "negative"))
    shares = series(training, *names)
    edges = training.series.get(f"{prefix}distance_edges", [])
    if shares is None or len(edges) != len(shares[0]) + 1:
        return None
    return edges, *shares


def _mean(edges: Sequence[float], shares: Sequence[float]) -> str:
    whole = sum(shares)
    middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    total = sum(m * s for m, s in zip(middles, shares, strict=True))
    return units.digits3(total / whole) if whole else units.NOTHING
