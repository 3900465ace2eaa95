"""A plot as data is drawn with all that it says."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from reports import document, drawing
from reports.plot import Axis, Panel, Plot, Rule, Series, dots, rows
from reports.style import PALETTE, Styles
from suites.interval import Interval

STYLES = Styles(("eager", "compiled", "triton"))


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> list:
    """Of the figure that is drawn last."""
    found: list = []
    canvas = drawing.canvas

    def kept(*size: float):
        found[:] = [canvas(*size)]
        return found[0]

    monkeypatch.setattr(drawing, "canvas", kept)
    return found


def draw(panels: Sequence[Panel], **said) -> str:
    data = document.table(("n",), ())
    return drawing.draw(Plot("p", "title", "caption", "alt", data, panels, 6, 3, **said)).svg


def line(*y: float, label: str = "", **said) -> Series:
    return Series(range(len(y)), y, PALETTE[0], label, **said)


def test_a_shared_scale_ends_where_the_last_panels_data_do(axes: list):
    shared = Axis("share", "y", share=True)
    draw([Panel(Axis(), shared, [line(0.1, 0.2)]), Panel(Axis(), shared, [line(0.5, 0.9)])])
    ends = [one.get_ylim() for one in axes[0].axes]
    assert ends[0] == ends[1] and ends[0][0] < 0.1 and 0.9 < ends[0][1] <= 1.02
    own = Axis("share", share=True)
    draw([Panel(Axis(), own, [line(0.1, 0.2)]), Panel(Axis(), own, [line(0.5, 9.0)])])
    first, second = (one.get_ylim() for one in axes[0].axes)
    assert first[1] < 0.5 and second[1] == 1.02, "no share is above 1"


def test_a_label_stands_once_in_the_legend_in_the_order_that_it_came(axes: list):
    draw([Panel(Axis(), Axis(), [line(1, 2, label="b"), line(1, 2, label="a")]),
          Panel(Axis(), Axis(), [line(1, 2, label="c"), line(1, 2, label="b")])],
         legend="above")  # fmt: skip
    assert [one.get_text() for one in axes[0].legends[0].get_texts()] == ["b", "a", "c"]


def test_dots_are_a_series_a_contender_and_full_in_the_legend(axes: list):
    near = Interval(1.0, 0.5, 2.0, 12)
    found = [("triton", True, 1.0, 0, near), ("eager", False, 1.0, 0, near),
             ("triton", False, 2.0, 1, near)]  # fmt: skip
    made = dots(found, STYLES)
    assert [(one.of, one.hollow) for one in made] == [
        ("triton", False), ("triton", True), ("eager", False)]  # fmt: skip
    svg = draw([Panel(Axis(), rows(["one", "two"]), made)], legend="above")
    handles = axes[0].legends[0].legend_handles
    assert len(handles) == 2 and "white" not in {one.get_markerfacecolor() for one in handles}
    assert svg.count('data-contender="triton"') >= 4, "a bar and a dot each"
    faces = [one.lines[0].get_markerfacecolor() for one in axes[0].axes[0].containers]
    assert [face == "white" for face in faces] == [False, True, False]


def test_an_end_that_is_missing_draws_no_bar(axes: list):
    draw([Panel(Axis(), Axis(), [line(1, 2, 3, low=(0.5, None, 2.0), high=(1.5, None, 4.0))])])
    (bars,) = axes[0].axes[0].containers[0].lines[2]
    lengths = [float(end[1] - start[1]) for start, end in bars.get_segments()]
    assert lengths == [1.0, 0.0, 2.0]


def test_rules_are_moved_but_never_hidden_where_series_can_be(axes: list):
    rules = [Rule("x", 1), Rule("x", None, 1, ground=True)]
    picked = draw([Panel(Axis(log=True), Axis(), [line(1, 2, of="eager")], rules=rules)])
    assert picked.count('data-contender=""') == 2
    assert "data-" not in draw([Panel(Axis(log=True), Axis(), [line(1, 2)], rules=rules)])


def test_ticks_that_another_panel_shows_are_not_written_twice(axes: list):
    panel = Panel(Axis("x", "x"), Axis("y", "y"), [line(0.25, 0.5)])
    shared = draw([panel, panel])
    alone = draw([Panel(Axis("x"), Axis("y"), [line(0.25, 0.5)])] * 2)
    written = [len(re.findall(r">0\.30?<|<!-- 0\.30? -->", one)) for one in (shared, alone)]
    assert written == [1, 2]
