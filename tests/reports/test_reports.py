"""The report: says what the records say, all of it, in one page that needs nothing else."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from page_reader import Page
from synthetic_run import LOSSES, NEEDS_CUDA, SPEED, Maker, write

from reports.build import build, summary_table
from reports.equations import equation

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(tmp_path_factory.mktemp("run"), Maker().lines())
    assert build(folder) == folder / "index.html"
    return folder


@pytest.fixture(scope="module")
def page(built: Path) -> Page:
    return Page((built / "index.html").read_text())


def test_the_answer_comes_first(built: Path, page: Page):
    timed = sum(len(shapes) + 1 for *_, shapes in LOSSES)
    assert f"Fastest, of {timed} timed cases: compiled in {timed}." in page.seen
    lead = page.seen.index("Fastest, of")
    assert lead < page.seen.index("Speed against batch") < page.seen.index("Provenance")
    rows = summary_table(built)
    assert len(rows) == timed
    for case, winner, ratio, interval in rows:
        assert winner == "compiled", case
        # Planted: 1.9; noise of 4% a round leaves the median of 12 within 10%.
        assert float(ratio.split("×")[0]) == pytest.approx(SPEED["compiled"], rel=0.1)
        assert re.fullmatch(r"\[\d\.\d\d, \d\.\d\d\]", interval)
        assert ratio.split("×")[0] + "× faster " + interval in page.seen


def test_every_section_is_there_in_order(page: Page):
    assert [attributes["id"] for attributes in page.named("section")] == [
        "answer", "speed", "memory", "targets", "agreement", "mining", "real", "training",
        "missing", "provenance", "losses",
    ]  # fmt: skip


def test_growth_is_fitted_as_planted(built: Path):
    text = (built / "report.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| triplet/batch-all | D="))
    # B^2 was planted times the square root of C, which grows with B here.
    exponents = [float(number) for number in re.findall(r"(\d\.\d\d) \\\[", row)]
    assert len(exponents) == len(SPEED)
    assert exponents == pytest.approx([2.5] * len(SPEED), abs=0.1)


def test_what_was_not_run_stands_there_with_its_reason(built: Path, page: Page):
    results = (built / "records.jsonl").read_text().count('"status":"not_run"')
    assert f"{NEEDS_CUDA}: {results} results" in page.seen


def test_failures_are_named_with_symbol(page: Page):
    assert "✗ triplet/batch-all B=37 D=19 C=7 bfloat16" in page.seen
    assert "7.3 times eager's error" in page.seen
    assert "(interpreter)" in page.seen


def test_provenance_and_commands(page: Page):
    case = "speed/softmax/linear/B512-D128-C10000/float32/cpu/drawn/s0"
    for text in ("0123456789abcdef", "Example CPU, 2 cores", "perf_counter", "runsoftmax",
                 f"marginbench run --case {case}"):  # fmt: skip
        assert text in page.seen
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [a["href"] for a in page.named("a")]
    assert links and all(link.startswith("#") and link[1:] in ids for link in links)


def test_it_needs_nothing_else(built: Path, page: Page):
    assert page.named("script") == [{}] and not page.named("link") and not page.named("img")
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                assert value.startswith("#"), (tag, name, value)
    text = (built / "index.html").read_text()
    assert set(re.findall(r"https?://[^\"' <)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", text))


def test_figures_can_be_read_without_seeing_them(built: Path, page: Page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "each id once"
    svgs = page.named("svg")
    assert len(svgs) > 10
    for one in svgs:
        assert one["role"] == "img"
        named = one.get("aria-label") or one["aria-labelledby"].split()[0]
        assert one.get("aria-label") or named in ids
    assert len(page.named("figure")) == len(list((built / "figures").glob("*.svg")))
    assert page.seen.count("Data behind this figure") == len(page.named("figure"))
    for path in (built / "figures").glob("*.svg"):
        root = ElementTree.fromstring(path.read_text())
        assert root.tag.endswith("svg") and "viewBox" in root.attrib
        assert "DejaVu Sans" in path.read_text()


def test_the_same_records_give_the_same_bytes_without_torch(built: Path, tmp_path: Path):
    """In another process, with other hashes, from another folder."""
    write(tmp_path, Maker().lines())
    code = (
        "import sys; from pathlib import Path; from reports.build import build\n"
        f"build(Path({str(tmp_path)!r}))\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr, "nor a warning"
    assert not set(result.stdout.split()) & {"torch", "triton", "mlflow", "scipy", "pandas"}
    files = {path.relative_to(built) for path in built.rglob("*") if path.is_file()}
    assert files == {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    for name in files:
        assert (built / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_the_csv_holds_every_result(built: Path):
    rows = list(csv.DictReader(io.StringIO((built / "results.csv").read_text())))
    assert len(rows) == (built / "records.jsonl").read_text().count('"kind":"result"')
    timed = [r for r in rows if r["metric"] == "both_time_s" and r["contender"] == "compiled"]
    for row in timed:
        low, middle, high = (float(row[n]) for n in ("speed_low", "speed_over_eager", "speed_high"))
        assert low < middle < high and low < SPEED["compiled"] * 1.1
        assert float(row["q05"]) <= float(row["median"]) <= float(row["q95"])
    missing = next(row for row in rows if row["status"] == "not_run")
    assert missing["value"] == missing["median"] == "" and missing["reason"] == NEEDS_CUDA


def test_markdown_tables_are_even(built: Path):
    lines = (built / "report.md").read_text().splitlines()
    width = None
    for line in lines:
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert width in (None, cells), line
            width = cells
        else:
            width = None


def test_a_complete_clean_run_is_not_warned_of(page: Page):
    assert "stopped after" not in page.seen and "uncommitted" not in page.seen


@pytest.mark.parametrize(
    "latex",
    [r"L = -\sum_i \log \frac{e^{W_{y_i} \cdot x_i}}{\sum_j e^{W_j \cdot x_i}}",
     r"\lVert a - p \rVert^2 \text{ for each } i", r"\left[ x + \alpha \right]_+"],
)  # fmt: skip
def test_equations_are_drawn(latex: str):
    drawn = equation(latex).svg
    assert ElementTree.fromstring(drawn).attrib["aria-label"] == latex
    assert 'fill="currentColor"' in drawn


@pytest.mark.parametrize("latex", [r"\begin{cases} 1 \end{cases}", r"\frac{", "$", ""])
def test_what_cannot_be_drawn_falls_back_to_its_source(latex: str):
    assert equation(latex).svg == ""
