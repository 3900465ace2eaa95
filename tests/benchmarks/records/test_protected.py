"""Records that were edited or damaged: digests find any change; impossible lines are refused in one
line."""

from __future__ import annotations

import lzma
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from test_damaged import EDITS, changed, invoked, unprotected, whole_run
from test_records import PROVENANCE, end, file, result, session, write

from benchmarks.records import record_files
from benchmarks.records.loading import RecordError, Result, Training, load

__all__ = ["file"]

UNSEEN: dict[str, Callable[[list[str]], list[str]]] = {
    "a value and its rounds": lambda x: [x[0], changed(x[1], value=1.0, rounds=[1.0]), *x[2:]],
    "a commit": lambda x: [changed(x[0], commit="other"), *x[1:]],
    "a result taken out": lambda x: [x[0], *x[2:]],
    "the session taken out": lambda x: x[1:],
    "two lines swapped": lambda x: [*x[:3], x[4], x[3], *x[5:]],
    "a line added": lambda x: [*x[:3], changed(x[1], contender="other"), *x[3:]],
    "a line of before, added": lambda x: [x[0], *unprotected(x[1:2]), *x[1:]],
    "a digest taken out": lambda x: [*x[:5], re.sub(',"digest":"[0-9a-f]+"', "", x[5])],
    "a space": lambda x: [*x[:2], x[2].replace(":", ": ", 1), *x[3:]],
}


def written(file: Path, lines: list[str]) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(lines))
    return file


@pytest.mark.parametrize("edit", UNSEEN)
def test_what_says_nothing_wrong_by_itself_is_refused_by_its_digest(file: Path, edit: str):
    whole = whole_run(file)
    assert load(file).protected
    with pytest.raises(RecordError, match=r"line \d: .*digest.*; the file was edited"):
        load(written(file, UNSEEN[edit](whole)))


@pytest.mark.parametrize("edit", [one for one in EDITS if one != "nothing"])
def test_what_is_refused_without_digests_is_refused_with_them(file: Path, edit: str):
    lines = EDITS[edit][0](whole_run(file))
    with pytest.raises(RecordError):
        load(written(file, lines))


def test_lines_of_schema_1_are_read_and_a_resumed_run_goes_on_with_protected_ones(file: Path):
    old = unprotected(whole_run(file))
    written(file, old)
    assert not load(file).protected
    write(file, session("b"), result("b", 1.0), end("b"))
    found = file.read_text().splitlines(keepends=True)
    assert found[: len(old)] == old and not load(file).protected
    file.write_text("".join([*found[:-2], found[-1]]))
    with pytest.raises(RecordError, match=f"line {len(old) + 2}: its digest"):
        load(file)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"metric": "both_time_s", "value": -1.0}, "value: expected both_time_s from 1e-12 to"),
        ({"metric": "both_time_s", "value": 1e308}, "got 1e+308"),
        ({"metric": "both_time_s", "value": 5e-324}, "got 5e-324"),
        ({"metric": "both_time_s", "value": 1.0, "rounds": [-1.0, 1.0, 1.0]}, "got -1.0"),
        ({"metric": "peak_bytes", "value": -4.0}, "value: expected peak_bytes from 0 to"),
        ({"metric": "relative_error", "value": 2.0, "protocol": {"limit": 1.0}}, "most its limit"),
    ],
)  # fmt: skip
def test_figures_that_nothing_measures_are_refused(fields: dict, says: str):
    plain = vars(result("a", 1.0))
    with pytest.raises(ValueError) as caught:
        Result(**{**plain, **fields})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"metrics": {"train_time_s": -1.0}}, "metrics: expected train_time_s from 0 to"),
        ({"epochs": [{"map_at_r": 0.5}, {"map_at_r": 1e300}]}, "metrics: expected map_at_r from"),
    ],
)
def test_a_training_s_figures_that_nothing_measures_are_refused(figures: dict, says: str):
    fields = {"run": "r", "session": "a", "name": "a training", "loss": "softmax", "seed": 0,
              "variant": "linear", "contender": "eager", "dataset": "digits", "status": "ok",
              "provenance": PROVENANCE}  # fmt: skip
    fine = Training(**fields, metrics={"train_time_s": 2.0}, epochs=[{"train_time_s": 0.0}])
    assert fine.metrics
    with pytest.raises(ValueError, match=says):
        Training(**fields, **figures)


def test_another_program_s_command_is_not_resumed_as_every_suite(file: Path):
    lines = unprotected(whole_run(file))
    written(file, [changed(lines[0], command="x"), *lines[1:]])
    code, output = invoked("run", "--resume", str(file.parent))
    assert code == 3 and "expected a session that began with marginbench run; got 'x'" in output


@pytest.mark.parametrize("command", ["", " ", "marginbench run --out 'x"])
def test_a_command_that_cannot_be_given_again_is_refused(file: Path, command: str):
    """A run that is resumed goes on with the options of its command: none is every suite."""
    lines = unprotected(whole_run(file))
    written(file, [changed(lines[0], command=command), *lines[1:]])
    code, output = invoked("run", "--resume", str(file.parent))
    assert code == 3 and "command: expected a command line" in output, output


def test_what_nests_without_end_is_a_damaged_line(file: Path):
    written(file, ["[" * 100_000 + "\n"])
    assert record_files.head(file) == {}
    code, output = invoked("report", str(file.parent))
    assert code == 3 and output.startswith("error: ") and len(output.splitlines()) == 1
    with pytest.raises(RecordError, match="the line is damaged"):
        load(file)


def test_a_pipe_is_no_record_and_is_not_waited_for(file: Path):
    file.parent.mkdir()
    os.mkfifo(file)
    assert record_files.head(file) == {}
    with pytest.raises(RecordError, match="expected a file"):
        load(file)


def test_what_follows_the_end_of_an_archive_is_refused(file: Path):
    packed = file.with_name("records.jsonl.xz")
    whole_run(file)
    packed.write_bytes(lzma.compress(file.read_bytes()))
    assert load(packed).complete
    archive = packed.read_bytes()
    for more in (b"garbage", b"YZ", b"\0", lzma.compress(b"{}\n")):
        packed.write_bytes(archive + more)
        with pytest.raises(RecordError, match=r"a whole archive of xz|line 7"):
            load(packed)
