"""Figures are drawn as they were pinned: the SHA-256 of each SVG, of data written out here.

Figures repeat to the byte with one matplotlib and one FreeType, and differ with another, so the
pins in figure_hashes.json are kept by both. Where a figure was changed on purpose, or matplotlib
was: look at it, then `MEND`, which pins them for the versions that are installed and leaves the
other versions' pins; with ``--draw FOLDER`` it writes them as SVG.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import matplotlib
import pytest
import synthetic_run
from matplotlib import ft2font

from reports import document, drawing, figures, matrices, style, theme
from reports.comparison import Comparison
from reports.document import Figure
from reports.matrices import Square
from reports.quality import pictures
from reports.quality.reading import Group
from reports.reading import Measured
from reports.rows import Rows
from reports.scaling import Line, Panel
from reports.site import roofline
from reports.statistics import Growth, Interval
from reports.style import LossStyles, Styles
from suites.schema import CaseKey

ROOT = Path(__file__).resolve().parents[2]
PINS = Path(__file__).with_name("figure_hashes.json")
VERSIONS = f"matplotlib {matplotlib.__version__}, FreeType {ft2font.__freetype_version__}"
MEND = "PYTHONPATH=tests/support python -m tests.reports.test_figure_hashes --pin"
STYLES = Styles(("reference", "eager", "compiled", "triton", "somebody's own"))
NO_DATA = document.table(("n",), ())
SIZES = (128, 256, 512, 1024)
SPEED = {"eager": 1.0, "compiled": 2.0, "somebody's own": 0.5}


def interval(value: float, spread: float = 0.25) -> Interval:
    """Powers of two where they can be, so that no rounding depends on the machine."""
    return Interval(value, value * (1 - spread), value * (1 + spread), 12)


def panel(variant: str, metric: str = "both_time_s", unit: float = 2.0**-27) -> Panel:
    lines = tuple(
        Line(name, {b: interval(unit * b * b / speed) for b in SIZES},
             Growth(interval(2.0, 0.125), unit, tuple(map(float, SIZES)), (2.0, 2.0)))
        for name, speed in SPEED.items()
    )  # fmt: skip
    alone = Line("triton", {512: Interval(unit * 2**16, None, None, 1)}, None)
    return Panel("triplet", variant, "batch", metric, "float32", "cpu", "drawn", 0, "batch",
                 "D=128, 4 a class", (*lines, alone))  # fmt: skip


def growth() -> Figure:
    panels = [panel("batch-all"), panel("batch-hard", unit=2.0**-30)]
    return figures.scaling("growth", "Speed against batch", panels, STYLES)


def memory() -> Figure:
    return figures.scaling("memory", "Memory", [panel("batch-all", "peak_bytes", 4.0)], STYLES)


def growth_on_the_site() -> Figure:
    return theme.themed(growth())


def ratios() -> Figure:
    def row(scale: float) -> list[Comparison]:
        return [Comparison(name, interval(1 / speed), interval(speed * scale), wrong=scale > 1)
                for name, speed in SPEED.items()]  # fmt: skip

    return figures.ratios("ratios", "Speed", [("B=512", row(1.0)), ("B=1,024", row(4.0))], STYLES)


def agreement() -> Figure:
    squares = {
        (0, 0): Square("1.0", "passed", 1.0), (0, 3): Square("5×", "passed", 5.0),
        (0, 4): Square("60×", "passed", 60.0), (1, 3): Square("847×", "passed", 847.0, True),
        (1, 4): Square("3e3", "passed", 3000.0),
        (0, 1): Square("1.4", "passed", 1.4, interpreted=True),
        (0, 2): Square("1.9", "passed", 1.9), (1, 0): Square("✗ 7.3", "failed", 7.3),
        (1, 1): Square("not run", "not_run"), (1, 2): Square("–", "absent"),
    }  # fmt: skip
    columns = [("eager", "float32"), ("triton", "float32"), ("triton", "bfloat16"),
               ("compiled", "float32"), ("compiled", "bfloat16")]  # fmt: skip
    rows = ["softmax/linear", "triplet/batch-all"]
    return matrices.matrix("agreement", "Agreement", "", rows, columns, squares, NO_DATA)


def roof() -> Figure:
    case = CaseKey(suite="speed", loss="triplet", variant="batch-all", variant_version=1,
                   family="batch", batch=512, dim=128, classes=128, dtype="float32", device="cpu",
                   data="drawn", seed=0)  # fmt: skip
    measured = Measured(case, "s1", 0, Rows())
    points = Rows(
        roofline.Point(measured, name, intensity, interval(2.0**30 * speed), None, interval(0.5))
        for name, speed in SPEED.items()
        for intensity in (0.5, 64.0)
    )
    rates = {"bytes_per_s": 2.0**33, "flops_per_s_float32": 2.0**36}
    return roofline.figure("triplet", points, rates, STYLES)


def groups() -> list[Group]:
    """Two losses, the second of which keeps identities twice as far apart."""
    made = next(synthetic_run.Maker().trainings())
    found = []
    for place, label in enumerate(("softmax/linear", "triplet/batch-hard"), start=1):
        image = range(48)
        series = {
            "roc_far": [2.0**-k for k in range(14, -1, -1)],
            "roc_tar": [(k / 14) ** (1 / (2 * place)) for k in range(15)],
            "distance_edges": [k / 8 for k in range(17)],
            "positive_distance_share": [1 / 8] * 8 + [0.0] * 8,
            "negative_distance_share": [0.0] * (4 * place) + [1 / 8] * 8 + [0.0] * (8 - 4 * place),
            "embedding_1": [place * (i % 4) + (i % 5) / 8 for i in image],
            "embedding_2": [place * (i % 4 % 2) + (i % 7) / 8 for i in image],
            "embedding_identity": [float(i % 4) for i in image],
        }
        found.append(Group(label, Rows([replace(made, series=series)])))
    return found


def losses() -> LossStyles:
    return LossStyles([group.label for group in groups()])


def roc() -> Figure | None:
    return pictures.roc("roc", groups(), "", losses())


def embeddings() -> Figure | None:
    return pictures.embeddings("embeddings", groups(), "", losses())


def distances() -> Figure | None:
    return pictures.distances("distances", groups(), "")


DRAWN: dict[str, Callable[[], Figure | None]] = {
    one.__name__: one
    for one in (growth, growth_on_the_site, memory, ratios, agreement, roof, roc, embeddings,
                distances)
}  # fmt: skip


def svg(name: str) -> str:
    made = DRAWN[name]()
    assert made is not None
    return made.svg


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def pins() -> dict[str, dict[str, str]]:
    return json.loads(PINS.read_text())


@pytest.mark.parametrize("name", DRAWN)
def test_it_is_drawn_as_pinned(name: str, tmp_path: Path):
    if VERSIONS not in pins():
        pytest.skip(f"no figures are pinned for {VERSIONS}, only for {', '.join(pins())}: {MEND}")
    drawn = svg(name)
    assert drawn == svg(name), "not even the same twice"
    (tmp_path / f"{name}.svg").write_text(drawn)
    assert fingerprint(drawn) == pins()[VERSIONS].get(name), (
        f"{tmp_path / name}.svg is not as pinned; if it is as it should be: {MEND}"
    )


def test_the_locked_matplotlib_is_pinned_for_all_that_is_drawn():
    """Else a new lock would turn every test above into a skip."""
    locked = re.search(r"^matplotlib==(.+)$", (ROOT / "requirements.lock").read_text(), re.M)
    assert locked and any(key.startswith(f"matplotlib {locked[1]},") for key in pins()), MEND
    assert all(set(names) == set(DRAWN) for names in pins().values()), MEND


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"agreement", "ratios"}))
def test_every_axis_says_what_it_shows(name: str, monkeypatch: pytest.MonkeyPatch):
    """But where a row or a column has a name of its own: matrices and ratio plots."""
    made = []
    canvas = drawing.canvas
    monkeypatch.setattr(drawing, "canvas", lambda *size: made.append(canvas(*size)) or made[-1])
    svg(name)
    assert made
    for drawn in made:
        for axis in (one for one in drawn.axes if one.axison):
            place = axis.get_subplotspec()
            assert axis.get_xlabel() or drawn.get_supxlabel(), name
            first = place.is_first_col()
            assert axis.get_ylabel() or drawn.get_supylabel() or not first, name


@pytest.mark.parametrize("count", [1, 2, 20])
def test_names_over_a_matrix_stand_inside_it_however_few_rows_it_has(count: int):
    squares = {(row, 0): Square("1.0", "passed", 1.0) for row in range(count)}
    rows = [f"softmax/{row}" for row in range(count)]
    columns = [("pytorch-metric-learning", "float32")]
    made = matrices.matrix("agreement", "Agreement", "", rows, columns, squares, NO_DATA).svg
    tops = re.findall(r'translate\(\S+ (\S+)\)[^>]*>pytorch-<|y="(\S+)"[^>]*>pytorch-<', made)
    assert tops and all(float(a or b) > 6 for a, b in tops), "in points; 8 is the letters' size"


def test_what_is_slower_than_eager_lies_on_a_ground_of_its_own():
    """From the left edge to the line at 1×, which a narrow screen may have scrolled out of view."""
    drawn = svg("ratios")
    (ground,) = re.findall(r'<path d="([^"]+)"[^>]*fill: #dddddd; opacity: 0.4', drawn)
    (line,) = re.findall(r'<path d="M (\S+) \S+ L \1 \S+"[^>]*stroke: #000000', drawn)
    (axes,) = re.findall(r'data-axes="([^"]+)"', drawn)
    left = json.loads(unescape(axes))["x"][0]
    across = {round(float(x), 2) for x in re.findall(r"[ML] (\S+)", ground)}
    assert across == {left, round(float(line), 2)}


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb as WCAG 2 defines it: 0 black, 1 white."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_shades_of_a_matrix_differ_in_grey_and_their_text_is_readable():
    fields = ["#ffffff", *(field for _, _, field, _ in matrices.SHADES)]
    for pale, dark in itertools.pairwise(fields):
        assert luminance(pale) > luminance(dark) and contrast(pale, dark) > 1.15
    texts = [(field, ink) for _, _, field, ink in matrices.SHADES]
    assert all(contrast(*pair) > 4.5 for pair in [*texts, (style.BAD, matrices.LIGHT)])
    assert not {ink for _, ink in texts} & set(theme.OURS), "a page would put its own for it"


@pytest.mark.parametrize(
    ("level", "step"), [(0.3, 0), (1.04, 0), (1.06, 1), (2, 1), (9, 2), (99, 3), (847, 4), (3e3, 4)]
)
def test_a_larger_multiple_of_eagers_error_is_a_darker_field(level: float, step: int):
    """By the figure as it is written: 1× is not darker for being 1.04."""
    assert matrices._shade(Square("", "passed", level))[0] == matrices.SHADES[step][2]


def test_a_matrix_says_what_its_colours_stand_for():
    drawn = svg("agreement")
    words = [said for _, said, _, _ in matrices.SHADES]
    assert all(f">{word}<" in drawn for word in [*words, "✗ failed", "interpreter"])


def main(arguments: list[str]) -> str | None:
    """Returns what is wrong with the arguments."""
    if arguments == ["--pin"]:
        found = {**pins(), VERSIONS: {name: fingerprint(svg(name)) for name in DRAWN}}
        PINS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    elif arguments[:1] == ["--draw"] and len(arguments) == 2:
        folder = Path(arguments[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name in DRAWN:
            (folder / f"{name}.svg").write_text(svg(name))
    else:
        return f"expected --pin or --draw FOLDER; got {' '.join(arguments) or 'nothing'}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
