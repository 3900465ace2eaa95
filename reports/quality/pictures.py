"""The figures of single networks: embeddings and distances, small multiples; and ROC curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.records import Training
from suites.quality.intervals import Interval, interval

from .. import document, picking, style, units
from ..document import Cell, table
from ..style import Style, Styles
from . import clouds, numbers
from .reading import Group, series
from .styles import name as short
from .styles import ticks
from .table_figures import Drawn

COLUMNS = 4
_AXES = ("first axis (embedding's own units)", "second axis (the same)")
MOST_RATES = 41


def _panels(
    name: str, title: str, found: Sequence[tuple[Group, Any]], height: float,
    draw: Callable[[Any, int, Any], None], labels: tuple[str, str],
    after: Callable[[Any], None] = lambda drawn: None,
) -> tuple[Any, float]:  # fmt: skip
    """Small multiples, one panel an arm. ``labels``: of all their x and y axes."""
    columns = 3 if len(found) in (5, 6, 9) else min(COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    width = 0.3 + 2.35 * max(2, columns)
    drawn = style.figure(width, 0.45 + height * rows)
    axes = drawn.subplots(rows, columns, squeeze=False).flat
    for index, axis in enumerate(axes):
        if index >= len(found):
            axis.set_axis_off()
            continue
        group, values = found[index]
        axis.set_title(short(group.label, 30), loc="left")
        draw(axis, index, values)
    drawn.supxlabel(labels[0], fontsize="medium")
    drawn.supylabel(labels[1], fontsize="medium")
    after(drawn)
    return drawn, width


def embeddings(name: str, found: Sequence[Group], prefix: str, styles: Styles) -> Drawn:
    """Small multiples of the lowest seed's embeddings, a colour and a shape for each identity."""
    names = tuple(f"{prefix}embedding_{part}" for part in ("1", "2", "identity"))
    panels = [(g, s) for g in found if g.first and (s := series(g.first, *names))]
    if not panels:
        return None
    with style.drawing():
        title = "Embeddings of seen identities" if prefix else "Embeddings of new identities"

        def frame(axis: Any, index: int, values: Any) -> None:
            x_limits, y_limits = clouds.square(values[0], values[1])
            axis.set(xlim=x_limits, ylim=y_limits)
            axis.set_box_aspect(1)
            ticks(axis.xaxis, 3)
            ticks(axis.yaxis, 3)

        drawn, width = _panels(name, title, panels, 2.45, frame, _AXES, clouds.settle)
        for axis, (_, (xs, ys, identities)) in zip(drawn.axes, panels, strict=False):
            keep = clouds.chosen(len(xs), len(panels))
            x, y, kinds = (np.asarray(values)[keep] for values in (xs, ys, identities))
            for place, at in clouds.by_identity(kinds):
                clouds.cloud(axis, x[at], y[at], place)
        body = [_cloud_row(group, values) for group, values in panels]
        said = [f"{row[0].text}: {row[2]} images of {row[3]} identities, {row[4]} of the spread "
                "lies between identities" for row in body]  # fmt: skip
        alt = f"Scatter plots, one a loss. {'; '.join(said)}."
        svg = clouds.to_svg(drawn, name, title, alt)
    most = clouds.chosen(10**6, len(panels)).size
    caption = (
        "The network of the lowest seed, not the best. Two-dimensional embeddings are shown as "
        "they are, others by their two principal axes, which show only a part of them. Colour and "
        f"shape: the identity; beyond {clouds.NAMED} identities the others are grey. At most "
        f"{most:,} images a panel; each panel has a scale of its own, equal on both axes."
    )
    columns = ("loss", "seed", "images", "identities", "share of spread between identities")
    data = table(columns, body, "All coordinates are in the records", numeric=columns[1:])
    return document.Figure(name, title, caption, alt, svg, width, data)


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
    with style.drawing():
        drawn = style.figure(6.4, 4.0)
        axis = drawn.subplots()
        for group, middles in panels:
            _roc_curve(axis, rates, middles, group.label, styles[group.label])
        axis.set_xscale("log")
        ticks(axis.xaxis)
        axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axis.set(xlabel="false accepts (share of different pairs)", ylim=(-0.02, 1.02),
                 ylabel="true accepts (share of same pairs)")  # fmt: skip
        made = drawn.legend(loc="outside right upper")
        picking.legend(made, [group.label for group, _ in panels])
        title = "ROC curves"
        said = [f"{g.label}: {m[20].mean:.2f} at 1%, {m[10].mean:.2f} at 0.1%" for g, m in panels]
        alt = f"ROC curves, true accepts at false accepts, means over seeds. {'; '.join(said)}."
        svg = clouds.to_svg(drawn, name, title, alt)
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
    return document.Figure(name, title, caption, alt, svg, 6.4, data)


def _roc_curve(
    axis: Any, rates: np.ndarray, middles: Sequence[Interval], label: str, own: Style
) -> None:
    drawn = axis.plot(rates, [m.mean for m in middles], color=own.colour, linestyle=own.line,
                      marker=own.marker, markersize=3.2, markevery=5, linewidth=1.2,
                      label=short(label))  # fmt: skip
    low, high = ([getattr(m, end) for m in middles] for end in ("low", "high"))
    if None not in low:
        # Not by fill_between, whose outline the page's script can't move to a linear axis.
        drawn += axis.fill([*rates, *rates[::-1]], np.clip([*low, *high[::-1]], 0, 1),
                           color=own.colour, alpha=0.12, linewidth=0)  # fmt: skip
    picking.series(drawn, label)


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
    body = []

    def draw(axis: Any, index: int, values: Any) -> None:
        edges, same, other = values
        axis.stairs(same, edges, color="#0072B2", linewidth=1.2, label="same identity")
        axis.stairs(same, edges, color="#0072B2", fill=True, alpha=0.15)
        axis.stairs(other, edges, color="#D55E00", linewidth=1.2, linestyle=(0, (3, 1.5)),
                    label="different identities")  # fmt: skip
        ticks(axis.xaxis, 4)
        ticks(axis.yaxis, 4)
        overlap = sum(min(a, b) for a, b in zip(same, other, strict=True))
        group = panels[index][0]
        body.append((Cell(group.label, mark=group.label), _mean(edges, same), _mean(edges, other),
                     f"{overlap:.0%}"))  # fmt: skip

    with style.drawing():
        title = "Distances between embeddings"
        labels = ("Euclidean distance (embedding's own units)", "share of pairs in a bin")
        drawn, width = _panels(name, title, panels, 1.75, draw, labels)
        shown = drawn.axes[0].get_legend_handles_labels()
        drawn.legend(*shown, loc="outside upper right", ncols=2)
        alt = "Histograms of distances, one panel a loss. " + "; ".join(
            f"{row[0].text}: mean {row[1]} inside an identity, {row[2]} between two, overlap "
            f"{row[3]}" for row in body) + "."  # fmt: skip
        svg = clouds.to_svg(drawn, name, title, alt)
    caption = ("Of the network of the lowest seed. Solid and filled: two images of one identity; "
               "dashed: of two. Each loss has a scale of its own.")  # fmt: skip
    columns = ("loss", "mean inside an identity", "mean between two", "overlap")
    data = table(columns, body, numeric=columns[1:])
    return document.Figure(name, title, caption, alt, svg, width, data)


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
