"""A gate's record is read only where it is one whole gate's, and not at odds with itself."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from gate_record import END, EXACT, lines, small, verdict, written
from synthetic_run import unprotected

from benchmarks.gate.records import FILE
from benchmarks.records.loading import RecordError
from reports.gate import benchmark_json, junit, markdown, reading, terminal, write


@pytest.fixture
def run(tmp_path) -> reading.GateRun:
    return reading.load(written(tmp_path, lines()))


def test_the_worst_comes_first_and_a_case_without_a_verdict_is_not_measured(run):
    assert [row.verdict for row in run.rows()] == [
        "SLOWER", "WRONG", "INCONCLUSIVE", "NOT MEASURED", "NOT MEASURED", "FASTER", "EQUIVALENT",
    ]  # fmt: skip
    assert run.rows()[4].case == "vanished"
    assert "no verdict was reached" in run.rows()[4].reason
    assert [one.number for one in run.groups["quick", "screen"]] == [0, 1]


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (lambda all_: [], "it is empty"),
        (lambda all_: all_[:-1], "no last line: that gate was killed"),
        (lambda all_: all_[1:], "expected a gate's start"),
        (lambda all_: [*all_[:-1], *all_], "a second 'gate_start'"),
        (lambda all_: [*all_[:-1], all_[-2], END], "a second verdict on 'lost'"),
        (lambda all_: [all_[0], EXACT, *all_[1:]], "a second outcome of the exact half"),
        (lambda all_: [*all_[:4], all_[3], *all_[4:]], "group 1 of 'quick' twice"),
        (lambda all_: [*all_[:-1], verdict("else", "FASTER"), END], "'else', which its first line"),
        (lambda all_: [*all_, END], "a second 'gate_end'"),
    ],
)
def test_what_is_not_one_whole_gate_is_refused(tmp_path, damaged, said):
    path = written(tmp_path, damaged(lines()))
    with pytest.raises(RecordError, match=re.escape(said)) as error:
        reading.load(path)
    assert "make gate" in str(error.value)
    with pytest.raises(RecordError):
        write.write_all(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [FILE]


def test_an_older_record_s_verdict_has_today_s_name(tmp_path):
    path = written(tmp_path, small(3, verdict("a", "INCONCLUSIVE"), cases=["a"]))
    old = unprotected(path.read_text())
    path.write_text(old.replace('"verdict":"INCONCLUSIVE"', '"verdict":"UNDECIDED"'))
    assert "UNDECIDED" in path.read_text()
    assert [row.verdict for row in reading.load(path).rows()] == ["INCONCLUSIVE"]


def test_a_line_that_was_changed_is_named(tmp_path):
    path = written(tmp_path, lines())
    path.write_text(path.read_text().replace("21000", "22000", 1))
    with pytest.raises(RecordError, match="line 3: its digest is not of this line"):
        reading.load(path)


def test_the_summary_says_whether_the_record_is_protected(tmp_path):
    path = written(tmp_path, lines())
    assert "| record | each line has a digest |" in markdown.render(reading.load(path))
    path.write_text(unprotected(path.read_text()))
    assert "| record | schema 1: not protected |" in markdown.render(reading.load(path))


def test_a_killed_gate_can_be_looked_into_but_no_form_shows_it(tmp_path):
    run = reading.load(written(tmp_path, lines()[:6]), unfinished=True)
    assert run.end is None and run.verdicts
    for form in (terminal.text, markdown.render, junit.render, benchmark_json.render):
        with pytest.raises(RecordError, match="was killed"):
            form(run)


def test_a_line_that_is_cut_off_is_named(tmp_path):
    path = written(tmp_path, lines())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match="line 11: expected a whole line"):
        reading.load(path)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (small(0, verdict("a", "SLOWER"), cases=["a"]), "'a' is SLOWER"),
        (small(3, verdict("a", "WRONG"), cases=["a"]), "'a' is WRONG"),
        (small(0, verdict("a", "INCONCLUSIVE"), cases=["a"]), "'a' is INCONCLUSIVE"),
        (small(0, verdict("a", "EQUIVALENT"), cases=["a", "b"]), "'b' is NOT MEASURED"),
        (small(0, EXACT), "the exact half ended with 1"),
        (small(3, EXACT), "the exact half ended with 1"),
        (small(0, replace(EXACT, code=3)), "the exact half ended with 3"),
        (small(0), "nothing was measured"),
        (small(7), "expected one of 0 to 3; got 7"),
    ],
)
def test_an_exit_code_that_the_lines_do_not_bear_out_is_refused(tmp_path, what, said):
    with pytest.raises(RecordError, match=re.escape(said)):
        reading.load(written(tmp_path, what))
