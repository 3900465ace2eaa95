"""What is said of a gate: the same outcome in every form, nothing lost, no foreign text obeyed."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from gate_record import END, HOSTILE, lines, small, start, verdict, written
from markdown_it import MarkdownIt
from rich.console import Console

from benchmarks.gate.records import FILE, GateExact
from benchmarks.records.folders import MARKER
from reports.gate import benchmark_json, junit, markdown, reading, terminal, words, write


def test_no_form_needs_torch():
    """The outcome of a gate can be shown on a machine that could not run it."""
    code = "import reports.gate.write, sys; assert not {'torch', 'triton'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def run(tmp_path) -> reading.GateRun:
    return reading.load(written(tmp_path, lines()))


def test_what_went_well_is_said_to_have_gone_well(tmp_path):
    exact = GateExact(code=0, rows=1, differences=[], repinned=[])
    run = reading.load(written(tmp_path, small(0, exact, verdict("a", "FASTER"), cases=["a"])))
    assert "No regression (exit code 0)" in terminal.text(run)
    assert markdown.render(run).startswith("## ✅ Gate: No regression (exit code 0)")
    root = ET.fromstring(junit.render(run).encode())
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "0", "0")


def test_the_table_in_a_file_holds_every_case_and_ends_with_the_outcome(run):
    text = terminal.text(run)
    assert text.endswith("Regression (exit code 1): 1 SLOWER; 1 WRONG.\n")
    places = [
        text.index(f"why {name} is") for name in ("SLOWER", "WRONG", "INCONCLUSIVE", "FASTER")
    ]
    assert places == sorted(places)
    # Square brackets are no markup of a style: in a case's name, a reason and a difference.
    assert text.count("[e](http://f.g)") == 3
    for shown in ("1.0500 [1.0400, 1.0600]", "2.00 µs → 2.10 µs", "2.0%", "pinned 8", "launches"):
        assert shown in text
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    # At the beginning of a line GitHub's log would obey it.
    assert "::error::other" in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_a_log_is_as_wide_as_a_file(run):
    stream = io.StringIO()
    terminal.show(run, Console(file=stream, width=40, force_terminal=False))
    assert [line.rstrip() for line in stream.getvalue().splitlines()] == (
        terminal.text(run).splitlines()
    )


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_gets_colours_and_every_reason_whatever_its_width(run, width):
    stream = io.StringIO()
    terminal.show(
        run, Console(file=stream, width=width, force_terminal=True, color_system="truecolor")
    )
    text = stream.getvalue()
    assert re.search(r"\x1b\[1;31m\s*SLOWER", text) and re.search(r"\x1b\[33m\s*INCONCLUSIVE", text)
    bare = "".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    assert "whyWRONGissaidofbad" in bare if width < 150 else "whyWRONG" in bare


def test_markdown_says_the_verdict_first_and_folds_what_is_equivalent(run):
    text = markdown.render(run)
    assert text.startswith("## ❌ Gate: Regression (exit code 1): 1 SLOWER; 1 WRONG.")
    above, _, folded = text.partition("<details>\n<summary>1 case EQUIVALENT</summary>")
    assert "| equal | EQUIVALENT |" in folded and "| equal |" not in above
    assert above.index("**SLOWER**") < above.index("**WRONG**") < above.index("INCONCLUSIVE")
    for shown in ("launches: 3, was 4", "2.13.0", "b" * 40, "uncommitted changes", "33.2 s"):
        assert shown in text


def test_foreign_text_breaks_out_of_no_markdown(run):
    """Read by a parser that takes HTML and tables as GitHub's does, it is text and nothing else."""
    text = markdown.render(run)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    tokens = list(_flat(MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)))
    html = [one.content for one in tokens if one.type in ("html_block", "html_inline")]
    assert all(re.fullmatch(r"</?details>(\n<summary>[^<]*</summary>)?\n?", one) for one in html)
    assert not [one for one in tokens if one.type in ("link_open", "em_open", "image")]
    bold = {b.content for a, b in pairwise(tokens) if a.type == "strong_open"}
    assert bold == {"SLOWER", "WRONG"}
    rows = _rows(tokens)
    assert {len(row) for row in rows} == {6, 2}
    slower = next(row for row in rows if row[1] == "SLOWER")
    assert slower[0] == words.plain(HOSTILE)
    assert slower[5] == words.plain(f"why SLOWER is said of {HOSTILE}")
    above = text.partition("### Run it again")[0]
    assert "@h" not in above and set(re.findall("<[^>]*>?", above)) == {
        "<details>", "</details>", "<summary>", "</summary>",
    }  # fmt: skip


@pytest.mark.parametrize("command", ["marginbench gate", "```", "````", start().command])
def test_a_command_does_not_end_its_block(run, command):
    text = markdown.render(replace(run, start=start(command=command)))
    tokens = MarkdownIt().parse(text)
    assert tokens[-1].type == "fence" and tokens[-1].content == (
        f"git switch --detach {'c' * 40}\n{words.plain(command)}\n"
    )


def _flat(tokens: list) -> Iterator:
    for token in tokens:
        yield from _flat(token.children) if token.children else [token]


def _rows(tokens: list) -> list[list[str]]:
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append("")
        elif rows and rows[-1] and token.type in ("text", "text_special"):
            rows[-1][-1] += token.content
        elif token.type == "table_close":
            rows.append([""])
    return [row for row in rows if len(row) > 1]


def test_markdown_stays_below_what_github_takes():
    many = [f"{i} {'|' * 700}" for i in range(510)]
    exact = GateExact(code=1, rows=1, differences=many, repinned=many)
    verdicts = tuple(verdict(case, "SLOWER") for case in many)
    run = reading.GateRun(Path(FILE), start(cases=many), exact, verdicts, {}, END)
    text = markdown.render(run)
    assert len(text.encode()) <= markdown.LIMIT_BYTES
    assert text.count("410 more: see the record.") == 3


def test_junit_has_a_testcase_for_all_and_passes_none_that_did_not(run):
    document = junit.render(run)
    root = ET.fromstring(document.encode())
    assert root.tag == "testsuites" and document.startswith("<?xml")
    suites = {suite.get("name"): suite for suite in root}
    assert {name: suite.get("tests") for name, suite in suites.items()} == {
        "gate": "1", "gate.exact": "3", "gate.timed": "7",
    }  # fmt: skip
    for suite in suites.values():
        cases = suite.findall("testcase")
        assert [child.tag for child in suite] == ["properties"] + ["testcase"] * len(cases)
        for attribute, tag in (
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            assert suite.get(attribute) == str(len(suite.findall(f"testcase/{tag}")))
        for case in cases:
            assert case.get("name") and case.get("classname") == suite.get("name")
            assert float(case.get("time")) >= 0
    kinds = {}
    for case in suites["gate.timed"].findall("testcase"):
        kinds.setdefault(_verdict(case), set()).add(
            "failure" if case.find("failure") is not None
            else "error" if case.find("error") is not None else "passed"
        )  # fmt: skip
    assert kinds == {
        "SLOWER": {"failure"}, "WRONG": {"failure"}, "INCONCLUSIVE": {"error"},
        "NOT MEASURED": {"error"}, "FASTER": {"passed"}, "EQUIVALENT": {"passed"},
    }  # fmt: skip
    assert len(suites["gate.exact"].findall("testcase/failure")) == 3
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["11", "6", "3"]


@pytest.mark.parametrize("point", [0, 8, 0xB, 0x1B, 0x7F, 0x85, 0x202E, 0xD800, 0xE000, 0xFFFE])
def test_a_character_that_xml_or_a_terminal_does_not_take_is_spelt(point):
    assert words.plain("a\r\n b\t") == "a b"
    shown = words.plain(f"a{chr(point)}b")
    assert shown.isprintable() and shown[0] == "a" and shown[-1] == "b"
    assert ET.fromstring(f"<a>{shown}</a>").text == shown


def test_junit_keeps_the_figures_and_the_name_as_it_was_said(run):
    root = ET.fromstring(junit.render(run).encode())
    slower = next(c for c in root.iter("testcase") if _verdict(c) == "SLOWER")
    assert slower.get("name") == words.plain(HOSTILE) and slower.get("time") == "1.500"
    assert slower.find("failure").get("message") == words.plain(f"why SLOWER is said of {HOSTILE}")
    figures = {one.get("name"): one.get("value") for one in slower.iter("property")}
    assert figures["ratio"] == "1.05" and figures["ratio_low"] == "1.04"
    assert figures["base_commit"] == "b" * 40 and figures["candidate_commit"] == "c" * 40


def _verdict(case: ET.Element) -> str:
    found = {one.get("name"): one.get("value") for one in case.iter("property")}
    return found.get("verdict", "")


@pytest.mark.parametrize(("code", "tag"), [(3, "error"), (1, "failure")])
def test_what_concerns_no_single_case_is_reported_for_the_whole_gate(tmp_path, code, tag):
    """All cases equivalent, and yet the GPU was throttled or the candidate does not load."""
    run = reading.load(written(tmp_path, small(code, verdict("a", "EQUIVALENT"), cases=["a"])))
    root = ET.fromstring(junit.render(run).encode())
    assert root.find(f"testsuite[@name='gate']/testcase/{tag}").get("message").endswith(": so.")
    assert root.find("testsuite[@name='gate.exact']/testcase/skipped") is not None


def test_an_exact_half_that_was_not_measured_is_an_error(tmp_path):
    exact = GateExact(code=3, rows=0, differences=["torch isn't installed"], repinned=[])
    root = ET.fromstring(junit.render(reading.load(written(tmp_path, small(3, exact)))).encode())
    assert len(root.findall("testsuite[@name='gate.exact']/testcase/error")) == 2
    assert root.get("failures") == "0"


def test_benchmark_json_is_what_the_action_reads(run):
    entries = json.loads(benchmark_json.render(run))
    assert {frozenset(entry) - {"range"} for entry in entries} == {
        frozenset({"name", "unit", "value", "extra"})
    }
    for entry in entries:
        assert isinstance(entry["value"], float)
        assert all(isinstance(entry[key], str) for key in entry.keys() - {"value"})
    by_name = {entry["name"]: entry for entry in entries}
    assert len(by_name) == len(entries) == 8
    assert not {"bad", "lost", "vanished"} & set(by_name)
    quick = by_name["quick"]
    assert (quick["unit"], quick["value"]) == ("µs", pytest.approx(2.1))
    # Legs of 2.1, 2.1, 2.3 and 2.5 µs a call: quartiles 2.1 and 2.35.
    assert quick["range"] == "± 0.125"
    assert by_name["quick (candidate / base)"]["value"] == 1.05
    assert by_name["quick (candidate / base)"]["range"] == "1.0400 to 1.0600"
    assert "FASTER" in quick["extra"] and "c" * 40 in quick["extra"]


def test_all_forms_are_written_beside_the_record_and_added_to_the_jobs_summary(
    tmp_path, monkeypatch
):
    summary = tmp_path / "step"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    gate = tmp_path / "gate"
    written(gate, lines())
    (gate / "junit.xml").write_text("old")
    paths = write.write_all(gate)
    assert set(paths) == {"summary.md", "junit.xml", "benchmark.json", "table.txt"}
    assert {one.name for one in gate.iterdir()} == {*paths, FILE, MARKER}
    assert all(path == gate / name and path.stat().st_size > 100 for name, path in paths.items())
    assert summary.read_text() == "before\n" + paths["summary.md"].read_text()
    assert ET.parse(paths["junit.xml"]).getroot().tag == "testsuites"
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    write.write_all(gate)
    assert summary.read_text().count("## ❌") == 1


def test_a_file_that_can_not_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    written(tmp_path, lines())
    write.write_all(tmp_path)
    before = (tmp_path / "summary.md").read_text()

    def full(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write.write_all(tmp_path)
    assert (tmp_path / "summary.md").read_text() == before
    assert {p.name for p in tmp_path.iterdir() if p.name.startswith(".")} == {MARKER}
