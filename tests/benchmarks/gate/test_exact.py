"""The exact check: whatever moved is found, whatever is missing is no pass, and pinning shows what
it changes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from benchmarks import pins, static_check
from benchmarks.exact import check as checking
from benchmarks.exact import growth, measuring, rows
from benchmarks.exact.rows import ExactRow
from commands import exact

ROOT = Path(__file__).resolve().parents[3]
CASE = "exact/softmax/linear/B37-D19-C23/float32/cpu"
ROWS = [
    ExactRow(CASE, "tiled", "peak_bytes", 1000),
    ExactRow(CASE, "tiled", "operators", 12),
    ExactRow(CASE, "tiled", "agreement", "ok"),
    ExactRow(CASE, "tiled", "growth_share", 0.001),
    ExactRow(CASE, "eager", "growth_share", "exempt", "it may"),
]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[ExactRow]:
    """What is measured, to be changed by the test."""
    found = list(ROWS)
    monkeypatch.setattr(measuring, "measure", lambda *_, **__: list(found))
    return found


def _check(folder: Path, *, pin: bool = False, **options) -> checking.ExactOutcome:
    return checking.check(pin=pin, folder=folder, static=False, **options)


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
    path = next(tmp_path.iterdir())
    before = path.read_bytes()
    _planted(now, metric, value)
    outcome = _check(tmp_path)
    assert outcome.code == 3 and not outcome.differences
    assert [one.metric for one in outcome.unmeasured] == [metric]
    refused = _check(tmp_path, pin=True)
    assert refused.code == 3 and "nothing was pinned" in " ".join(refused.problems)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_regression_beside_what_is_missing_is_a_regression(tmp_path: Path, now: list[ExactRow]):
    _check(tmp_path, pin=True)
    _planted(now, "peak_bytes", 2000)
    _planted(now, "operators", None)
    assert _check(tmp_path).code == 1


def test_an_empty_selection_is_no_pass(tmp_path: Path):
    (tmp_path / "pinned").mkdir()
    rows.write(rows.path_for(torch.__version__, tmp_path), ROWS)
    for pin in (False, True):
        outcome = _check(tmp_path, pin=pin, losses=["no-such-loss"])
        assert outcome.code == 3 and "nothing was selected" in " ".join(outcome.problems)
    assert rows.read(rows.path_for(torch.__version__, tmp_path)) == sorted(
        ROWS, key=lambda row: row.key
    )


def test_without_pins_of_this_version_nothing_is_checked(tmp_path: Path, now: list[ExactRow]):
    rows.write(tmp_path / "exact-torch-0.1.jsonl", ROWS)
    outcome = _check(tmp_path)
    assert outcome.code == 3 and not outcome.rows
    assert "exact-torch-0.1" in outcome.problems[0] and checking.REPIN in outcome.problems[0]


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"case": "a"}', '{"case":"a","contender":"b","metric":"c","value":NaN}',
     '{"case":"a","contender":"b","metric":"c","value":true}',
     '{"case":"a","contender":"b","metric":"c","value":1,"more":1}', "twice"],
)  # fmt: skip
def test_a_damaged_file_is_named(line: str, tmp_path: Path, now: list[ExactRow]):
    _check(tmp_path, pin=True)
    path = next(tmp_path.iterdir())
    first = path.read_text().splitlines()[0]
    path.write_text(path.read_text() + (first if line == "twice" else line) + "\n")
    outcome = _check(tmp_path)
    assert outcome.code == 3 and f"{path}:{len(ROWS) + 1}" in outcome.problems[0]


def test_the_file_is_never_half_written(tmp_path: Path, now: list[ExactRow], monkeypatch):
    _check(tmp_path, pin=True)
    path = next(tmp_path.iterdir())
    before = path.read_bytes()
    writing = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        writing(self, content[: len(content) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        _check(tmp_path, pin=True)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


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
    outcome = _check(here, base_pins=base)
    assert outcome.code == 0
    assert [(one.metric, one.after) for one in outcome.repinned] == [
        ("operators", checking.REMOVED),
        ("peak_bytes", "1,100 (+10.00%)"),
    ]
    assert _check(here, base_pins=tmp_path / "none").problems


def test_the_inventory_of_timed_rows_is_kept(tmp_path: Path, now: list[ExactRow]):
    timed = ExactRow("speed/x", "eager", rows.TIMED, 1)
    rows.write(rows.path_for(torch.__version__, tmp_path), [timed])
    assert _check(tmp_path).code == 3, "no exact row is pinned"
    _check(tmp_path, pin=True)
    assert timed in rows.read(next(tmp_path.iterdir()))
    assert _check(tmp_path).code == 0


@pytest.mark.parametrize(
    ("base", "code", "message"),
    [("missing", 0, "the base has nothing pinned"), ("damaged", 3, "not checked: the base's pins")],
)
def test_missing_or_damaged_pins_of_compiled_kernels_in_the_base_are_reported(
    base: str, code: int, message: str, tmp_path: Path, now: list[ExactRow], monkeypatch
):
    here = tmp_path / "here"
    examined = static_check.Examined(0, 5, [], [], here / "triton-1.jsonl")
    monkeypatch.setattr(static_check, "examine", lambda **_: examined)
    checking.check(pin=True, folder=here)
    (here / "triton-1.jsonl").write_text("")
    there = tmp_path / "base"
    there.mkdir()
    rows.path_for(torch.__version__, there).write_bytes(
        rows.path_for(torch.__version__, here).read_bytes()
    )
    if base == "damaged":
        (there / "triton-1.jsonl").write_text("{\n")
    outcome = checking.check(pin=False, folder=here, base_pins=there)
    assert outcome.code == code
    assert [message in problem for problem in outcome.problems] == [True]


@pytest.mark.parametrize(
    ("size", "registers", "says"),
    [
        (16, 64, []),
        (16, 60, [("registers", "60")]),
        (17, 64, [("row", "pinned"), ("row", "-")]),
    ],
    ids=("a name alone", "a register too", "another size"),
)
def test_a_base_s_kernel_is_known_by_its_values_where_a_parameter_was_renamed(
    size: int, registers: int, says: list, tmp_path: Path, now: list[ExactRow], monkeypatch
):
    here, there = tmp_path / "here", tmp_path / "base"
    there.mkdir()
    examined = static_check.Examined(0, 1, [], [], here / "triton-1.jsonl")
    monkeypatch.setattr(static_check, "examine", lambda **_: examined)
    checking.check(pin=True, folder=here)
    row = {"kernel": "a.kernel", "target": "sm_90", "registers": 64, "arguments": "M=None D=16"}
    pins.write(here / "triton-1.jsonl", [row])
    base = row | {"registers": registers, "arguments": f"BEND=None D={size}"}
    pins.write(there / "triton-1.jsonl", [base])
    exact_file = rows.path_for(torch.__version__, here)
    (there / exact_file.name).write_bytes(exact_file.read_bytes())
    outcome = checking.check(pin=False, folder=here, base_pins=there)
    assert [(one.metric, one.before) for one in outcome.repinned] == says


def test_compiled_kernels_count_too(tmp_path, now, monkeypatch, capsys):
    moved = pins.Difference("a.kernel", "sm_90", "x_ptr=float32", "registers", "64", "65")

    def examine(*, pin: bool, folder: Path, report: object) -> static_check.Examined:
        if pin:
            return static_check.Examined(0, 5)
        return static_check.Examined(1, 5, [moved], [], folder / "triton-1.jsonl")

    monkeypatch.setattr(static_check, "examine", examine)
    assert exact.checked(True, folder=tmp_path) == 0
    assert "5 exact rows and 5 compiled kernels" in capsys.readouterr().out
    assert exact.checked(False, folder=tmp_path) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "registers" in output and "a.kernel" in output and "1 not as pinned" in output
