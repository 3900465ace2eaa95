"""The published site: records and folders that it can't or won't take."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

import pytest
from synthetic_store import LOSSES, publish, run, small

from benchmarks.records.loading import RecordError
from reports.site import building, sources


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('"schema_version":2', "expected schema version 1 or 2; got 99"),
        ("", "expected a JSON object"),
    ],
)
def test_a_record_of_another_schema_is_refused_and_the_old_site_stays(
    tmp_path: Path, change: str, says: str
):
    """Also where it is one line of many."""
    folder = publish(tmp_path, "box", small(losses=LOSSES[1:2]))
    lines = lzma.decompress((folder / "records.jsonl.xz").read_bytes()).decode().splitlines()
    lines[3] = lines[3].replace(change, '"schema_version":99') if change else "{damaged"
    (folder / "records.jsonl.xz").write_bytes(lzma.compress("\n".join([*lines, ""]).encode()))
    site = tmp_path / "site"
    site.mkdir()
    (site / building.MANIFEST).write_text('{"schema_version": 1, "sources": {}, "files": {}}')
    done = run("publish", "--records", tmp_path)
    assert done.exit_code == 3 and says in done.output and "line 4" in done.output
    assert [p.name for p in site.iterdir()] == [building.MANIFEST]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["box", "site"]


def test_what_is_no_site_is_never_replaced(tmp_path: Path):
    publish(tmp_path / "records", "box", small())
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    done = run("publish", "--records", tmp_path / "records", "--out", tmp_path / "home")
    assert done.exit_code == 2 and "left as it is" in done.output
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "expected JSON"),
        ('{"schema_version": 2}', "expected schema version 1; got 2"),
        ('{"schema_version": 1, "rats": {}}', "got rats"),
        ('{"schema_version": 1, "rates": {"bytes_per_s": -1}}', "numbers above 0"),
    ],
)
def test_a_machine_file_that_is_none_is_refused(tmp_path: Path, text: str, says: str):
    (tmp_path / "machine.json").write_text(text)
    with pytest.raises(RecordError, match=re.escape(says)):
        sources.machine_file(tmp_path)


def test_a_missing_machine_file_is_reported(tmp_path: Path):
    assert sources.machine_file(tmp_path).missing
