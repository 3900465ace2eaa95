"""What is run as a module: its help, its usage errors, and what it says of a broken loss."""

from __future__ import annotations

import errno
import importlib
import os
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from ending_commands import heard_signals, refusing

from benchmarks import gpu_session, host_time, module_commands, sampled_loss, who_computes
from benchmarks.instruments import ceilings, machine
from marginbench import catalogue
from reports import auto, headlines, loss_pages, pdf

# By what people type; kernels/stubs.py is run by its path.
PROGRAMS = {
    "python -m reports.headlines": "reports.headlines",
    "python -m reports.loss_pages": "reports.loss_pages",
    "python -m reports.auto": "reports.auto",
    "python -m reports.gate.inconclusive": "reports.gate.inconclusive",
    "python -m benchmarks.rates": "benchmarks.rates",
    "python -m benchmarks.host_time": "benchmarks.host_time",
    "python -m benchmarks.sampled_loss": "benchmarks.sampled_loss",
    "python -m benchmarks.who_computes": "benchmarks.who_computes",
    "python -m benchmarks.snapshots.static_check": "benchmarks.snapshots.static_check",
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


@pytest.mark.parametrize("name", [name for name in PROGRAMS.values() if name != "stubs"])
def test_each_program_is_run_as_all_are(name: str, monkeypatch: pytest.MonkeyPatch):
    begun: list[Callable] = []
    monkeypatch.setattr(module_commands, "run", begun.append)
    monkeypatch.delitem(sys.modules, name, raising=False)  # it is loaded once more
    made = runpy.run_module(name, run_name="__main__")
    assert begun == [made["main"]]


@pytest.mark.parametrize("said", [True, False], ids=["raised", "heard of later"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_program_with_its_code(
    number: signal.Signals, said: bool, capsys: pytest.CaptureFixture[str]
):
    def main(words: Sequence[str]) -> int:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if said:
                raise
        return 130

    with heard_signals(), pytest.raises(SystemExit) as ended:
        module_commands.run(main)
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err == ("interrupted\n" if said else "")


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
    for write in ("write_text", "write_bytes"):
        monkeypatch.setattr(Path, write, lambda *_, **__: pytest.fail("written"))
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


@dataclass(frozen=True)
class Broken:
    """What a program was about to do as the system refused it: ``call`` of a path, by ``words``, in
    which {} is a folder; ``before`` puts stand-ins for what takes long or must not be touched."""

    program: str
    words: Sequence[str]
    call: str
    before: Callable[[pytest.MonkeyPatch, Path], object] = lambda patch, folder: None


def _no_loss_page(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(loss_pages, "FOLDER", folder)


def _another_readme(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "README.md").write_text("old")
    patch.setattr(headlines, "README", folder / "README.md")
    patch.setattr(headlines, "filled", lambda text: "new")


def _one_stub(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(importlib.import_module("stubs"), "stubs", lambda: {folder / "a.pyi": "new"})


def _no_rates(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(ceilings, "measure", lambda *_: {"rates": {}, "rounds": {}, "failed": {}})


def _no_calls(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(host_time, "measure", lambda: iter(()))
    for name in ("biases", "steps"):
        patch.setattr(sampled_loss, name, lambda: iter(()))


def _nobody(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(who_computes, "implementations", lambda: iter(()))
    patch.setattr(who_computes, "slopes", dict)


def _page(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "page.html").write_text("a page")
    patch.setattr(pdf, "_made", lambda *_: b"drawn")


def _record(patch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("records.jsonl", "gate.jsonl"):
        (folder / name).write_text("{}\n")


def _no_gpu_needed(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(gpu_session, "unmet", lambda dry_run: "")
    patch.setattr(gpu_session, "optional", dict)
    patch.setattr(machine, "missing", lambda need: None)


REFUSED = (
    Broken("python -m reports.headlines", ["--write"], "write_bytes", _another_readme),
    Broken("python -m reports.headlines", ["--write"], "read_text", _another_readme),
    Broken("python -m reports.loss_pages", ["--write"], "write_bytes", _no_loss_page),
    Broken("python -m reports.auto", ["{}/records.jsonl"], "open", _record),
    Broken("python -m reports.gate.inconclusive", ["{}"], "open", _record),
    Broken("python -m benchmarks.rates", ["{}"], "write_bytes", _no_rates),
    Broken("python -m benchmarks.host_time", ["{}/record.json"], "write_bytes", _no_calls),
    Broken("python -m benchmarks.sampled_loss", ["{}/record.json"], "write_bytes", _no_calls),
    Broken("python -m benchmarks.who_computes", ["{}/record.json"], "write_bytes", _nobody),
    Broken("python -m benchmarks.snapshots.static_check", ["sm_90"], "mkdir"),
    Broken("python -m reports.pdf", ["{}/page.html", "{}/new.png"], "open", _page),
    Broken("python -m benchmarks.gpu_session", ["--out", "{}/made"], "mkdir",
           _no_gpu_needed),
    Broken("python kernels/stubs.py", [], "write_text", _one_stub),
)  # fmt: skip


def test_each_program_meets_a_refusal_of_the_system():
    assert {one.program for one in REFUSED} == set(PROGRAMS)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("broken", REFUSED, ids=lambda one: f"{PROGRAMS[one.program]}-{one.call}")
def test_what_the_system_refuses_is_one_line_and_3(
    broken: Broken, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    monkeypatch.setenv("MARGINBENCH_CACHE", str(tmp_path / "cache"))
    module = importlib.import_module(PROGRAMS[broken.program])
    broken.before(monkeypatch, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, broken.call, refusing(number))
        code = module.main([word.format(tmp_path) for word in broken.words])
    said = capsys.readouterr()
    assert code == 3 and not said.out, said
    assert said.err.count("\n") == 1 and said.err.startswith("error: "), said.err
    assert os.strerror(number) in said.err
