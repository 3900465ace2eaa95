"""Record files that are cut off, foreign, of another schema or edited by hand, and full disks:
each has an exit code and a sentence, and what was measured is kept."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic_run
from click.testing import CliRunner
from test_records import OTHER, end, file, result, session, write

from benchmarks import library
from benchmarks.records import writing
from benchmarks.records.loading import RecordError, RunEnd, load, read_lines
from benchmarks.records.writing import Writer
from commands.root import cli

ROOT = Path(__file__).resolve().parents[3]
__all__ = ["file"]
LIMIT = 4096


def invoked(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(cli, arguments)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def whole_run(path: Path) -> list[str]:
    write(
        path, session("a"), result("a", 2.0, rounds=[1.0, 2.0, 4.0]), end("a"),
        result("a", 5.0, OTHER), end("a", OTHER), RunEnd(run="r", session="a", seconds=1.0),
    )  # fmt: skip
    return path.read_text().splitlines(keepends=True)


def changed(line: str, **fields: object) -> str:
    return json.dumps({**json.loads(line), **fields}) + "\n"


def unprotected(lines: list[str]) -> list[str]:
    return synthetic_run.unprotected("".join(lines)).splitlines(keepends=True)


EDITS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "cut off": (lambda x: [*x[:-1], x[-1][:30]], "expected a whole line; got one that is cut off"),
    "foreign": (lambda x: ['{"epoch": 3, "loss": 0.1}\n'], "not a record of MarginBench"),
    "foreign text": (lambda x: ["epoch,loss\n", "3,0.1\n"], "the line is damaged"),
    "older schema": (
        lambda x: [changed(x[0], schema_version=0), *x[1:]],
        "expected schema version 1 or 2; got 0; an older MarginBench wrote it: measure again",
    ),
    "newer schema": (
        lambda x: [changed(line, schema_version=3) for line in x],
        "expected schema version 1 or 2; got 3; a newer MarginBench wrote it",
    ),
    "a better value": (
        lambda x: [x[0], changed(x[1], value=1.0), *x[2:]],
        "line 2: value: expected the median of its rounds, 2.0; got 1.0",
    ),
    "a round taken out": (
        lambda x: [x[0], changed(x[1], rounds=[1.0, 2.0]), *x[2:]],
        "line 2: value: expected the median of its rounds, 1.5; got 2.0",
    ),
    "a number as text": (
        lambda x: [x[0], changed(x[1], value="2.0"), *x[2:]],
        "line 2: result.value: Input should be a valid number; got '2.0'",
    ),
    "a truth as number": (
        lambda x: [changed(x[0], dirty=0), *x[1:]], "line 1: session.dirty: Input should be a valid"
    ),
    "no number": (
        lambda x: [x[0], x[1].replace('"value":2.0', '"value":NaN'), *x[2:]], "line 2: ",
    ),
    "a field too many": (
        lambda x: [x[0], changed(x[1], note="better"), *x[2:]], "line 2: result.note: Extra inputs"
    ),
    "a result twice": (
        lambda x: [*x[:2], x[1], *x[2:]], "line 3: it repeats line 2"
    ),
    "a result changed and kept": (
        lambda x: [*x[:2], changed(x[1], value=1.0, rounds=[1.0]), *x[2:]],
        "line 3: it repeats line 2",
    ),
    "an end twice": (lambda x: [*x[:3], x[2], *x[3:]], "line 4: it repeats line 3"),
    "a result after its end": (
        lambda x: [x[0], x[2], x[1], *x[3:]], "line 3: expected no result of"
    ),
    "the whole file twice": (lambda x: x + x, "line 7: it repeats line 1"),
    "two runs in one file": (
        lambda x: [*x, *(changed(line, run="q", session="b") for line in x)],
        "line 7: expected run r, as in line 1; got run q",
    ),
    "nothing": (lambda x: [], "there is none, so it holds no run"),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_a_damaged_file_is_refused_with_a_sentence_and_left_as_it_is(file: Path, edit: str):
    change, says = EDITS[edit]
    file.parent.mkdir()
    lines = change(unprotected(whole_run(file)))
    file.write_text("".join(lines))
    code, output = invoked("report", str(file.parent))
    assert code == 3 and says in output, output
    assert len(output.splitlines()) == 1 and output.startswith("error: ")
    assert not (file.parent / "index.html").exists()
    assert file.read_text() == "".join(lines)
    if edit not in ("cut off", "nothing"):
        with pytest.raises(RecordError):
            load(file)


def test_what_is_not_ours_is_not_cut_off(file: Path):
    """A run that is pointed at somebody's file may not shorten it."""
    file.parent.mkdir()
    for text in ("precious notes", '{"schema_version":1}\nprecious notes', '{"epoch": 1}'):
        file.write_text(text)
        with pytest.raises(RecordError, match="left as it is"):
            Writer(file)
        assert file.read_text() == text


def test_zeros_that_a_power_cut_left_are_cut_off(file: Path):
    file.parent.mkdir()
    lines = whole_run(file)
    file.write_bytes("".join(lines).encode() + b'{"schema_ver' + b"\0" * 100)
    Writer(file).close()
    assert file.read_text() == "".join(lines)


@pytest.mark.parametrize("content", ["", '{"schema_version":1,"run"'])
def test_a_run_that_was_killed_before_it_began_says_how_to_begin(tmp_path: Path, content: str):
    (tmp_path / "records.jsonl").write_text(content)
    code, output = invoked("run", "--resume", str(tmp_path))
    assert code == 3 and "the run never began: delete the file and start anew" in output


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "disk full: "), (errno.EDQUOT, "disk full: "), (errno.EIO, "can't write: ")],
)
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_line_that_finds_no_room_is_taken_back(
    file: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str, call: str
):
    writer = Writer(file)
    for line in (session("a"), result("a", 1.0), end("a")):
        writer.append(line)
    before = file.read_bytes()
    real = os.write

    def fails(handle: int, data: bytes = b"") -> int:
        if call == "write" and len(data) > 50:
            return real(handle, data[:50])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writing.os, call, fails)
    with pytest.raises(RecordError) as caught:
        writer.append(end("a", OTHER))
    assert str(caught.value).startswith(says)
    assert f"go on with: marginbench run --resume {file.parent}" in str(caught.value)
    assert file.read_bytes() == before
    monkeypatch.undo()
    writer.append(end("a", OTHER))
    assert len(list(read_lines(file))) == 4


def test_a_run_whose_first_line_finds_no_room_leaves_no_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    """The same command can be given again: a file without a line would be in its way."""

    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = Writer(file)
    monkeypatch.setattr(writing.os, "write", full)
    with pytest.raises(RecordError, match=r"disk full: .*run the same command again"):
        writer.append(session("a"))
    assert not file.exists()


def test_an_interruption_inside_a_line_takes_it_back(file: Path, monkeypatch: pytest.MonkeyPatch):
    writer = Writer(file)
    writer.append(session("a"))
    before, real = file.read_bytes(), os.write

    def interrupted(handle: int, data: bytes) -> int:
        real(handle, data[:9])
        raise KeyboardInterrupt

    monkeypatch.setattr(writing.os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.append(end("a"))
    assert file.read_bytes() == before


FULL = """
import sys
from pathlib import Path
sys.path[:0] = ["tests/support", "tests/benchmarks/records"]
from test_records import end, result, session
from benchmarks.records.loading import RecordError, load
from benchmarks.records.writing import Writer

path = Path(sys.argv[1]) / "records.jsonl"
writer = Writer(path)
writer.append(session("a"))
kept = 1
try:
    while True:
        writer.append(result(f"s{kept}", 1.0))
        kept += 1
except RecordError as error:
    print(error)
writer.close()
found = load(path)
print(kept - 1, found.orphans, path.stat().st_size)
"""


def fills(folder: Path, *before: str, **given: object) -> None:
    done = subprocess.run(
        [*before, sys.executable, "-c", FULL, str(folder)], cwd=ROOT, capture_output=True,
        text=True, timeout=60, env=library.environment(), **given,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, counts = done.stdout.splitlines()
    kept, found, size = map(int, counts.split())
    assert said.startswith("disk full: ") and "--resume" in said
    assert kept == found > 3 and size <= 4 * LIMIT


def test_a_file_at_the_limit_of_its_size_ends_in_a_whole_line(tmp_path: Path):
    """The kernel itself says no, in the middle of a line."""
    limit = (LIMIT, LIMIT)
    fills(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))


def test_a_full_disk_ends_in_a_whole_line(tmp_path: Path):
    """A file system of four pages, where this user may mount one."""
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o size={4 * LIMIT} none {tmp_path}"
    inside = [unshare or "", "--mount", "--map-root-user", "sh", "-c", f'{mount} && exec "$@"', "-"]
    if not unshare or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    fills(tmp_path, *inside)


def test_the_command_on_a_full_disk_says_so_and_goes_on_when_there_is_room(tmp_path: Path):
    """Exit code 3 and a sentence; then resumed."""
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "commands", "run", "--contender", "eager", "--case",
        "agreement/softmax/linear/B2-D2-C2/float32/cpu/drawn/s0", "--out", str(out),
    ]  # fmt: skip

    again = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120,
        env=library.environment(PYTHONDONTWRITEBYTECODE="1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)),
    )  # fmt: skip
    assert again.returncode == 3 and "Traceback" not in again.stderr, again.stderr
    assert f"go on with: marginbench run --resume {out}" in again.stderr
    code, output = invoked("run", "--resume", str(out))
    assert code == 0, output
    assert load(out / "records.jsonl").complete


def test_a_report_that_finds_no_room_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = tmp_path / "run"
    whole_run(run / "records.jsonl")
    assert invoked("report", str(run))[0] == 0
    before = (run / "index.html").read_text()

    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    code, output = invoked("report", str(run))
    assert code == 3 and "error: disk full: " in output and str(run) in output
    monkeypatch.undo()
    assert (run / "index.html").read_text() == before
