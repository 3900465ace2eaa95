"""The figures of the trust page: power, tails, other tools, coverage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import ticker

from ... import document, style
from ...document import table
from ...style import Style
from . import others
from .coverage import TARGET, Coverage
from .findings import FOUND, Findings, short
from .power import ALL
from .replay import legs_of
from .shares import Share, percent

STYLES = {
    "quiet": Style("#0072B2", "^", "-", "▲"),
    "loaded": Style("#D55E00", "s", (0, (5, 2)), "■"),
}
_RULE_STYLES = (
    Style("#000000", "o", "-", "●"), Style("#E69F00", "s", (0, (6, 2)), "■"),
    Style("#009E73", "D", (0, (2, 1.2)), "◆"), Style("#CC79A7", "p", (0, (4, 1, 1, 1)), "⬟"),
    Style("#0072B2", "v", (0, (1, 1)), "▼"),
)  # fmt: skip
_WIDTH = 9.9
_POINTS = 120


def power(found: Findings) -> document.Figure:
    """Share found against the slow-down put in, a panel a load."""
    name, title = "found", "Slow-downs found"
    loads = [load for load in found.trust.loads if found.trust.fractions(load)]
    with style.drawing():
        drawn = style.figure(_WIDTH, 3.2)
        axes = drawn.subplots(1, max(1, len(loads)), sharey=True, squeeze=False)[0]
        for axis, load in zip(axes, loads, strict=False):
            for case in found.trust.cases:
                rows = [p for p in found.powers if p.load == load and p.case == case]
                axis.plot([p.fraction for p in rows], [p.found.value for p in rows],
                          color="#aaaaaa", linewidth=0.8)  # fmt: skip
            rows = [p for p in found.powers if p.load == load and p.case == ALL]
            _errorbars(axis, [p.fraction for p in rows], [p.found for p in rows], STYLES[load], ALL)
            axis.axhline(FOUND, color=style.BAD, linewidth=0.8, linestyle=(0, (4, 3)))
            axis.set_title(f"{load} machine", loc="left")
            _fractions(axis, [p.fraction for p in rows])
            axis.set_xlabel("slow-down put in")
        _shares(axes[0], "found within 30 s")
        alt = _power_alt(found)
        svg = style.to_svg(drawn, name, title, alt)
    caption = (
        "Share of case verdicts that were SLOWER: all cases with their exact 95% interval, and "
        f"each case in grey. The dashed line is the target's {FOUND:.0%}."
    )
    body = [(p.load, f"{p.fraction:.0%}", p.case, p.found.text()) for p in found.powers]
    data = table(("load", "put in", "case", "found"), body)
    return document.Figure(name, title, caption, alt, svg, _WIDTH, data)


def _power_alt(found: Findings) -> str:
    parts = [f"{p.load}, {p.fraction:.0%} put in: {percent(p.found.value)}"
             for p in found.powers if p.case == ALL]  # fmt: skip
    return f"Lines of the share of slow-downs found. {'; '.join(parts)}."


def tails(found: Findings) -> document.Figure:
    """How often the log-ratio of a group of unchanged code is beyond so much, both directions."""
    name, title = "tails", "Log-ratios of groups of unchanged code"
    trust = found.trust
    columns = min(3, len(trust.cases))
    rows = math.ceil(len(trust.cases) / columns)
    body: list[tuple[str, ...]] = []
    with style.drawing():
        drawn = style.figure(_WIDTH, 2.6 * rows + 0.3)
        axes = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
        for index, axis in enumerate(axes):
            if index >= len(trust.cases):
                axis.set_axis_off()
                continue
            case = trust.cases[index]
            for load in trust.loads:
                parts = [legs.log_ratios for trial in trust.of(load, 0.0)
                         for legs in legs_of(trial, case)]  # fmt: skip
                if parts:
                    body.append((case, load, *_tail(axis, np.concatenate(parts), load)))
            axis.set_title(style.short(short(case), 44), loc="left")
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.xaxis.set_major_formatter(_percent_tick)
            axis.yaxis.set_major_formatter(_percent_tick)
            if index + columns >= len(trust.cases):
                axis.set_xlabel("|log-ratio| beyond")
                axis.xaxis.set_tick_params(labelbottom=True)
            if index % columns == 0:
                axis.set_ylabel("share of groups")
        if len(trust.cases):
            drawn.axes[0].set_xlim(1e-4, 1)
            drawn.axes[0].legend(loc="lower left")
        data = table(
            ("case", "load", "groups", "median", "above 2%", "below −2%", "farthest"), body
        )
        alt = "Share of groups beyond a log-ratio, by case and load. " + "; ".join(
            f"{short(row[0])}, {row[1]}: {row[4]} above 2%, {row[5]} below −2%" for row in body
        )
        svg = style.to_svg(drawn, name, title, alt)
    caption = (
        "Share of groups whose log-ratio is farther from 0 than so much; both axes logarithmic. "
        "Thick: candidate slower; thin: candidate faster. The two coincide where nothing lasting "
        "sets the copies apart, which is what the gate's test rests on."
    )
    return document.Figure(name, title, caption, alt, svg, _WIDTH, data)


def _tail(axis: Any, values: np.ndarray, load: str) -> tuple[str, ...]:
    pen = STYLES[load]
    for sign, width in ((1, 1.6), (-1, 0.8)):
        side = np.sort(sign * values[sign * values > 0])[::-1]
        if side.size:
            # Ranks evenly spread on the logarithmic axis: the far end keeps every point.
            at = np.unique(np.geomspace(1, side.size, _POINTS).round().astype(int)) - 1
            axis.plot(side[at], (at + 1) / values.size, color=pen.colour, linestyle=pen.line,
                      linewidth=width, label=load if sign == 1 else None)  # fmt: skip
    return (f"{values.size:,}", f"{np.median(values):+.2%}", percent(float(np.mean(values > 0.02))),
            percent(float(np.mean(values < -0.02))), f"{np.abs(values).max():.1%}")  # fmt: skip


def alarms(found: Findings) -> document.Figure:
    """False alarms of each rule, a panel a load."""
    name, title = "others-alarms", "False alarms side by side"
    rows = [one for one in found.judged if not one.fraction and one.slower.of]
    names = [others.OURS, *others.RULES]
    with style.drawing():
        drawn = style.figure(_WIDTH, 2.6)
        loads = found.trust.loads
        axes = drawn.subplots(1, len(loads), sharex=True, sharey=True, squeeze=False)[0]
        for axis, load in zip(axes, loads, strict=True):
            for one in rows:
                if one.load != load:
                    continue
                late = one.series == others.IN_TURN
                y = names.index(one.rule) + (0.16 if late else -0.16) * (one.rule != others.OURS)
                axis.plot((one.slower.low, one.slower.high), (y, y), color="#555555", linewidth=1.4)
                axis.plot([one.slower.value], [y], marker="s" if late else "o", color="#000000",
                          markerfacecolor="white" if late else "#000000", linestyle="none",
                          label=one.series)  # fmt: skip
            axis.set_title(f"{load} machine", loc="left")
            axis.set_xlabel("unchanged case verdicts called slower")
            axis.xaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=0))
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        handles, labels = axes[0].get_legend_handles_labels()
        seen = dict(zip(labels, handles, strict=True))
        drawn.legend(seen.values(), seen.keys(), loc="outside upper right", ncols=2)
        alt = "Dots of false alarm shares. " + "; ".join(
            f"{one.rule}, {one.load}, {one.series}: {percent(one.slower.value)}" for one in rows
        )
        svg = style.to_svg(drawn, name, title, alt)
    caption = (
        "Share of case verdicts of unchanged code that each rule calls slower, with its exact 95% "
        f"interval. Full: on legs {others.INTERLEAVED} by the gate; hollow: {others.IN_TURN}."
    )
    data = table(("rule", "series", "load", "called slower"),
                 [(one.rule, one.series, one.load, one.slower.text()) for one in rows])  # fmt: skip
    return document.Figure(name, title, caption, alt, svg, _WIDTH, data)


def finds(found: Findings) -> document.Figure:
    """What each rule calls slower at each slow-down, on interleaved legs."""
    name, title = "others-found", "What each rule calls slower"
    rows = [one for one in found.judged if one.series == others.INTERLEAVED]
    loads = found.trust.loads
    with style.drawing():
        drawn = style.figure(_WIDTH, 3.2)
        axes = drawn.subplots(1, len(loads), sharey=True, squeeze=False)[0]
        for axis, load in zip(axes, loads, strict=True):
            labels = sorted({one.fraction for one in rows if one.load == load})
            for rule, pen in zip((others.OURS, *others.RULES), _RULE_STYLES, strict=True):
                mine = [one for one in rows if one.load == load and one.rule == rule]
                _errorbars(axis, [labels.index(one.fraction) for one in mine],
                           [one.slower for one in mine], pen, rule)  # fmt: skip
            axis.set_xticks(range(len(labels)), [_put_in(fraction) for fraction in labels])
            axis.set_title(f"{load} machine", loc="left")
            axis.set_xlabel("slow-down put in")
        _shares(axes[0], "called slower")
        handles, names = axes[0].get_legend_handles_labels()
        drawn.legend(handles, names, loc="outside lower center", ncols=3)
        alt = "Lines of the share called slower against the slow-down. " + "; ".join(
            f"{one.rule}, {one.load}, {_put_in(one.fraction)}: {percent(one.slower.value)}"
            for one in rows
        )
        svg = style.to_svg(drawn, name, title, alt)
    caption = "On the gate's interleaved legs. At none it is false alarms, elsewhere what is found."
    data = table(("rule", "load", "put in", "called slower"),
                 [(one.rule, one.load, _put_in(one.fraction), one.slower.text())
                  for one in rows])  # fmt: skip
    return document.Figure(name, title, caption, alt, svg, _WIDTH, data)


def coverage(found: Findings) -> document.Figure:
    name, title = "held", "Intervals that hold the true ratio"
    rows = [("live", one) for one in found.coverages.live]
    rows += [("replayed", one) for one in found.coverages.replayed]
    rows = [(kind, one) for kind, one in rows if one.covered.of]
    labels = [_coverage_label(kind, one) for kind, one in rows]
    with style.drawing():
        drawn = style.figure(_WIDTH, 0.9 + 0.22 * len(rows))
        axis = drawn.subplots()
        axis.axvspan(*TARGET, color="#dfeee0", linewidth=0)
        for y, (kind, one) in enumerate(rows):
            colour = STYLES[one.load].colour
            axis.plot((one.covered.low, one.covered.high), (y, y), color=colour, linewidth=1.4)
            axis.plot([one.covered.value], [y], marker=STYLES[one.load].marker, color=colour,
                      markerfacecolor=colour if kind == "replayed" else "white")  # fmt: skip
        axis.set_yticks(range(len(rows)), labels)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.xaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=0))
        axis.set_xlabel("share of nominal 95% intervals")
        parts = [f"{label}: {percent(one.covered.value)}" for label, (_, one) in
                 zip(labels, rows, strict=True)]  # fmt: skip
        alt = f"Dots of coverage. {'; '.join(parts)}."
        svg = style.to_svg(drawn, name, title, alt)
    caption = "With exact 95% intervals; full: replayed, hollow: live. The band is the target."
    data = table(("trials", "held"), [(label, one.covered.text()) for label, (_, one) in
                                      zip(labels, rows, strict=True)])  # fmt: skip
    return document.Figure(name, title, caption, alt, svg, _WIDTH, data)


def _coverage_label(kind: str, one: Coverage) -> str:
    return f"{kind}, {one.load}, {_put_in(one.fraction)} put in"


def _percent_tick(value: float, _: object = None) -> str:
    return f"{100 * value:.6g}%"


def _put_in(fraction: float) -> str:
    return f"{fraction:.3g}" if 0 < fraction < 0.001 else f"{fraction:.0%}" if fraction else "none"


def _errorbars(axis: Any, x: list, shares: list[Share], pen: Style, label: str) -> None:
    kept = [(a, s) for a, s in zip(x, shares, strict=True) if s.of]
    if kept:
        values = [s.value for _, s in kept]
        ends = [[s.value - s.low for _, s in kept], [s.high - s.value for _, s in kept]]
        axis.errorbar([a for a, _ in kept], values, yerr=ends, color=pen.colour, label=label,
                      marker=pen.marker, linestyle=pen.line, elinewidth=0.8)  # fmt: skip


def _fractions(axis: Any, fractions: list[float]) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(ticker.FixedLocator(fractions))
    axis.xaxis.set_major_formatter(lambda value, _: _put_in(value))
    axis.xaxis.set_minor_locator(ticker.NullLocator())


def _shares(axis: Any, label: str) -> None:
    axis.set_ylim(-0.04, 1.04)
    axis.set_ylabel(label)
    axis.yaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=0))
