"""The figures of the trust page: power, tails, other tools, coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ... import document, drawing, plot
from ...document import table
from ...plot import Axis, Panel, Plot, Rule, Series, ends, percents
from ...style import BAD, INK, PALETTE, Style, style_at
from . import others
from .coverage import TARGET, Coverage
from .findings import FOUND, Findings, short
from .power import ALL
from .replay import legs_of
from .shares import Share, percent

STYLES = {"quiet": PALETTE[0], "loaded": PALETTE[1]}
_CASE = Style("#aaaaaa", "", "-", "")
_TOGETHER, _LATER = Style(INK, "o", "-", "●"), Style(INK, "s", "-", "■")
_TARGET = "#a8cdaa"
_WIDTH = 9.9
_POINTS = 120


def power(found: Findings) -> document.Figure:
    """Share found against the slow-down put in, a panel a load."""
    panels = []
    for load in found.trust.loads:
        if not found.trust.fractions(load):
            continue
        of = found.powers.where(load=load).by("case")
        whole = of[ALL]
        lines = [
            Series([p.fraction for p in rows], [p.found.value for p in rows], _CASE, width=0.8)
            for case in found.trust.cases
            if (rows := of.get(case))
        ]
        fractions = [p.fraction for p in whole]
        lines += _shares(fractions, [p.found for p in whole], STYLES[load], "")
        x = Axis("slow-down put in", log=True, ticks=fractions, show=_put_in)
        target = Rule("y", FOUND, colour=BAD, width=0.8, dashed=True)
        panels.append(Panel(x, _share_axis("found within 30 s"), lines, f"{load} machine",
                            [target]))  # fmt: skip
    parts = [f"{p.load}, {p.fraction:.0%} put in: {percent(p.found.value)}"
             for p in found.powers.where(case=ALL)]  # fmt: skip
    caption = (
        "Share of case verdicts that were SLOWER: all cases with their exact 95% interval, and "
        f"each case in grey. The dashed line is the target's {FOUND:.0%}."
    )
    body = [(p.load, f"{p.fraction:.0%}", p.case, p.found.text()) for p in found.powers]
    return drawing.draw(Plot(
        "found", "Slow-downs found", caption,
        f"Lines of the share of slow-downs found. {'; '.join(parts)}.",
        table(("load", "put in", "case", "found"), body), panels, _WIDTH, 3.2,
    ))  # fmt: skip


def tails(found: Findings) -> document.Figure:
    """How often the log-ratio of a group of unchanged code is beyond so much, both directions."""
    trust = found.trust
    columns, rows = plot.grid(len(trust.cases))
    x = Axis("|log-ratio| beyond", "x", True, (1e-4, 1), show=_percent_tick)
    y = Axis("share of groups", "y", True, show=_percent_tick)
    body: list[tuple[str, ...]] = []
    panels: list[Panel] = []
    for case in trust.cases:
        lines: list[Series] = []
        for load in trust.loads:
            parts = [legs.log_ratios for trial in trust.of(load, 0.0)
                     for legs in legs_of(trial, case)]  # fmt: skip
            if parts:
                values = np.concatenate(parts)
                body.append((case, load, *_tail_row(values)))
                lines += _tail(values, load)
        panels.append(Panel(x, y, lines, short(case), legend="" if panels else "lower left"))
    data = table(("case", "load", "groups", "median", "above 2%", "below −2%", "farthest"), body)
    alt = "Share of groups beyond a log-ratio, by case and load. " + "; ".join(
        f"{short(row[0])}, {row[1]}: {row[4]} above 2%, {row[5]} below −2%" for row in body
    )
    caption = (
        "Share of groups whose log-ratio is farther from 0 than so much; both axes logarithmic. "
        "Thick: candidate slower; thin: candidate faster. The two coincide where nothing lasting "
        "sets the copies apart, which is what the gate's test rests on."
    )
    title = "Log-ratios of groups of unchanged code"
    return drawing.draw(
        Plot("tails", title, caption, alt, data, panels, _WIDTH, 2.6 * rows + 0.3, columns)
    )


def _tail(values: np.ndarray, load: str) -> list[Series]:
    found = []
    for sign, width in ((1, 1.6), (-1, 0.8)):
        side = np.sort(sign * values[sign * values > 0])[::-1]
        if side.size:
            # Ranks evenly spread on the logarithmic axis: the far end keeps every point.
            at = np.unique(np.geomspace(1, side.size, _POINTS).round().astype(int)) - 1
            found.append(Series(
                side[at].tolist(), ((at + 1) / values.size).tolist(),
                replace(STYLES[load], marker=""), load if sign == 1 else "", width=width,
            ))  # fmt: skip
    return found


def _tail_row(values: np.ndarray) -> tuple[str, ...]:
    return (f"{values.size:,}", f"{np.median(values):+.2%}", percent(float(np.mean(values > 0.02))),
            percent(float(np.mean(values < -0.02))), f"{np.abs(values).max():.1%}")  # fmt: skip


def alarms(found: Findings) -> document.Figure:
    """False alarms of each rule, a panel a load."""
    rows = found.judged.where(lambda one: one.slower.of, fraction=0)
    names = [others.OURS, *others.RULES]
    panels = []
    for load in found.trust.loads:
        dots = []
        for series, own in rows.where(load=load).by("series").items():
            late = series == others.IN_TURN
            aside = 0.16 if late else -0.16
            dots.append(_dots(
                [names.index(one.rule) + aside * (one.rule != others.OURS) for one in own],
                [one.slower for one in own], _LATER if late else _TOGETHER, series, late,
            ))  # fmt: skip
        x = percents("unchanged case verdicts called slower", "alarms")
        panels.append(Panel(x, plot.rows(names), dots, f"{load} machine"))
    alt = "Dots of false alarm shares. " + "; ".join(
        f"{one.rule}, {one.load}, {one.series}: {percent(one.slower.value)}" for one in rows
    )
    caption = (
        "Share of case verdicts of unchanged code that each rule calls slower, with its exact 95% "
        f"interval. Full: on legs {others.INTERLEAVED} by the gate; hollow: {others.IN_TURN}."
    )
    data = table(("rule", "series", "load", "called slower"),
                 [(one.rule, one.series, one.load, one.slower.text()) for one in rows])  # fmt: skip
    return drawing.draw(Plot("others-alarms", "False alarms side by side", caption, alt, data,
                             panels, _WIDTH, 2.6, legend="above"))  # fmt: skip


def finds(found: Findings) -> document.Figure:
    """What each rule calls slower at each slow-down, on interleaved legs."""
    rows = found.judged.where(series=others.INTERLEAVED)
    panels = []
    for load in found.trust.loads:
        of = rows.where(load=load)
        fractions = sorted(of.each("fraction"))
        lines: list[Series] = []
        for place, rule in enumerate((others.OURS, *others.RULES)):
            mine = of.where(rule=rule)
            lines += _shares([fractions.index(one.fraction) for one in mine],
                             [one.slower for one in mine], style_at(place), rule)  # fmt: skip
        x = Axis("slow-down put in", ticks=range(len(fractions)),
                 names=[_put_in(fraction) for fraction in fractions])  # fmt: skip
        panels.append(Panel(x, _share_axis("called slower"), lines, f"{load} machine"))
    alt = "Lines of the share called slower against the slow-down. " + "; ".join(
        f"{one.rule}, {one.load}, {_put_in(one.fraction)}: {percent(one.slower.value)}"
        for one in rows
    )
    caption = "On the gate's interleaved legs. At none it is false alarms, elsewhere what is found."
    data = table(("rule", "load", "put in", "called slower"),
                 [(one.rule, one.load, _put_in(one.fraction), one.slower.text())
                  for one in rows])  # fmt: skip
    return drawing.draw(Plot("others-found", "What each rule calls slower", caption, alt, data,
                             panels, _WIDTH, 3.2, legend="below"))  # fmt: skip


def coverage(found: Findings) -> document.Figure:
    rows = [("live", one) for one in found.coverages.live]
    rows += [("replayed", one) for one in found.coverages.replayed]
    rows = [(kind, one) for kind, one in rows if one.covered.of]
    labels = [_coverage_label(kind, one) for kind, one in rows]
    dots = [_dots([y], [one.covered], STYLES[one.load], "", kind == "live")
            for y, (kind, one) in enumerate(rows)]  # fmt: skip
    panel = Panel(percents("share of nominal 95% intervals"), plot.rows(labels), dots,
                  rules=[Rule("x", *TARGET, _TARGET, ground=True)])  # fmt: skip
    parts = [f"{label}: {percent(one.covered.value)}" for label, (_, one) in
             zip(labels, rows, strict=True)]  # fmt: skip
    caption = "With exact 95% intervals; full: replayed, hollow: live. The band is the target."
    data = table(("trials", "held"), [(label, one.covered.text()) for label, (_, one) in
                                      zip(labels, rows, strict=True)])  # fmt: skip
    return drawing.draw(Plot(
        "held", "Intervals that hold the true ratio", caption,
        f"Dots of coverage. {'; '.join(parts)}.", data, [panel], _WIDTH, 0.9 + 0.22 * len(rows),
    ))  # fmt: skip


def _coverage_label(kind: str, one: Coverage) -> str:
    return f"{kind}, {one.load}, {_put_in(one.fraction)} put in"


def _percent_tick(value: float) -> str:
    return f"{100 * value:.6g}%"


def _put_in(fraction: float) -> str:
    return f"{fraction:.3g}" if 0 < fraction < 0.001 else f"{fraction:.0%}" if fraction else "none"


def _share_axis(label: str) -> Axis:
    return replace(percents(label, "share"), limits=(-0.04, 1.04))


def _shares(x: Sequence[float], shares: Sequence[Share], own: Style, label: str) -> list[Series]:
    kept = [(at, share) for at, share in zip(x, shares, strict=True) if share.of]
    return [Series([at for at, _ in kept], [s.value for _, s in kept], own, label,
                   **ends([s for _, s in kept]))] if kept else []  # fmt: skip


def _dots(
    y: Sequence[float], shares: Sequence[Share], own: Style, label: str, hollow: bool
) -> Series:
    return Series([share.value for share in shares], y, own, label, None, "", **ends(shares),
                  spread="x", hollow=hollow)  # fmt: skip
