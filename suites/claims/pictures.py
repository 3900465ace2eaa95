"""Figures that several claims draw of one trained network, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..schema import TrainingResult
from .claim import Kind, Line, Panel, Plot
from .judging import Arms

MEANS = "Means over seeds with 95% intervals."
_ONE_NETWORK = "One network each (the lowest seed), images that were not trained on."


def plot(
    name: str,
    title: str,
    kind: Kind,
    axes: tuple[str, str],
    panels: Mapping[str, tuple[Line, ...]],
    alt: str,
    caption: str = MEANS,
    logarithmic: str = "",
) -> list[Plot]:
    """The plot of the panels that have a line, by their titles; none without any."""
    drawn = tuple(Panel(label, lines, logarithmic) for label, lines in panels.items() if lines)
    return [Plot(name, title, kind, *axes, drawn, alt, caption)] if drawn else []


def clouds(training: TrainingResult, prefix: str = "seen_") -> tuple[Line, ...]:
    """The embedding's two coordinates, a cloud for each identity; none without the series."""
    x, y, of = (
        training.series.get(f"{prefix}embedding_{name}", ()) for name in ("1", "2", "identity")
    )
    if not x or not len(x) == len(y) == len(of):
        return ()
    return tuple(
        Line(
            f"identity {identity:g}",
            tuple(value for value, i in zip(x, of, strict=True) if i == identity),
            tuple(value for value, i in zip(y, of, strict=True) if i == identity),
        )
        for identity in sorted(set(of))
    )


def _panels(
    arms: Arms, names: Sequence[str], drawn: Callable[[TrainingResult], tuple[Line, ...]]
) -> dict[str, tuple[Line, ...]]:
    """One for each arm whose lowest seed has what is drawn."""
    found = ((arm, training) for arm in names if (training := arms.first(arm)))
    return {
        f"{arm}, seed {training.seed}": lines
        for arm, training in found
        if (lines := drawn(training))
    }


def embeddings(arms: Arms, names: Sequence[str], name: str, title: str) -> list[Plot]:
    """A panel of clouds for each arm, from its lowest seed; no plot if none has the series."""
    panels = _panels(arms, names, clouds)
    return plot(
        name, title, "scatter", ("first coordinate", "second coordinate"), panels,
        f"{title}: a cloud of points for each identity, one panel for each of "
        f"{len(panels)} networks.",
        _ONE_NETWORK,
    )  # fmt: skip


def histograms(training: TrainingResult, prefix: str = "seen_") -> tuple[Line, ...]:
    """Shares of the distances of equal and of different identities; none without the series."""
    edges = tuple(training.series.get(f"{prefix}distance_edges", ()))
    found = []
    for kind, label in (("positive", "same identity"), ("negative", "different identities")):
        shares = tuple(training.series.get(f"{prefix}{kind}_distance_share", ()))
        if shares and len(edges) == len(shares) + 1:
            found.append(Line(label, edges, shares))
    return tuple(found)


def distances(arms: Arms, names: Sequence[str], name: str, title: str) -> list[Plot]:
    """A panel of distance histograms for each arm, from its lowest seed."""
    panels = _panels(arms, names, histograms)
    return plot(
        name, title, "steps", ("Euclidean distance", "share of the pairs"), panels,
        f"{title}: histograms of the distances of pairs of the same and of different "
        f"identities, one panel for each of {len(panels)} networks.",
        _ONE_NETWORK,
    )  # fmt: skip
