"""Pins of compiled kernels beside the exact rows, of a base, and of one loss alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from exact_pins import ROWS, TORCH, file_of, pinned_in

from benchmarks.gate import inventory
from benchmarks.snapshots import pin_files, pins, static_check
from benchmarks.snapshots.exact import check as checking
from benchmarks.snapshots.exact import measuring
from benchmarks.snapshots.exact.rows import ExactRow
from commands import exact


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[ExactRow]:
    """What is measured, to be changed by the test."""
    found = list(ROWS)
    monkeypatch.setattr(measuring, "measure", lambda *_, **__: list(found))
    return found


def _check(tree: Path, *, pin: bool = False, **options) -> checking.ExactOutcome:
    return checking.check(pin=pin, tree=tree, static=False, **options)


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
        file_of(there).write_text(file_of(there).read_text() + "{\n")
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


def test_the_pins_of_each_tree_are_read_once(tmp_path: Path, now: list[ExactRow], monkeypatch):
    here, there = tmp_path / "here", tmp_path / "base"
    for tree in (here, there):
        _with_kernel(tree, monkeypatch, KERNEL)
    seen: list[Path] = []
    read, examine = pin_files.read, static_check.examine

    def counted(tree: Path) -> list[pin_files.Pin]:
        seen.append(tree)
        return read(tree)

    def examined(*, every: list[pin_files.Pin], **rest: Any) -> static_check.Examined:
        assert any(pins.is_of(one, "triton 1") for one in every)
        return examine(every=every, **rest)

    monkeypatch.setattr(pin_files, "read", counted)
    monkeypatch.setattr(static_check, "examine", examined)
    checking.check(pin=False, tree=here, base=there)
    assert seen == [here, there]


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
    assert [row.value for row in pinned_in(tmp_path) if row.loss == "softmax"] == [5]


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
