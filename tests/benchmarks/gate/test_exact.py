"""The exact check: whatever moved is found, whatever is missing is no pass, and pinning shows what
it changes."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import pin_files, pins, static_check
from benchmarks.exact import check as checking
from benchmarks.exact import growth, measuring, rows
from benchmarks.exact.rows import ExactRow
from benchmarks.gate import inventory
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


TORCH = pin_files.version_of("torch", torch.__version__)


def _check(tree: Path, *, pin: bool = False, **options) -> checking.ExactOutcome:
    return checking.check(pin=pin, tree=tree, static=False, **options)


def _file(tree: Path) -> Path:
    return tree / pin_files.LIBRARY / "softmax" / pin_files.FILE


def _pinned(tree: Path) -> list[ExactRow]:
    return [rows.row_of(one) for one in pin_files.read(tree) if rows.is_of(one, TORCH)]


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
    path = _file(tmp_path)
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
    assert _pinned(tmp_path) == sorted(ROWS, key=lambda row: row.key)


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
    path = _file(tmp_path)
    first = path.read_text().splitlines()[0]
    path.write_text(path.read_text() + (first if line == "twice" else line) + "\n")
    outcome = _check(tmp_path)
    assert outcome.code == 3 and f"{path}:{len(ROWS) + 1}" in outcome.problems[0]


def test_the_file_is_never_half_written(tmp_path: Path, now: list[ExactRow], monkeypatch):
    _check(tmp_path, pin=True)
    path = _file(tmp_path)
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


def _with_kernel(tree: Path, monkeypatch: pytest.MonkeyPatch, row: dict | None) -> None:
    """Pins the exact rows, and a compiled kernel if there is one."""
    examined = static_check.Examined(0, 1, [], [], "triton 1")
    monkeypatch.setattr(static_check, "examine", lambda **_: examined)
    checking.check(pin=True, tree=tree)
    if row is not None:
        kernel = pins.pin_of({"folder": "softmax", **row}, "triton 1")
        pin_files.write([*pin_files.read(tree), kernel], tree)


KERNEL = {"kernel": "a.kernel", "target": "sm_90", "registers": 64, "arguments": "M=None D=16"}


@pytest.mark.parametrize(
    ("base", "code", "message"),
    [("missing", 0, "the base has nothing pinned for triton 1"),
     ("damaged", 3, "not checked: the base's pins")],
)  # fmt: skip
def test_missing_or_damaged_pins_of_compiled_kernels_in_the_base_are_reported(
    base: str, code: int, message: str, tmp_path: Path, now: list[ExactRow], monkeypatch
):
    here, there = tmp_path / "here", tmp_path / "base"
    _with_kernel(here, monkeypatch, KERNEL)
    _with_kernel(there, monkeypatch, None)
    if base == "damaged":
        _file(there).write_text(_file(there).read_text() + "{\n")
    outcome = checking.check(pin=False, tree=here, base=there)
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
    _with_kernel(here, monkeypatch, KERNEL)
    base = KERNEL | {"registers": registers, "arguments": f"BEND=None D={size}"}
    _with_kernel(there, monkeypatch, base)
    outcome = checking.check(pin=False, tree=here, base=there)
    assert [(one.metric, one.before) for one in outcome.repinned] == says


def test_a_base_of_an_older_layout_is_compared_with(
    tmp_path: Path, now: list[ExactRow], monkeypatch
):
    """A file for each kind, for all losses together."""
    here, there = tmp_path / "here", tmp_path / "base" / "benchmarks" / "pinned"
    _with_kernel(here, monkeypatch, KERNEL)
    there.mkdir(parents=True)
    plain = [dataclasses.asdict(row) for row in ROWS]
    plain[0]["value"] = 900
    texts = {f"exact-{TORCH.replace(' ', '-')}": plain, "triton-1": [KERNEL | {"registers": 60}]}
    for name, listed in texts.items():
        lines = "".join(f"{json.dumps(one)}\n" for one in listed)
        (there / f"{name}.jsonl").write_text(lines)
    (there / "timed.txt").write_text("softmax/x\nsoftmax/y\n")
    outcome = checking.check(pin=False, tree=here, base=tmp_path / "base")
    assert (outcome.code, outcome.problems) == (0, [])
    assert [(one.metric, one.before) for one in outcome.repinned] == [
        ("peak_bytes", "900"), ("registers", "60"),
    ]  # fmt: skip
    assert inventory.read(tmp_path / "base") == ["softmax/x", "softmax/y"]


def test_pinning_one_loss_touches_its_file_alone(tmp_path: Path, now: list[ExactRow]):
    now += [dataclasses.replace(row, case=row.case.replace("softmax", "center")) for row in ROWS]
    _check(tmp_path, pin=True)
    other = tmp_path / pin_files.LIBRARY / "center" / pin_files.FILE
    before, written = other.read_text(), other.stat().st_mtime_ns
    now[:] = [dataclasses.replace(ROWS[0], value=5)]
    assert _check(tmp_path, pin=True, losses=["softmax"]).code == 0
    assert (other.read_text(), other.stat().st_mtime_ns) == (before, written)
    assert [row.value for row in _pinned(tmp_path) if row.loss == "softmax"] == [5]


def test_a_loss_without_a_fused_kernel_is_pinned_alone(
    tmp_path: Path, now: list[ExactRow], monkeypatch
):
    """There is nothing to compile; that is no reason to pin nothing."""
    plain = SimpleNamespace(
        package="marginbench.softmax",
        variants=[SimpleNamespace(contenders=[SimpleNamespace(needs=())])],
    )
    monkeypatch.setattr(checking.catalogue, "get", lambda name: plain)
    monkeypatch.setattr(static_check, "examine", lambda **_: pytest.fail("compiled"))
    assert checking.check(pin=True, tree=tmp_path, losses=["softmax"]).code == 0
    assert checking.check(pin=False, tree=tmp_path, losses=["softmax"]).code == 0


def test_compiled_kernels_count_too(tmp_path, now, monkeypatch, capsys):
    moved = pins.Difference("a.kernel", "sm_90", "x_ptr=float32", "registers", "64", "65")

    def examine(*, pin: bool, **_: object) -> static_check.Examined:
        if pin:
            return static_check.Examined(0, 5)
        return static_check.Examined(1, 5, [moved], [], "triton 1")

    monkeypatch.setattr(static_check, "examine", examine)
    assert exact.checked(True, tree=tmp_path) == 0
    assert "5 exact rows and 5 compiled kernels" in capsys.readouterr().out
    assert exact.checked(False, tree=tmp_path) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "registers" in output and "a.kernel" in output and "1 not as pinned" in output
