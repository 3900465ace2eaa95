"""`marginbench report --pdf`: a PDF with the whole report in it, or a reason and exit code 3.

What a browser can do wrong is tried with scripts in its place; one test needs a real Chromium.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic_run
from browser import NEEDS_CHROMIUM, chromium, pages_and_texts
from click.testing import CliRunner, Result

from commands.root import cli
from reports import pdf

ROOT = Path(__file__).resolve().parents[2]
TIMED = sum(len(shapes) + 1 for *_, shapes in synthetic_run.LOSSES[2:3])
ANSWER = f"Fastest, of {TIMED} timed cases: compiled in {TIMED}."
# What stands in Chromium's place, and what the message says of it.
FAILING = {
    "says why": ("echo first >&2; echo out of memory >&2; exit 7", "(exit code 7): out of memory"),
    "is silent": ("exit 0", "(exit code 0): it said nothing"),
    "leaves a part": ('echo %PDF- > "$made"; exit 1', "(exit code 1): it said nothing"),
    "leaves nothing in it": (': > "$made"', "(exit code 0): it said nothing"),
    "hangs": ("exec sleep 60", "timed out"),
}
NAMED = 'for one in "$@"; do case $one in --print-to-pdf=*) made=${one#*=};; esac; done'


@pytest.fixture
def run(tmp_path: Path) -> Path:
    maker = synthetic_run.Maker(rounds=6, losses=synthetic_run.LOSSES[2:3], dtypes=("float32",))
    return synthetic_run.write(tmp_path / "run", maker.lines())


def report(run: Path) -> Result:
    return CliRunner().invoke(cli, ["report", str(run), "--pdf"])


def refused(found: Result, run: Path) -> str:
    """What it said: the page is there as without --pdf, no part of a PDF is."""
    assert found.exit_code == 3, found.output
    assert (run / "index.html").is_file() and not list(run.glob("*.pdf"))
    assert not isinstance(found.exception, Exception) and "Traceback" not in found.output
    return found.output


@pytest.mark.browser
def test_a_report_is_printed_whole(run: Path):
    chromium()
    found = report(run)
    made = run / "report.pdf"
    assert found.exit_code == 0 and f"PDF:    {made}" in found.output
    pages, shown = pages_and_texts(made.read_bytes())
    assert 2 <= pages <= 60 and shown > 100


@pytest.mark.browser
def test_the_printed_report_holds_the_answer(run: Path):
    reader = pytest.importorskip("pypdf", reason="reading a PDF's text needs: pip install pypdf")
    chromium()
    report(run)
    pages = reader.PdfReader(run / "report.pdf").pages
    assert ANSWER in " ".join(pages[0].extract_text().split())


def test_without_chromium_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, run: Path):
    monkeypatch.setenv(pdf.VARIABLE, "/nowhere/chromium")
    said = refused(report(run), run)
    for mend in ("make chromium", "apt-get install chromium", pdf.VARIABLE):
        assert mend in said


def test_without_a_browser_on_the_path_it_says_so_too(monkeypatch: pytest.MonkeyPatch, run: Path):
    monkeypatch.delenv(pdf.VARIABLE, raising=False)
    monkeypatch.setattr(pdf, "NAMES", ("no-such-browser",))
    assert "report.pdf needs Chromium, and none is found" in refused(report(run), run)


@pytest.mark.parametrize("how", FAILING)
def test_a_chromium_that_fails_is_reported_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path, how: str
):
    script, message = FAILING[how]
    browser = tmp_path / "chromium"
    browser.write_text(f"#!/bin/sh\n{NAMED}\n{script}\n")
    browser.chmod(0o755)
    monkeypatch.setenv(pdf.VARIABLE, str(browser))
    monkeypatch.setattr(pdf, "TIMEOUT_S", 1 if how == "hangs" else 60)
    said = refused(report(run), run)
    assert f"{browser} did not print {run / 'index.html'}" in said and message in said


def test_an_earlier_pdf_outlives_a_chromium_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path
):
    (run / "report.pdf").write_bytes(b"%PDF-1.4 of before")
    monkeypatch.setenv(pdf.VARIABLE, "/bin/false")
    assert report(run).exit_code == 3
    assert (run / "report.pdf").read_bytes() == b"%PDF-1.4 of before"


def test_without_chromium_page_tests_are_skipped_and_say_what_to_install():
    """All of them: none fails, none errs, none passes without having looked."""
    words = [
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rA",
        "-o",
        "addopts=",
        "tests/reports/test_browser.py",
    ]
    where = {**os.environ, pdf.VARIABLE: "/nowhere/chromium", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=where, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert skipped and all(NEEDS_CHROMIUM in line for line in skipped)
    assert re.search(r"=+ \d+ skipped in ", done.stdout) and "make chromium" in NEEDS_CHROMIUM
