"""The open division's search: what was tried on validation identities, and what was taken."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.records.loading import Training

from .. import document, drawing
from ..document import Block, Cell, Details, Section, Text, table
from ..plot import Axis, Panel, Plot, Series
from ..sections.context import slug, unique
from ..sections.flat import flat
from ..style import Styles, short, style_at
from . import numbers
from .reading import SEARCH, Quality

TITLE = "Search"
_TRIAL = re.compile(r"t(rial-?)?\d+")
MOST_ROWS = 30


def section(quality: Quality, styles: Styles) -> Section:
    trials = quality.of_study(SEARCH)
    if not trials:
        text = "No search was part of this run, so no loss was tuned: see the closed division."
        return Section("search", TITLE, [Text(text)])
    blocks: list[Block] = [Text(_READ)]
    datasets = list(dict.fromkeys(one.dataset for one in trials))
    names = unique([slug("search", dataset) for dataset in datasets])
    for dataset, name in zip(datasets, names, strict=True):
        found = by_loss([one for one in trials if one.dataset == dataset])
        blocks += [Text(f"On {dataset}", "heading"), _best(quality, found)]
        drawn = history(name, found, styles)
        blocks += [drawn] if drawn else []
        blocks += [_trials(quality, loss, one) for loss, one in found.items()]
    return Section("search", TITLE, blocks)


_READ = (
    "Each loss has the same number of trials. A trial trains on a part of the training identities "
    "and is scored on the others (validation): test identities are never seen. The best trial's "
    "score is the highest of many and so is optimistic; it only shows what was chosen. The open "
    "division's table has the result on test identities, over its own seeds."
)


def by_loss(trials: Sequence[Training]) -> dict[str, list[Training]]:
    """Trials of each arm; a trial's own part, as in ``softmax/linear/t03``, is left away."""
    found: dict[str, list[Training]] = {}
    for one in trials:
        head, _, tail = one.arm.rpartition("/")
        arm = head if head and _TRIAL.fullmatch(tail) else one.arm
        found.setdefault(arm or one.loss, []).append(one)
    return found


def score(trial: Training) -> float | None:
    """MAP@R on validation identities; None where the trial did not end."""
    value = trial.metrics.get(numbers.MAIN) if trial.status == "ok" else None
    return value if value is not None and math.isfinite(value) else None


def best_of(trials: Sequence[Training]) -> tuple[Training, float] | None:
    """The first of those with the highest score."""
    scored = [(one, value) for one in trials if (value := score(one)) is not None]
    return max(scored, key=lambda pair: pair[1], default=None)


def _choices(trials: Sequence[Training]) -> dict[str, dict[str, str]]:
    """Of each trial what differs between trials of its loss: the space, as far as it was tried."""
    rows = {one.name: dict(flat(_tuned(one))) for one in trials}
    keys = dict.fromkeys(key for row in rows.values() for key in row)
    varied = [key for key in keys if len({row.get(key) for row in rows.values()}) > 1]
    return {name: {key: row[key] for key in varied if key in row} for name, row in rows.items()}


def _tried(choices: Mapping[str, Mapping[str, str]]) -> list[str]:
    """'learning rate 0.0002 to 0.008' of numbers, the words themselves of anything else."""
    values: dict[str, list[str]] = {}
    for row in choices.values():
        for key, value in row.items():
            values.setdefault(key, []).append(value)
    said = []
    for key, found in values.items():
        try:
            ends = sorted(dict.fromkeys(found), key=lambda text: float(text.replace(",", "")))
            said.append(f"{key} {ends[0]} to {ends[-1]}")
        except ValueError:
            said.append(f"{key} {', '.join(dict.fromkeys(found))}")
    return said


def _tuned(trial: Training) -> Mapping[str, Any]:
    terms = {str(term.get("loss", "")): {k: term.get(k) for k in ("weight", "options")}
             for term in trial.job.get("terms", [])}  # fmt: skip
    return {**trial.job.get("settings", {}), **terms} if trial.job else dict(trial.settings)


def _best(quality: Quality, found: Mapping[str, Sequence[Training]]) -> document.Table:
    rows = []
    for loss, trials in found.items():
        ended = sum(score(one) is not None for one in trials)
        choices = _choices(trials)
        space = _tried(choices)
        best = best_of(trials)
        taken, value = "none: no trial ended", Cell("–")
        if best is not None:
            taken = "; ".join(f"{k} {v}" for k, v in choices[best[0].name].items()) or "as it is"
            value = Cell(f"{best[1]:.3f}", href=quality.link(best[0]))
        rows.append(
            (loss, f"{ended} of {len(trials)}", "; ".join(space) or "nothing", value, taken)
        )
    columns = ("loss", "trials that ended", "space, as tried", "best on validation", "with")
    return table(columns, rows, "Budget, space and the best trial",
                 numeric=("trials that ended", "best on validation"))  # fmt: skip


def _trials(quality: Quality, loss: str, trials: Sequence[Training]) -> Details:
    choices = _choices(trials)
    rows = []
    for number, one in enumerate(trials):
        value = score(one)
        text = "; ".join(f"{k} {v}" for k, v in choices[one.name].items())
        said = (
            numbers.figure(numbers.MAIN, value) if value is not None else one.reason or "no score"
        )
        rows.append((Cell(str(number), href=quality.link(one)), said, text))
    columns = ("trial", "MAP@R on validation", "with")
    made = table(columns, rows, numeric=columns[:2])
    return Details(f"Trials of {loss} ({len(rows)})", [made])


def history(
    name: str, found: Mapping[str, Sequence[Training]], styles: Styles
) -> document.Figure | None:
    """Each trial's score, and the best so far, by loss."""
    shown = {loss: trials for loss, trials in found.items() if best_of(trials)}
    if not shown:
        return None
    parts, body, lines = [], [], []
    for place, (loss, trials) in enumerate(shown.items()):
        own = styles[loss] if loss in styles else style_at(place)
        points = [(n, v) for n, t in enumerate(trials) if (v := score(t)) is not None]
        x, y = [n for n, _ in points], [v for _, v in points]
        top = list(itertools.accumulate(y, max))
        lines.append(Series(x, y, own, join="", hollow=True, size=3.2))
        lines.append(Series(x, top, own, short(loss, 34), join="steps", marks=[len(x) - 1]))
        parts.append(f"{loss}: {top[0]:.3f} at first, {top[-1]:.3f} in the end")
        body.append((loss, str(len(x)), f"{top[0]:.3f}", f"{top[-1]:.3f}",
                     str(x[y.index(top[-1])])))  # fmt: skip
    columns = ("loss", "trials", "first", "best", "found at trial")
    panel = Panel(Axis("trial", ticks=8, whole=True), Axis("MAP@R on validation identities"), lines)
    return drawing.draw(Plot(
        name, "History of the search", "Hollow: one trial each. Lines: the best so far.",
        f"Best score by trial. {'; '.join(parts)}.", table(columns, body, numeric=columns[1:]),
        [panel], 7.6, 3.6, legend="right",
    ))  # fmt: skip
