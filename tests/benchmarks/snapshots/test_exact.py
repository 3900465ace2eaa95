"""The exact check: whatever moved is found, whatever is missing is no pass, and pinning shows what
it changes."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from exact_pins import CASE, ROWS, TORCH, file_of, pinned_in

from benchmarks.snapshots import pin_files
from benchmarks.snapshots.exact import check as checking
from benchmarks.snapshots.exact import growth, measuring, rows
from benchmarks.snapshots.exact.rows import ExactRow

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[ExactRow]:
    """What is measured, to be changed by the test."""
    found = list(ROWS)
    monkeypatch.setattr(measuring, "measure", lambda *_, **__: list(found))
    return found


def _check(tree: Path, *, pin: bool = False, **options) -> checking.ExactOutcome:
    return checking.check(pin=pin, tree=tree, static=False, **options)


def _planted(now: list[ExactRow], metric: str, value: rows.Value) -> None:
    at = next(n for n, row in enumerate(now) if row.metric == metric)
    now[at] = dataclasses.replace(now[at], value=value)


def test_what_was_pinned_passes(tmp_path: Path, now: list[ExactRow]):
    pinned = _check(tmp_path, pin=True)
    assert (pinned.code, len(pinned.differences)) == (0, len(ROWS))
    passed = _check(tmp_path)
    assert passed == checking.ExactOutcome(0, rows=ROWS)


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [
        ("peak_bytes", 1001, "1,001 (+0.10%)"),
        ("peak_bytes", 999, "999 (-0.10%)"),
        ("operators", 11, "11 (-8.33%)"),
        ("growth_share", "exempt", "exempt"),
    ],
)
def test_drift_in_either_direction_fails_until_pinned(
    metric: str, value: rows.Value, shown: str, tmp_path: Path, now: list[ExactRow]
):
    _check(tmp_path, pin=True)
    _planted(now, metric, value)
    drifted = _check(tmp_path)
    assert drifted.code == 1
    assert [(one.metric, one.after) for one in drifted.differences] == [(metric, shown)]
    again = _check(tmp_path, pin=True)
    assert (again.code, again.differences) == (0, drifted.differences)
    assert _check(tmp_path).code == 0


def test_a_new_row_fails_until_pinned(tmp_path: Path, now: list[ExactRow]):
    _check(tmp_path, pin=True)
    now.append(ExactRow(CASE, "new", "operators", 3))
    assert [(one.contender, one.before) for one in _check(tmp_path).differences] == [("new", "-")]
    assert _check(tmp_path).code == 1


def test_a_row_that_vanished_could_not_be_measured(tmp_path: Path, now: list[ExactRow]):
    _check(tmp_path, pin=True)
    del now[0]
    outcome = _check(tmp_path)
    assert outcome.code == 3 and not outcome.differences
    assert [one.metric for one in outcome.unmeasured] == ["peak_bytes"]
    assert _check(tmp_path, pin=True).code == 0, "taken off the inventory by pinning"
    assert _check(tmp_path).code == 0


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
@pytest.mark.parametrize("metric", ["peak_bytes", "agreement"])
def test_without_a_figure_it_could_not_be_measured_nor_be_pinned(
    metric: str, value: rows.Value, tmp_path: Path, now: list[ExactRow]
):
    _check(tmp_path, pin=True)
    path = file_of(tmp_path)
    before = path.read_bytes()
    _planted(now, metric, value)
    outcome = _check(tmp_path)
    assert outcome.code == 3 and not outcome.differences
    assert [one.metric for one in outcome.unmeasured] == [metric]
    refused = _check(tmp_path, pin=True)
    assert refused.code == 3 and "nothing was pinned" in " ".join(refused.problems)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_regression_beside_what_is_missing_is_a_regression(tmp_path: Path, now: list[ExactRow]):
    _check(tmp_path, pin=True)
    _planted(now, "peak_bytes", 2000)
    _planted(now, "operators", None)
    assert _check(tmp_path).code == 1


def test_an_empty_selection_is_no_pass(tmp_path: Path):
    pin_files.write([rows.pin_of(row, TORCH) for row in ROWS], tmp_path)
    for pin in (False, True):
        outcome = _check(tmp_path, pin=pin, losses=["no-such-loss"])
        assert outcome.code == 3 and "nothing was selected" in " ".join(outcome.problems)
    assert pinned_in(tmp_path) == sorted(ROWS, key=lambda row: row.key)


def test_without_pins_of_this_version_nothing_is_checked(tmp_path: Path, now: list[ExactRow]):
    pin_files.write([rows.pin_of(row, "torch 0.1") for row in ROWS], tmp_path)
    outcome = _check(tmp_path)
    assert outcome.code == 3 and not outcome.rows
    assert "torch 0.1" in outcome.problems[0] and checking.REPIN in outcome.problems[0]


def _line(key: object = ("a/b", "c", "d"), value: str = "1", more: str = "") -> str:
    facts = f'"value": {value}{more}'
    return (
        f'{{"kind": "exact", "version": "{TORCH}", "key": {json.dumps(key)}, "facts": {{{facts}}}}}'
    )


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"kind": "exact"}', _line().replace("exact", "other"), _line(value="NaN"),
     _line(value="true"), _line(more=', "more": 1'), _line(more=', "reason": 1'),
     _line(key=("a", "b")), _line(key=("a", "b", 1)), _line().replace("}}", '}, "more": 1}'),
     "twice"],
)  # fmt: skip
def test_a_damaged_file_is_named(line: str, tmp_path: Path, now: list[ExactRow]):
    _check(tmp_path, pin=True)
    path = file_of(tmp_path)
    first = path.read_text().splitlines()[0]
    path.write_text(path.read_text() + (first if line == "twice" else line) + "\n")
    outcome = _check(tmp_path)
    assert outcome.code == 3 and f"{path}:{len(ROWS) + 1}" in outcome.problems[0]


def test_the_file_is_never_half_written(tmp_path: Path, now: list[ExactRow], monkeypatch):
    _check(tmp_path, pin=True)
    path = file_of(tmp_path)
    before = path.read_bytes()
    _planted(now, "peak_bytes", 1100)
    writing = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        writing(self, content[: len(content) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        _check(tmp_path, pin=True)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("metric", "value"), [("agreement", "worse"), ("growth_share", 1.01 * growth.BOUND)]
)
def test_a_broken_bound_cannot_be_pinned_away(
    metric: str, value: rows.Value, tmp_path: Path, now: list[ExactRow]
):
    _planted(now, metric, value)
    assert _check(tmp_path, pin=True).code == 1
    outcome = _check(tmp_path)
    assert outcome.code == 1 and [one.metric for one in outcome.broken] == [metric]
    if metric == "agreement":
        assert (outcome.broken[0].before, outcome.broken[0].after) == ("passed", "failed")


def test_what_was_pinned_again_is_reported_and_fails_nothing(tmp_path: Path, now: list[ExactRow]):
    base, here = tmp_path / "base", tmp_path / "here"
    _check(base, pin=True)
    del now[1]
    _planted(now, "peak_bytes", 1100)
    _check(here, pin=True)
    outcome = _check(here, base=base)
    assert outcome.code == 0
    assert [(one.metric, one.after) for one in outcome.repinned] == [
        ("operators", checking.REMOVED),
        ("peak_bytes", "1,100 (+10.00%)"),
    ]
    assert _check(here, base=tmp_path / "none").problems


def test_the_inventory_of_timed_cases_is_kept(tmp_path: Path, now: list[ExactRow]):
    timed = pin_files.Pin("softmax", pin_files.TIMED, "", ("softmax/x",), {})
    pin_files.write([timed], tmp_path)
    assert _check(tmp_path).code == 3, "no exact row is pinned"
    _check(tmp_path, pin=True)
    assert timed in pin_files.read(tmp_path)
    assert _check(tmp_path).code == 0
