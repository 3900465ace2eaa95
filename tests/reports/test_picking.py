"""What a page's script goes by: sort keys, columns to filter by, series and axes of figures."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from page_reader import Page

from reports import document, drawing, pages
from reports.document import Cell, Section
from reports.plot import Axis, Panel, Plot, Series
from reports.sorting import attribute, key
from reports.style import PALETTE, Styles


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("900 µs", 9e-4), ("1.20 ms", 1.2e-3), ("12,345", 12345.0), ("0.5%", 0.005),
        ("1.5 GiB", 1.5 * 2**30), ("512 B", 512.0), ("−0.5", -0.5), ("1e-7", 1e-7),
        ("1.90× faster [1.80, 2.00]", 1.9), ("2.00× slower [1.9, 2.1]", 0.5),
        ("1.02× as fast [0.97, 1.07]", 1.02), ("10k", 1e4), ("3.1e-7 (interpreter)", 3.1e-7),
        ("3 of 9", 3.0), ("64 to 1,024 (5)", 64.0), ("12.5%", 0.125), ("1.2x", 1.2),
        ("–", None), ("", None), ("compiled", None), ("2026-01-01", None), ("512 rows", None),
        ("B=512", None), ("1.2.3", None), ("0x10", None),
    ],
)  # fmt: skip
def test_a_cell_is_worth_the_figure_it_begins_with(text: str, worth: float | None):
    assert key(text) == (worth if worth is None else pytest.approx(worth))


def test_what_says_itself_is_not_said_twice():
    assert attribute("12,345") == attribute("-0.5") == attribute("words") == ""
    assert attribute("900 µs") == "0.0009"


def page(*tables: document.Table) -> Page:
    made = document.Document("t", "s", "l", [], [], [Section("x", "X", tables)])
    return Page(pages.render(made, pages.Page("index.html", Styles([]))))


def rows(*values: str) -> list[tuple]:
    return [(value, Cell("1 ms"), Cell("n", sort="2.5")) for value in values]


def test_columns_with_few_values_are_marked_for_filtering():
    columns = ("loss", "time", "note")
    few = document.table(columns, rows(*"abababab"))
    assert [("data-filter" in th) for th in page(few).named("th")] == [True, False, False]
    # One value, many values or few rows: nothing to pick.
    for values in ("aaaaaaaa", "abcdefghijklmnopqrstuvwxyz", "ab"):
        assert not any("data-filter" in th for th in page(document.table(columns, rows(*values)))
                       .named("th"))  # fmt: skip
    made = page(document.table(columns, rows("a", "b")))
    assert [td.get("data-sort") for td in made.named("td")][:3] == [None, "0.001", "2.5"]


def test_only_our_own_script_may_run_and_nothing_is_fetched():
    policy = next(m["content"] for m in page().named("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy and "http:" not in policy and "https:" not in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}';", policy)


def drawn(contender: str = "eager", log: bool = True) -> str:
    lines = [
        Series((1.0, 2.0), (1.0, 10.0), PALETTE[0], contender, contender, low=(0.9, 9.8),
               high=(1.1, 10.2)),
    ]  # fmt: skip
    panel = Panel(Axis(), Axis(log=log), lines, legend="best")
    data = document.table(("n",), ())
    return drawing.draw(Plot("name", "title", "caption", "alt", data, [panel], 3, 2)).svg


def test_series_and_axes_are_named_in_the_drawing():
    svg = drawn()
    assert svg.count('data-contender="eager"') == 2 and svg.count('data-key="eager"') == 2
    (axes,) = re.findall(r'data-axes="([^"]*)"', svg)
    ((name, (start, end, low, high)),) = json.loads(unescape(axes)).items()
    assert name == "y" and start > end and 0 < low < 1.0 and high > 10.0
    assert 'data-tick="y"' in svg and svg.count("<g id=") == 0
    linear = drawn(log=False)
    assert "data-axes" not in linear and "data-tick" not in linear


def test_a_hostile_name_stays_inside_its_attribute():
    name = "\"><script>alert(1)</script>&'%22"
    found = [a["data-contender"] for tag, a in Page(drawn(name)).tags if "data-contender" in a]
    assert found == [name] * 2
