"""What a head costs the host: few launches whatever the classes, and a record that says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import host_time
from benchmarks.instruments import machine
from marginbench import catalogue
from reports.paths import PUBLISHED

RECORD = PUBLISHED / "host-time.json"


def _heads() -> set[str]:
    return {
        loss.name
        for loss in catalogue.losses()
        if loss.variants[0].family == "head"
        and "triton" in {contender.name for contender in loss.variants[0].contenders}
    }


def test_a_call_has_few_launches_at_any_number_of_classes():
    rows = list(host_time.measure(rounds=1))
    assert {row.loss for row in rows} == _heads()
    for row in rows:
        assert 2 <= row.forward_launches + row.backward_launches <= 12, row
    by_head = {(row.loss, row.forward_launches, row.backward_launches) for row in rows}
    assert len(by_head) == len(_heads())


def test_the_record_is_of_a_commit_and_of_every_head():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    measured = record["measured"]
    assert record["schema_version"] == host_time.SCHEMA_VERSION and not measured["changed"]
    assert measured["command"] == "python -m benchmarks.host_time reports/published/host-time.json"
    rows = [host_time.Row(**row) for row in record["rows"]]
    assert {(row.loss, row.classes) for row in rows} == {
        (name, shape.classes) for name in _heads() for shape in host_time.SHAPES
    }
    assert all(row.forward_us > 0 and row.backward_us > 0 for row in rows)


def test_the_command_writes_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    row = host_time.Row("a", "b", 1_000, 12.0, 34.0, 10.0, 30.0, 2, 3)
    monkeypatch.setattr(host_time, "measure", lambda: iter([row]))
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert host_time.main([str(tmp_path / "one.json")]) == 0
    (line,) = capsys.readouterr().out.splitlines()[1:]
    assert line.split() == [
        "a/b",
        "1,000",
        "12",
        "us",
        "34",
        "us",
        "10",
        "+",
        "30",
        "us",
        "2",
        "+",
        "3",
    ]
    record = json.loads((tmp_path / "one.json").read_text())
    assert host_time.Row(**record["rows"][0]) == row
    assert record["measured"]["command"] == "python -m benchmarks.host_time one.json"
