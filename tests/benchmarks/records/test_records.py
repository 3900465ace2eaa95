"""The record file: what counts of it, what is refused, and what a killed run leaves."""

from __future__ import annotations

import json
import lzma
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import record_files
from benchmarks.records.loading import (
    CaseEnd,
    Provenance,
    RecordError,
    Result,
    RunEnd,
    Session,
    load,
    read_lines,
)
from benchmarks.records.writing import Writer
from suites.schema import CaseKey

KEY = CaseKey(
    suite="speed", loss="softmax", variant="linear", variant_version=1, family="head", batch=2,
    dim=3, classes=4, dtype="float32", device="cpu", data="drawn", seed=0,
)  # fmt: skip
OTHER = replace(KEY, batch=5)
PROVENANCE = Provenance(
    commit="abc", dirty=False, machine="m", versions={"torch": "2"}, command="marginbench run",
    measured_at="2026-01-01T00:00:00Z",
)  # fmt: skip


def test_a_case_says_its_own_sizes_where_it_has_some():
    sized = replace(KEY, sizes=(("K", 3), ("M", 8)))
    assert sized.id == "speed/softmax/linear/B2-D3-C4-K3-M8/float32/cpu/drawn/s0"
    assert CaseKey(**json.loads(json.dumps(sized.plain()))) == sized
    assert sized.shape["M"] == 8 and sized.own_sizes == " K=3 M=8"
    assert "sizes" not in KEY.plain() and CaseKey(**KEY.plain()) == KEY


def session(name: str) -> Session:
    return Session(
        run="r", session=name, command="c", preset="fast", seed=0, started_at="now", commit="abc",
        dirty=False, identity={}, information={}, plan=[KEY.id, OTHER.id],
    )  # fmt: skip


def result(name: str, value: float | None, case: CaseKey = KEY, **fields: Any) -> Result:
    return Result(
        run="r", session=name, case=case, contender="eager", metric="peak_bytes", status="ok",
        value=value, provenance=PROVENANCE, **fields,
    )  # fmt: skip


def end(name: str, case: CaseKey = KEY) -> CaseEnd:
    return CaseEnd(run="r", session=name, case=case.id, seconds=1.0)


def write(path: Path, *lines: Any) -> Path:
    writer = Writer(path)
    for line in lines:
        writer.append(line)
    writer.close()
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run" / "records.jsonl"


def test_a_case_counts_once_it_has_ended_and_by_the_session_that_ended_it(file: Path):
    write(
        file,
        session("a"), result("a", 1.0), result("a", 10.0, OTHER), end("a", OTHER),
        session("b"), result("b", 2.0), end("b"), RunEnd(run="r", session="b", seconds=3.0),
    )  # fmt: skip
    found = load(file)
    assert {r.case.id: r.value for r in found.results} == {KEY.id: 2.0, OTHER.id: 10.0}
    assert found.ended == {KEY.id, OTHER.id}
    assert found.orphans == 1 and found.complete and len(found.sessions) == 2


def test_a_run_that_did_not_end_is_not_complete(file: Path):
    write(file, session("a"), result("a", 1.0), end("a"))
    assert not load(file).complete
    write(file, RunEnd(run="r", session="a", seconds=1.0))
    assert load(file).complete
    write(file, session("b"))
    assert not load(file).complete


def test_a_cut_off_line_is_refused_with_the_mend_and_dropped_on_resumption(file: Path):
    write(file, session("a"), result("a", 1.0), end("a"))
    whole = file.read_bytes()
    for cut in (1, 20, len(whole) - whole.rstrip(b"\n").rfind(b"\n") - 2):
        file.write_bytes(whole[:-cut])
        with pytest.raises(RecordError, match=r"cut off.*--resume"):
            load(file)
        Writer(file).close()
        assert load(file).ended == frozenset() and load(file).orphans == 1
    write(file, end("a"))
    assert load(file).ended == {KEY.id}


def test_a_cut_off_packed_file_is_unpacked_before_it_goes_on(file: Path):
    """Nothing can be appended to an archive: the command that is suggested has to work."""
    write(file, session("a"), result("a", 1.0), end("a"))
    packed = file.with_name("records.jsonl.xz")
    packed.write_bytes(lzma.compress(file.read_bytes()[:-20]))
    file.unlink()
    mend = f"xz -d {packed} && marginbench run --resume {packed.parent}"
    with pytest.raises(RecordError, match=rf"cut off; complete the run with: {re.escape(mend)}$"):
        load(packed)
    file.write_bytes(lzma.decompress(packed.read_bytes()))
    Writer(file).close()
    assert load(file).orphans == 1


def test_the_record_of_a_folder_is_plain_or_packed_and_never_both(tmp_path: Path):
    assert record_files.find(tmp_path) is None
    packed = tmp_path / record_files.PACKED
    packed.touch()
    assert record_files.find(tmp_path) == packed
    plain = tmp_path / record_files.FILE
    plain.touch()
    with pytest.raises(RecordError, match=r"found records\.jsonl and records\.jsonl\.xz: keep one"):
        record_files.find(tmp_path)
    packed.unlink()
    assert record_files.find(tmp_path) == plain


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello\n", "the line is damaged"),
        ("[1, 2]\n", "the line is damaged"),
        ('{"kind": "result", "schema_version": 3}\n', "expected schema version 1 or 2; got 3"),
        ('{"kind": "case_end", "schema_version": 1}\n', "run"),
    ],
)
def test_a_damaged_line_is_named_by_its_number(file: Path, text: str, says: str):
    write(file, session("a"))
    file.write_bytes(file.read_bytes() + text.encode())
    with pytest.raises(RecordError, match="line 2") as caught:
        load(file)
    assert says in str(caught.value)


def test_a_missing_file_is_said_to_be_missing(file: Path):
    with pytest.raises(RecordError, match="is not there"):
        load(file)


def test_nothing_that_is_no_number_gets_in():
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            result("a", bad)
        with pytest.raises(ValueError):
            result("a", 1.0, rounds=[bad])
    with pytest.raises(TypeError, match="unknown"):
        result("a", 1.0, unknown=1)


def test_a_run_that_wrote_no_line_leaves_no_file(file: Path):
    """The same command can be given again; one with lines stays."""
    Writer(file).close()
    assert not file.exists()
    write(file, session("a"))
    Writer(file).close()
    assert len(list(read_lines(file))) == 1


def test_what_is_not_measured_is_null_and_not_zero(file: Path):
    write(file, result("a", None))
    (line,) = read_lines(file)
    assert isinstance(line, Result) and line.value is None
    assert json.loads(file.read_text())["value"] is None


def test_a_line_is_on_the_file_as_soon_as_it_is_appended(file: Path):
    writer = Writer(file)
    for number in range(1, 4):
        writer.append(result("a", 1.0))
        assert len(list(read_lines(file))) == number
    writer.close()


def test_bytes_that_are_no_text_are_a_damaged_line(file: Path):
    file.parent.mkdir()
    file.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(RecordError, match=r"line 1: .*the line is damaged"):
        load(file)
