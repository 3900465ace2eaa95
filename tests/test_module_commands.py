"""What is run as a module: its help, its usage errors, and what it says of a broken loss."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from marginbench import catalogue
from reports import auto, headlines, pdf

# By what people type; kernels/stubs.py is run by its path.
PROGRAMS = {
    "python -m reports.headlines": "reports.headlines",
    "python -m reports.loss_pages": "reports.loss_pages",
    "python -m reports.auto": "reports.auto",
    "python -m reports.gate.inconclusive": "reports.gate.inconclusive",
    "python -m benchmarks.rates": "benchmarks.rates",
    "python -m benchmarks.static_check": "benchmarks.static_check",
    "python -m reports.pdf": "reports.pdf",
    "python -m benchmarks.gpu_session": "benchmarks.gpu_session",
    "python kernels/stubs.py": "stubs",
}
every = pytest.mark.parametrize("program", PROGRAMS)


def ended(program: str, *words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(PROGRAMS[program]).main(list(words))
    assert isinstance(caught.value.code, int)
    return caught.value.code


@every
def test_help_has_examples_and_exit_codes(program: str, capsys: pytest.CaptureFixture[str]):
    assert ended(program, "--help") == 0
    said = capsys.readouterr().out
    assert f"usage: {program} " in said and f"\n    {program} " in said
    assert "Exit codes: 0 " in said and "2 bad usage" in said and "`" not in said


@every
@pytest.mark.parametrize("words", [["--no-such-option"], ["--wri"], ["a", "b", "--c"]], ids=str)
def test_a_usage_error_is_one_line(
    program: str, words: list[str], capsys: pytest.CaptureFixture[str]
):
    assert ended(program, *words) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1
    assert said.err.startswith("error: ") and said.err.endswith(f"(see {program} --help)\n")


BROKEN = (catalogue.Failure("ring", "ImportError: no such thing"),)
SAYS = "ring can't be imported: ImportError: no such thing"


def test_a_list_of_all_losses_is_refused_where_one_is_broken(monkeypatch: pytest.MonkeyPatch):
    assert catalogue.complete() == catalogue.losses()
    other = catalogue.Failure("star", "SyntaxError: invalid")
    monkeypatch.setattr(catalogue, "failures", lambda: (*BROKEN, other))
    with pytest.raises(catalogue.BrokenLoss, match=f"{SAYS}; star can't be imported: Synt"):
        catalogue.complete()


@pytest.mark.parametrize("words", [[], ["--write"]], ids=str)
@pytest.mark.parametrize("name", ["reports.headlines", "reports.loss_pages", "stubs"])
def test_what_is_written_of_all_losses_is_not_where_one_is_broken(
    name: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(catalogue, "failures", lambda: BROKEN)
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: pytest.fail("written"))
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: pytest.fail("removed"))
    monkeypatch.setattr(headlines, "headlines", lambda _: "made elsewhere")
    given = [] if name == "stubs" else words
    assert importlib.import_module(name).main(given) == 3
    said = capsys.readouterr()
    assert said.err == f"error: {SAYS}\n" and not said.out


def test_records_that_are_not_there_or_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """An answer's exit code is 1: what can't be read has another."""
    damaged = tmp_path / "records.jsonl"
    for says in ("RECORDS: expected a run's folder or its records; got", "records: "):
        assert auto.main([str(tmp_path)]) == 3
        error = capsys.readouterr().err
        assert error.startswith(f"error: {says}") and error.count("\n") == 1
        damaged.write_text("nothing of ours\n")


def test_a_picture_that_can_not_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    program, page = "python -m reports.pdf", tmp_path / "page.html"
    assert ended(program, str(page), "new.png") == 2
    assert "PAGE: expected an HTML file; got" in capsys.readouterr().err
    page.write_text("a page")
    assert ended(program, str(page), "new.gif") == 2
    assert "OUT: expected a name that ends in .png or .pdf; got" in capsys.readouterr().err
    monkeypatch.setenv(pdf.VARIABLE, "/nowhere/chromium")
    assert pdf.main([str(page), str(tmp_path / "new.png")]) == 3
    assert "error: new.png needs Chromium" in capsys.readouterr().err
    monkeypatch.setattr(pdf, "_made", lambda *_: b"drawn")
    assert pdf.main([str(page), str(tmp_path / "no-folder" / "new.png")]) == 3
    assert "error: " in capsys.readouterr().err
