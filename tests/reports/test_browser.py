"""Pages in a real headless Chromium: silent, alone, narrow, readable, sortable, printable.

Skipped, with what to install, where Playwright or Chromium is missing; CI has both.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import synthetic_quality
import synthetic_run
from browser import PHONE, browser, chromium, opened, pages_and_texts, served, violations
from click.testing import CliRunner

from commands.root import cli
from reports import theme
from reports.build import build
from reports.site import building

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "reports/published"
SITE = sorted(path.relative_to(PUBLISHED).as_posix() for path in PUBLISHED.glob("site/**/*.html"))
TRUST = "site/gate/xeon-2-cores.html"


def _run(folder: Path, seed: int = 0) -> Path:
    maker = synthetic_run.Maker(seed=seed, rounds=6, losses=synthetic_run.LOSSES[:2],
                                dtypes=("float32",))  # fmt: skip
    return synthetic_run.write(folder, maker.lines())


def _bench(folder: Path) -> Path:
    return build(_run(folder))


def _quality(folder: Path) -> Path:
    with synthetic_quality.one_claim():
        synthetic_quality.report(folder, synthetic_quality.Maker(seeds=(0, 1, 2)).lines())
    return folder / "index.html"


def _compare(folder: Path) -> Path:
    runs, out = (str(_run(folder / "a")), str(_run(folder / "b", 1))), folder / "page"
    CliRunner().invoke(cli, ["compare", *runs, "--out", str(out)])
    return out / "index.html"


def _site(folder: Path) -> Path:
    run = _run(folder / "box")
    packed = lzma.compress((run / "records.jsonl").read_bytes())
    (run / "records.jsonl").unlink()
    (run / "records.jsonl.xz").write_bytes(packed)
    building.build(folder, folder / "site")
    return folder / "site"


MADE: dict[str, Callable[[Path], Path]] = {
    "bench": _bench, "quality": _quality, "compare": _compare, "site": _site,
}  # fmt: skip
# Of the site, whose pages share their templates: the first of each folder is looked at closely.
CLOSELY = list({Path(name).parent: name for name in reversed(SITE)}.values())
# A word of a made page, and of a folder which of its files.
NAMES = ["bench", "quality", "compare", "site index.html", "site losses/*.html",
         "site machines/*.html", TRUST, *CLOSELY]  # fmt: skip


@pytest.fixture(scope="session")
def page_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A page by name, built when first asked for."""
    chromium()
    built: dict[str, Path] = {}

    def at(name: str) -> Path:
        word, _, inside = name.partition(" ")
        if word not in MADE:
            return PUBLISHED / name
        if word not in built:
            built[word] = MADE[word](tmp_path_factory.mktemp(word))
        return min(built[word].glob(inside)) if inside else built[word]

    return at


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_without_a_word_and_asks_for_nothing(browser: Any, page_at: Any, name: str):
    with opened(browser, page_at(name)) as found:
        found.page.wait_for_load_state()
        assert not found.complaints and not found.outside
        assert violations(found.page) == []
        found.page.emulate_media(color_scheme="dark")
        assert violations(found.page) == [], "dark"
        found.page.set_viewport_size(PHONE)
        width = found.page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], "no scrolling sideways on a phone"
        assert not found.complaints and not found.outside


@pytest.mark.parametrize("name", sorted(set(SITE) - set(CLOSELY)))
def test_every_page_of_the_site_loads(browser: Any, name: str):
    with opened(browser, PUBLISHED / name) as found:
        assert not found.complaints and not found.outside


@pytest.mark.parametrize("name", ["bench", TRUST])
def test_it_says_the_same_without_script(browser: Any, page_at: Any, name: str):
    with opened(browser, page_at(name), java_script_enabled=False) as found:
        rows = found.page.locator("tbody tr")
        assert rows.count() > 20 and found.page.locator(".tools").count() == 0
        assert found.page.locator("h2").first.is_visible()
        assert not found.complaints


def test_an_address_that_is_cut_short_breaks_nothing(browser: Any, page_at: Any):
    with opened(browser, page_at("bench")) as found:
        found.page.evaluate("location.hash = '#%E0%A4%A'")
        found.page.evaluate("location.hash = '#answer'")
        assert not found.complaints


def test_a_table_sorts_by_figures_with_the_keyboard(browser: Any, page_at: Any):
    with opened(browser, page_at("bench")) as found:
        table = found.page.locator("table:has(th:has-text('eager takes'))").first
        head = table.locator("th", has_text="eager takes").first
        column = head.evaluate("head => head.cellIndex")

        def figures() -> list[float]:
            return table.evaluate(
                "(table, c) => [...table.tBodies[0].rows].map(r => Number(r.cells[c].dataset.sort"
                " ?? r.cells[c].textContent))", column)  # fmt: skip

        before = figures()
        head.locator("button").focus()
        found.page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending" and figures() == sorted(before)
        found.page.keyboard.press("Space")
        assert head.get_attribute("aria-sort") == "descending"
        assert figures() == sorted(before, reverse=True) and figures() != before
        found.page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") is None and figures() == before


def test_a_table_filters_by_text_and_by_choice(browser: Any, page_at: Any):
    with opened(browser, page_at("compare")) as found:
        tools = found.page.locator("section#answer > .tools").first
        rows = found.page.locator("section#answer > .table tbody tr:visible")
        everything = rows.count()
        tools.locator("select[aria-label^=contender]").select_option("eager")
        eager = rows.count()
        assert 0 < eager < everything
        assert f"{eager} of {everything} rows" in tools.inner_text()
        tools.locator("input").fill("nothing has this")
        assert rows.count() == 0
        tools.locator("input").fill("")
        tools.locator("select[aria-label^=contender]").select_option("*")
        assert rows.count() == everything


def test_a_figure_hides_contenders_and_straightens_axes(browser: Any, page_at: Any):
    with opened(browser, page_at("bench")) as found:
        figure = found.page.locator("figure:has(> .tools select):has([data-contender=eager])").first
        series = figure.locator("[data-contender=eager]").first
        box = figure.get_by_label("eager", exact=True)
        assert series.is_visible()
        box.uncheck()
        assert not series.is_visible()
        box.check()
        assert series.is_visible()
        line = figure.locator("[data-contender=eager] path[d]").first
        before = line.get_attribute("d")
        choice = figure.locator("> .tools select")
        ways = choice.locator("option").count()
        choice.select_option(index=ways - 1)
        assert line.get_attribute("d") != before
        choice.select_option("")
        assert line.get_attribute("d") == before
        assert not found.complaints


@pytest.mark.parametrize("name", ["bench", "compare"])
def test_it_prints(browser: Any, page_at: Any, name: str):
    with opened(browser, page_at(name)) as found:
        pages, shown = pages_and_texts(found.page.pdf(format="A4"))
    assert 2 <= pages <= 60 and shown > 100


@pytest.mark.parametrize("name", ["bench", "quality", "compare", "site losses/triplet.html"])
def test_figures_are_dark_where_the_page_is(browser: Any, page_at: Any, name: str):
    """Paper, words and axes of a drawing have the page's colours, not those they were drawn in."""
    with opened(browser, page_at(name), color_scheme="dark") as found:
        papers, inks = found.page.evaluate(
            "() => ['.panel', '.panel svg text, .panel svg path'].map((what, index) =>"
            " [...new Set([...document.querySelectorAll(what)].flatMap(one => {"
            " const own = getComputedStyle(one);"
            " return index ? [own.fill, own.stroke] : [own.backgroundColor] }))])"
        )
        drawn = {_rgb(colour) for colour in theme.OURS}
        assert papers == ["rgb(29, 32, 35)"] and inks and not drawn & set(inks)


def _rgb(colour: str) -> str:
    """#ffffff as a browser says it."""
    return f"rgb({', '.join(str(value) for value in bytes.fromhex(colour[1:]))})"


# A4 less the margins that the style sets, in CSS pixels.
PAPER = {"width": 703, "height": 1017}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["bench", "compare", "site index.html", "site losses/*.html"])
def test_nothing_is_cut_off_on_paper_or_is_dark_there(
    browser: Any, page_at: Any, name: str, scheme: str
):
    with opened(browser, page_at(name), viewport=PAPER) as found:
        found.page.emulate_media(media="print", color_scheme=scheme)
        wide = found.page.evaluate(
            "() => [...document.querySelectorAll('body *')].filter(one =>"
            " one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)"
            ".map(one => one.outerHTML.slice(0, 120))"
        )
        assert wide == []
        marks = "() => getComputedStyle(document.querySelector('.mark')).filter"
        assert found.page.evaluate(marks) == "none"


# Ways into a page for a script of somebody else's, each of which would leave its name.
INJECTED = {
    "inline": "<script>document.body.dataset.inline = 1</script>",
    "handler": "<img src='data:,' alt='' onerror='document.body.dataset.handler = 1'>",
    "data": "<script src='data:text/javascript,document.body.dataset.data = 1'></script>",
    "frame": "<iframe srcdoc='<script>parent.document.body.dataset.frame = 1</script>'></iframe>",
}
POLICY = re.compile(r"<meta http-equiv=.Content-Security-Policy.[^>]*>")


@contextmanager
def _injected(page: Path, with_policy: bool) -> Iterator[Path]:
    """A page of the site that holds what was never ours, beside it, for its script and style."""
    text = page.read_text()
    assert len(POLICY.findall(text)) == 1
    made = page.with_name("injected.html")
    made.write_text((text if with_policy else POLICY.sub("", text)).replace(
        "<header>", "".join(INJECTED.values()) + "<header>", 1))  # fmt: skip
    try:
        yield made
    finally:
        made.unlink()


@pytest.mark.parametrize("way", ["file", "http"])
def test_only_the_sites_own_script_and_style_are_used(browser: Any, page_at: Any, way: str):
    page, ran = page_at("site machines/*.html"), "Object.keys(document.body.dataset)"
    with ExitStack() as stack:
        at: Path | str = stack.enter_context(_injected(page, with_policy=True))
        if way == "http":
            at = stack.enter_context(served(page.parent.parent)) + "machines/injected.html"
        found = stack.enter_context(opened(browser, at))
        found.page.wait_for_load_state()
        assert found.page.evaluate(ran) == [] and not found.outside
        assert all("Content Security Policy" in said for said in found.complaints)
        assert (
            found.page.locator(".skip").evaluate("e => getComputedStyle(e).position") == "absolute"
        )
        tools = found.page.locator(".tools:has(input[type=search]):visible").first
        table = tools.locator("xpath=following-sibling::div[1]")
        table.locator("button.sort").first.click()
        assert table.locator("th").first.get_attribute("aria-sort") == "ascending"
        assert table.locator("tbody tr:visible").count()
        tools.locator("input").fill("nothing has this")
        assert not table.locator("tbody tr:visible").count()


def test_without_the_policy_whatever_is_injected_runs(browser: Any, page_at: Any):
    """So that the test above would see it run."""
    page = page_at("site machines/*.html")
    with _injected(page, with_policy=False) as bad, opened(browser, bad) as found:
        found.page.wait_for_load_state()
        assert set(found.page.evaluate("Object.keys(document.body.dataset)")) == set(INJECTED)
