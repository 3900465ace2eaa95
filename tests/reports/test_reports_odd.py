"""The report of what is odd: hostile, incomplete, of two machines, of few rounds, or no record."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from page_reader import Page
from synthetic_run import IDENTITY, LOSSES, NEEDS_CUDA, RUN, Maker, write

from benchmarks.records.loading import CaseEnd, RecordError, Result, RunEnd
from reports.build import build, summary_table

HOSTILE = '<script>alert(1)</script>"><img src=http://evil.example/x>$\\frac{|`\x07'


def report(folder: Path, lines) -> Page:
    return Page(build(write(folder, lines)).read_text())


def test_hostile_text_stays_text(tmp_path: Path):
    losses = ((HOSTILE, HOSTILE, "rows", ((64, 8, 4), (128, 8, 4))),)
    maker = Maker(losses=losses, dtypes=("float32",))
    lines = [
        replace(line, reason=HOSTILE, contender=HOSTILE)
        if isinstance(line, Result) and line.contender == "triton"
        else line
        for line in maker.lines()
    ]
    page = report(tmp_path, lines)
    assert page.named("script") == [{}] and not page.named("img")
    assert "<script>alert(1)</script>" in page.seen, "and it is shown"
    assert "\x07" not in (tmp_path / "index.html").read_text()
    assert "<script>" not in (tmp_path / "report.md").read_text().replace("\\<", "")
    for path in (tmp_path / "figures").glob("*.svg"):
        ElementTree.fromstring(path.read_text())
    formula = [replace(line, reason="=1+1") for line in lines
               if isinstance(line, Result) and line.status == "not_run"][:1]  # fmt: skip
    end = CaseEnd(run=RUN, session=maker.session, case=formula[0].case.id, seconds=1)
    report(tmp_path / "formula", [maker.start(), *formula, end])
    assert "'=1+1" in (tmp_path / "formula" / "results.csv").read_text()


def test_an_incomplete_run_says_so_and_how_to_complete_it(tmp_path: Path):
    lines = list(Maker(dirty=True, losses=LOSSES[1:2]).lines())
    ends = [i for i, line in enumerate(lines) if isinstance(line, CaseEnd)]
    planned = len(lines[0].plan)
    page = report(tmp_path, lines[: ends[6] + 3])
    assert f"stopped after 7 of {planned} cases" in page.seen
    assert f"marginbench run --resume {tmp_path}" in page.seen
    assert f"Planned and not reached ({planned - 7})" in page.seen
    assert "uncommitted changes" in page.seen


def test_an_incomplete_run_in_the_clone_is_named_from_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """However the folder was typed: else verify finds a difference where there is none."""
    monkeypatch.setattr("reports.build.ROOT", tmp_path)
    folder = tmp_path / "reports/published/half"
    write(folder, list(Maker(losses=LOSSES[1:2]).lines())[:12])
    texts = [build(folder).read_text()]
    monkeypatch.chdir(folder)
    texts.append(build(Path()).read_text())
    assert texts[0] == texts[1] and "run --resume reports/published/half" in texts[0]


def test_two_machines_are_distinguished(tmp_path: Path):
    small = (("triplet", "batch-all", "batch", ((256, 64, 64),)),)
    big = (("triplet", "batch-all", "batch", ((512, 64, 128), (1024, 64, 256))),)
    lines = [*Maker(losses=small).lines(),
             *Maker(losses=big, session="s2", identity={**IDENTITY, "cpu": "Other"},
                    agreement_shapes=()).lines()]  # fmt: skip
    page = report(tmp_path, lines)
    assert "measured on 2 machines" in page.seen
    assert "machine 2" in page.seen and "Other" in page.seen


def test_nothing_measured_is_an_honest_page(tmp_path: Path):
    maker = Maker()
    end = RunEnd(run=RUN, session=maker.session, seconds=0)
    page = report(tmp_path, [maker.start(["speed/x"]), end])
    assert "Nothing was timed in this run" in page.seen
    assert "Agreement was not measured" in page.seen
    assert not page.named("figure") and summary_table(tmp_path) == []
    only_missing = [line for line in maker.lines()
                    if not isinstance(line, Result) or line.status == "not_run"]  # fmt: skip
    page = report(tmp_path, only_missing)
    assert NEEDS_CUDA in page.seen and "Nothing was timed" in page.seen


@pytest.mark.parametrize("rounds", [1, 3, 5])
def test_a_single_point_and_few_rounds_are_drawn(tmp_path: Path, rounds: int):
    losses = (("softmax", "linear", "head", ((64, 8, 100),)),)
    page = report(tmp_path, Maker(losses=losses, rounds=rounds).lines())
    said = f"(no interval: {rounds} round{'s' if rounds > 1 else ''})"
    assert (said in page.seen) == (rounds < 5)
    assert "there is no growth to show" in page.seen


def test_figures_of_last_time_are_removed(tmp_path: Path):
    report(tmp_path, Maker(losses=LOSSES[:1]).lines())
    assert list((tmp_path / "figures").glob("*.svg"))
    report(tmp_path, [Maker().start()])
    assert not list((tmp_path / "figures").glob("*.svg"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not there"),
        ("", "holds no run"),
        ('{"kind": "session", "schema', "cut off"),
        ('{"some": "json"}\n', "schema version"),
        ("hello\n", "damaged"),
        ('{"schema_version": 99, "kind": "session"}\n', "got 99"),
        ("\n", "damaged"),
    ],
)
def test_what_is_no_record_is_refused_and_nothing_written(
    tmp_path: Path, content: str | None, says: str
):
    (tmp_path / "index.html").write_text("the old page")
    if content is not None:
        (tmp_path / "records.jsonl").write_text(content)
    for function in (build, summary_table):
        with pytest.raises(RecordError, match="expected") as raised:
            function(tmp_path)
        assert says in str(raised.value)
    assert (tmp_path / "index.html").read_text() == "the old page"
    assert not (tmp_path / "report.md").exists()


def test_a_metric_without_a_section_is_still_shown(tmp_path: Path):
    lines = [
        replace(line, metric="furlongs")
        if isinstance(line, Result) and line.metric == "first_call_s"
        else line
        for line in Maker(losses=LOSSES[:1]).lines()
    ]
    assert "furlongs" in report(tmp_path, lines).seen
