"""What commands say of odd input: escape codes, markup, a device that is not there, advice."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text

from benchmarks.instruments import machine
from benchmarks.records import record_files
from benchmarks.records.digests import Chain
from benchmarks.records.loading import Session, read_lines
from benchmarks.sanitizer import sanitize
from commands import endings, messages
from commands.root import cli
from suites import listing

ODD = "a\x1b[31m[red]b"
SHOWN = "a\\x1b[31m[red]b"


def test_a_name_colours_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """By a terminal's escape codes, or by rich's markup; also where there are colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    messages.say(ODD)
    table = Table("name", title=ODD)
    table.add_row(ODD)
    messages.console(100).print(table)
    messages.console(100).print(ODD, style="red", highlight=False)
    messages.console(100).print(Text(ODD))
    said = capsys.readouterr().out
    assert said.count(SHOWN) == 5 and "\x1b[31m[red]" not in said
    assert "\x1b[31ma\\x1b" in said, "a style of our own stays"


def test_a_folder_of_a_loss_that_fails_is_listed_as_it_is_called(monkeypatch: pytest.MonkeyPatch):
    found = {**listing.everything(), "failed": [{"name": "[b]x", "reason": "no [red]module[/]"}]}
    monkeypatch.setattr(listing, "everything", lambda: found)
    said = CliRunner().invoke(cli, ["list"]).output
    assert "failed to import [b]x: no [red]module[/]" in said


def test_what_a_check_finds_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch):
    tally = sanitize.Tally(findings=["x_ptr[3]"], problems=["job[/]: died"])
    monkeypatch.setattr(sanitize, "check", lambda *_, **__: (tally, [], 1))
    done = CliRunner().invoke(cli, ["sanitize"])
    assert done.exit_code == 1
    assert "out of bounds x_ptr[3]" in done.output and "failed job[/]: died" in done.output


def test_a_folder_with_an_escape_code_is_told_and_not_obeyed(tmp_path: Path):
    done = CliRunner().invoke(cli, ["report", str(tmp_path / "a\x1b[2Jb")])
    assert done.exit_code == 3 and "a\\x1b[2Jb" in done.stderr and "\x1b" not in done.stderr
    done = CliRunner().invoke(cli, ["compare", "a\x1b[2Jb"])
    assert done.exit_code == 2 and "a\\x1b[2Jb" in done.stderr and "\x1b" not in done.stderr


@pytest.mark.skipif(not machine.missing("cuda"), reason="this machine has CUDA")
def test_a_case_of_a_gpu_without_one_is_not_run_and_says_why(tmp_path: Path):
    case = "agreement/softmax/linear/B2-D2-C2/float32/cuda/drawn/s0"
    out = tmp_path / "run"
    done = CliRunner().invoke(
        cli, ["run", "--case", case, "--contender", "eager", "--out", str(out)]
    )
    assert done.exit_code == 3, done.output
    lines = map(json.loads, (out / "records.jsonl").read_text().splitlines())
    rows = [line for line in lines if line["kind"] == "result"]
    assert rows and {(row["status"], row["reason"]) for row in rows} == {
        ("not_run", machine.missing("cuda"))
    }


def test_an_unknown_contender_of_a_training_is_2_before_anything_is_planned(
    monkeypatch: pytest.MonkeyPatch,
):
    from benchmarks.training import planning

    monkeypatch.setattr(planning, "plan", lambda asked: pytest.fail("planned"))
    done = CliRunner().invoke(cli, ["quality", "run", "--contender", "egaer"])
    assert done.exit_code == 2 and "did you mean 'eager'?" in done.output


def test_a_dataset_whose_path_is_no_text_is_2(tmp_path: Path):
    given = os.fsdecode(b"folder:caf\xe9")
    done = CliRunner().invoke(cli, ["quality", "run", "--dataset", given])
    assert done.exit_code == 2 and "expected a path that is text" in done.output


@pytest.mark.parametrize(
    ("began", "says"),
    [
        ("marginbench run --fast", "marginbench run --resume {}"),
        ("marginbench quality run --full", "marginbench quality run --resume {}"),
        ("marginbench quality recipe x --seed 0", "marginbench quality recipe x --seed 0 --out {}"),
    ],
)
def test_a_run_is_completed_by_the_command_that_began_it(tmp_path: Path, began: str, says: str):
    path = tmp_path / "records.jsonl"
    session = Session(
        run="r", session="s", command=began, preset="", seed=0, started_at="", commit="",
        dirty=False, identity={}, information={}, plan=[],
    )  # fmt: skip
    path.write_text(f'{Chain().sealed(session.text())}\n{{"cut off')
    assert record_files.resumption(path) == says.format(tmp_path)
    with pytest.raises(record_files.RecordError, match=says.format(tmp_path)):
        list(read_lines(path))


def test_what_is_left_in_the_outputs_buffer_finds_the_full_disk_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """Python's own end would give it another exit code."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(SystemExit) as ended, endings.ending():
            full.write("left in the buffer")
    assert ended.value.code == 3 and "error: disk full: the output: " in capsys.readouterr().err


def test_an_output_without_a_terminal_has_no_codes():
    shown = messages.console(50)
    shown.file = io.StringIO()
    shown.print("plain", style="red")
    assert shown.file.getvalue() == "plain\n"
