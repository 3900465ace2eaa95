"""The page of a quality run where the records are odd: hostile, damaged, unfinished, empty."""

from __future__ import annotations

import lzma
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_quality import ARMS, Maker, one_claim, report, session

from benchmarks.records.loading import RecordError
from reports.quality import numbers, plots, reading
from reports.quality.build import build
from suites.claims.claim import Line, Panel, Plot
from suites.quality.intervals import interval

HOSTILE = '<script>alert(1)</script>"><img src=http://evil.example/x>$\\frac{|`\x07'


@pytest.fixture(autouse=True, scope="module")
def _stand_ins():
    with one_claim():
        yield


def test_hostile_text_stays_text(tmp_path: Path):
    maker = Maker(seeds=(0, 1))
    lines = [
        replace(one, arm=HOSTILE, dataset=HOSTILE, reason=HOSTILE, mlflow={"store": HOSTILE},
                settings={HOSTILE: HOSTILE}, metrics={HOSTILE: 1.0, **one.metrics},
                name=f"{HOSTILE}/{number}")
        for number, one in enumerate(maker.trainings())
    ]  # fmt: skip
    page = report(tmp_path, maker.lines(lines))
    assert page.named("script") == [{}] and not page.named("img")
    assert "<script>alert(1)</script>" in page.seen, "and it is shown"
    assert "\x07" not in (tmp_path / "index.html").read_text()
    assert "<script>" not in (tmp_path / "report.md").read_text().replace("\\<", "")
    for path in (tmp_path / "figures").glob("*.svg"):
        ElementTree.fromstring(path.read_text())


def test_series_that_do_not_fit_are_left_out(tmp_path: Path):
    maker = Maker(seeds=(0, 1))
    one = maker.training("closed", "softmax/linear", 0, 0.5)
    damaged = {**one.series, "embedding_2": [1.0], "distance_edges": [0.0, 1.0], "roc_far": []}
    report(tmp_path, maker.lines([replace(one, series=damaged)]))
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    left = {f"closed-digits-{n}" for n in ("embeddings", "distances", "roc")}
    assert not drawn & left and "closed-digits-embeddings-seen" in drawn


def test_a_dataset_without_new_identities_is_judged_on_seen_ones(tmp_path: Path):
    maker = Maker(seeds=(0, 1))
    lines = []
    for arm in ARMS:
        for seed in maker.seeds:
            one = maker.training("closed", arm, seed, ARMS[arm])
            metrics = {"seen_map_at_r": one.metrics["map_at_r"]}
            lines.append(replace(one, metrics=metrics))
    page = report(tmp_path, maker.lines(lines))
    assert "2 seeds (seen identities)" in page.seen and "holds out no identities" in page.seen


def test_an_unfinished_dirty_run_says_so(tmp_path: Path):
    maker = Maker(seeds=(0, 1))
    trained = [maker.training("closed", "softmax/linear", 0, 0.5)]
    page = report(tmp_path, [session([trained[0].name, "closed/later"], dirty=True), *trained])
    assert "Incomplete run: 1 of 2 planned trainings are missing" in page.seen
    assert "closed/later" in page.seen and "uncommitted changes" in page.seen
    # The page knows one claim, and names those that nothing was trained for in a sentence.
    assert "Claims that this run did not try: " in page.seen
    assert "What the papers say, and what came out" not in page.seen


def test_nothing_trained_is_an_honest_page(tmp_path: Path):
    page = report(tmp_path, [session([])])
    assert "No loss has completed its training yet" in page.seen
    assert not page.named("figure")


DAMAGE = {"none": (None, "found neither"), "empty": (b"", "holds no run"),
          "cut off": (b'{"kind": "session", "schema', "cut off"),
          "foreign": (b"hello\n", "damaged")}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_reported_and_nothing_written(damage: str, tmp_path: Path):
    content, says = DAMAGE[damage]
    if content is not None:
        (tmp_path / "records.jsonl").write_bytes(content)
    with pytest.raises(RecordError, match=says):
        build(tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_a_damaged_archive_is_reported(tmp_path: Path):
    whole = lzma.compress(session([]).text().encode() * 9)
    (tmp_path / "records.jsonl.xz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match="whole archive"):
        build(tmp_path)
    (tmp_path / "records.jsonl.xz").write_bytes(b"no archive")
    with pytest.raises(RecordError, match="whole archive"):
        build(tmp_path)


@pytest.mark.parametrize("kind", ["lines", "points", "scatter", "steps"])
@pytest.mark.parametrize("logarithmic", ["", "x", "xy"])
def test_a_plot_of_any_kind_is_drawn_from_its_data(kind, logarithmic: str):
    line = Line("a", (1.0, 2.0, 5.0) if kind != "steps" else (1.0, 2.0, 5.0, 9.0), (1.0, 3.0, 2.0))
    panels = (Panel("one", (line, Line("b", (), ()))), Panel("two", (line,), logarithmic))
    drawn = plots.draw(Plot("p", "P", kind, "x", "y", panels, "alt text"), "p")
    assert ElementTree.fromstring(drawn.svg) is not None
    assert len(drawn.data.rows) >= 2 and drawn.alt == "alt text"


def test_a_plot_whose_lists_do_not_fit_is_refused():
    line = Line("a", (1.0, 2.0), (1.0,))
    with pytest.raises(ValueError, match="as many x as y"):
        plots.draw(Plot("p", "P", "lines", "x", "y", (Panel("", (line,)),), "alt"), "p")


def test_arms_with_two_contenders_are_two_arms():
    maker = Maker(seeds=(0,))
    one = maker.training("closed", "softmax/linear", 0, 0.5)
    other = replace(one, contender="triton", name="other")
    assert [g.label for g in reading.groups([one])] == ["softmax/linear"]
    labels = [g.label for g in reading.groups([one, other])]
    assert labels == ["softmax/linear, eager", "softmax/linear, triton"]


def test_figures_are_written_as_their_metric_is_worth():
    assert numbers.figure("map_at_r", 0.91249) == "0.912"
    assert numbers.figure("seen_intra_class_angle_deg", 12.34) == "12.3"
    assert numbers.figure("peak_memory_bytes", 2.0**20) == "1.00 MiB"
    assert numbers.figure("map_at_r", None) == numbers.figure("map_at_r", float("nan")) == "–"
    assert numbers.estimate("map_at_r", interval([0.5])) == "0.500"
    assert [numbers.signed(v) for v in (0.01, -0.01, -0.0004)] == ["+0.010", "-0.010", "0.000"]
    assert numbers.fixed(-0.0004) == "0.000"
