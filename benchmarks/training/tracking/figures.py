"""Figures of one training, small enough to commit by the hundred: embeddings, ROC, distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Eight colours that the colour-blind can distinguish (Okabe and Ito 2008), and a marker for each.
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
_MARKERS = "osv^DPX*"
_DPI = 72
_SPLITS = {"": "test: identities never trained on", "seen_": "seen: other images of those trained"}
Series = Mapping[str, Sequence[float]]


def draw(folder: Path, series: Series, title: str) -> list[str]:
    """Writes the figures that ``series`` allows into ``folder``; their names. A panel a split."""
    drawers = {
        "embeddings.png": ("embedding_1", _embeddings),
        "roc.png": ("roc_far", _roc),
        "distances.png": ("distance_edges", _distances),
        "angles.png": ("angle_edges", _angles),
    }
    drawn = []
    for name, (needed, drawer) in drawers.items():
        splits = [split for split in _SPLITS if len(series.get(split + needed, ())) > 0]
        if splits:
            _figure(folder / name, series, splits, drawer, title)
            drawn.append(name)
    return drawn


def _figure(path: Path, series: Series, splits: list[str], drawer: Any, title: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(splits), 4.0))
    # Fixed margins: to find them takes longer than to draw.
    half = 1 / len(splits)
    figure.subplots_adjust(
        left=0.16 * half, right=1 - 0.05 * half, bottom=0.13, top=0.87, wspace=0.25
    )
    figure.suptitle(title, fontsize=8)
    panels = figure.subplots(1, len(splits), squeeze=False)[0]
    for axes, split in zip(panels, splits, strict=True):
        drawer(axes, {k.removeprefix(split): v for k, v in series.items() if k.startswith(split)})
        axes.set_title(_SPLITS[split], fontsize=8)
        axes.tick_params(labelsize=7)
    # Without the version of matplotlib, and in few colours: equal data, equal and small files.
    figure.savefig(path, dpi=_DPI, format="png", metadata={"Software": None})
    _fewer_colours(path)


def _fewer_colours(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(64)
    reduced.save(path, optimize=True)


def _embeddings(axes: Any, series: Series) -> None:
    import numpy

    first, second = numpy.array(series["embedding_1"]), numpy.array(series["embedding_2"])
    identities = numpy.array(series["embedding_identity"])
    known, number = numpy.unique(identities, return_inverse=True)
    # A call takes milliseconds: many identities share the colours, one call each.
    groups = number if len(known) <= 10 else number % 8
    for i in range(int(groups.max()) + 1):
        of = groups == i
        style: dict[str, Any] = {"color": COLOURS[i % 8], "marker": _MARKERS[i % 8]}
        axes.plot(first[of], second[of], ls="", ms=2.5, mew=0, label=f"{known[i]:g}", **style)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("first coordinate", fontsize=7)
    axes.set_ylabel("second", fontsize=7)
    if len(known) <= 10:
        axes.legend(title="identity", fontsize=6, title_fontsize=6)


def _roc(axes: Any, series: Series) -> None:
    axes.plot(series["roc_far"], series["roc_tar"], color=COLOURS[0])
    least = min((far for far in series["roc_far"] if far > 0), default=1e-3)
    axes.set_xscale("log")
    axes.set(xlim=(min(least, 0.1), 1), ylim=(0, 1.01))
    axes.set_xlabel("false accept rate", fontsize=7)
    axes.set_ylabel("true accept rate", fontsize=7)
    axes.grid(alpha=0.3)


def _distances(axes: Any, series: Series) -> None:
    edges = series["distance_edges"]
    for name, label, i in (("positive", "same identity", 0), ("negative", "different ones", 4)):
        shares = series.get(f"{name}_distance_share")
        if shares:
            axes.stairs(shares, edges, color=COLOURS[i], fill=True, alpha=0.5, label=label)
    axes.set_xlabel("Euclidean distance of a pair", fontsize=7)
    axes.set_ylabel("share of the pairs", fontsize=7)
    axes.legend(fontsize=7)


def _angles(axes: Any, series: Series) -> None:
    axes.stairs(series["angle_share"], series["angle_edges"], color=COLOURS[0], fill=True)
    axes.set_xlabel("direction of the embedding, degrees", fontsize=7)
    axes.set_ylabel("share of the images", fontsize=7)
