"""The exact check: equal rows wherever they are measured; whatever moved is found, whatever is
missing is no pass, and pinning shows what it changes."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from benchmarks import pins, static_command
from benchmarks.exact import check as checking
from benchmarks.exact import command, counting, growth, measuring, recording, rows
from benchmarks.exact.rows import ExactRow
from kernels import catalogue
from kernels.loss import Shape

ROOT = Path(__file__).resolve().parent.parent
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
    ("metric", "value", "told"),
    [
        ("peak_bytes", 1001, "1,001 (+0.10%)"),
        ("peak_bytes", 999, "999 (-0.10%)"),
        ("operators", 11, "11 (-8.33%)"),
        ("growth_share", "exempt", "exempt"),
    ],
)
def test_drift_in_either_direction_fails_until_pinned(
    metric: str, value: rows.Value, told: str, tmp_path: Path, now: list[ExactRow]
):
    _check(tmp_path, pin=True)
    _planted(now, metric, value)
    drifted = _check(tmp_path)
    assert drifted.code == 1
    assert [(one.metric, one.after) for one in drifted.differences] == [(metric, told)]
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
    writing = Path.write_text

    def full(self: Path, text: str) -> int:
        writing(self, text[: len(text) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
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


def test_what_was_pinned_again_is_told_and_fails_nothing(tmp_path: Path, now: list[ExactRow]):
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


def test_compiled_kernels_count_too(tmp_path, now, monkeypatch, capsys):
    moved = pins.Difference("a.kernel", "sm_90", "x_ptr=float32", "registers", "64", "65")

    def examine(*, pin: bool, folder: Path) -> static_command.Examined:
        if pin:
            return static_command.Examined(0, 5)
        return static_command.Examined(1, 5, [moved], [], folder / "triton-1.jsonl")

    monkeypatch.setattr(static_command, "examine", examine)
    assert command.command(True, folder=tmp_path) == 0
    assert "5 exact rows and 5 compiled kernels" in capsys.readouterr().out
    assert command.command(False, folder=tmp_path) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "registers" in told and "a.kernel" in told and "1 not as pinned" in told


# What is measured, really.

LOSS = "center"
_CODE = (
    "import json; from benchmarks.exact import measuring; import dataclasses;"
    f"print(json.dumps([dataclasses.astuple(r) for r in measuring.measure(losses=[{LOSS!r}])]))"
)


@pytest.fixture(scope="module")
def center() -> list[ExactRow]:
    return measuring.measure(losses=[LOSS])


def test_another_process_measures_the_same(center: list[ExactRow]):
    """With another hash seed, more threads, simpler instructions, kernels that are compiled."""
    changed = {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "3", "ATEN_CPU_CAPABILITY": "default"}
    environment = {**os.environ, **changed, "PYTHONPATH": str(ROOT)}
    environment.pop("TRITON_INTERPRET", None)
    told = subprocess.run(
        [sys.executable, "-c", _CODE], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    assert [ExactRow(*row) for row in json.loads(told)] == center


def test_as_pinned(center: list[ExactRow]):
    path = rows.path_for(torch.__version__)
    if not path.is_file():
        pytest.skip(f"nothing is pinned for torch {torch.__version__}")
    of_loss = [row for row in rows.read(path) if row.case.split("/")[1] == LOSS]
    assert not rows.differences(of_loss, center)
    assert {row.metric for row in center} == {
        *measuring.RAN, *measuring.RECORDED, measuring.AGREEMENT, growth.METRIC,
    }  # fmt: skip


def test_every_variant_is_in_the_inventory():
    """Of every contender of our own, whatever the losses are called."""
    path = rows.path_for(torch.__version__)
    if not path.is_file():
        pytest.skip(f"nothing is pinned for torch {torch.__version__}")
    there = {(*row.case.split("/")[1:3], row.contender) for row in rows.read(path)}
    assert there >= {
        (loss.name, variant.name, contender.name)
        for loss in catalogue.losses()
        for variant in loss.variants
        for contender in measuring.ours(variant)
    }


@pytest.fixture
def copy() -> Iterator[ModuleType]:
    name = "kernels_of_the_base"
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "kernels" / "__init__.py", submodule_search_locations=[str(ROOT / "kernels")]
    )
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for loaded in [n for n in sys.modules if n.partition(".")[0] == name]:
        del sys.modules[loaded]


def test_a_tree_under_another_name_measures_the_same(copy: ModuleType, center: list[ExactRow]):
    assert measuring.measure(copy.__name__, losses=[LOSS]) == center
    used = sys.modules[f"{copy.__name__}.center.fused"]
    assert used is not sys.modules["kernels.center.fused"]


@pytest.mark.parametrize(
    ("family", "entry"), [("head", "tiled"), ("head", "triton"), ("batch", "triton")]
)
def test_growth_finds_a_matrix_that_is_planted(family, entry, monkeypatch):
    """A float32 for each entry, and a bit for each: a bool matrix, packed."""
    loss, name = ("softmax", "no-bias") if family == "head" else ("contrastive", "all-pairs")
    declared = catalogue.get(loss)
    variant = declared.variant(name)
    contender = variant.contender(entry)
    honest = declared.resolve(contender.entry)
    for bits in (0, 1, 32):

        def planted(bits=bits, **tensors):
            x_BD = tensors["embeddings"]
            entries = len(x_BD) * len(tensors.get("class_weights", x_BD))
            kept = torch.empty(entries * bits // 8, dtype=torch.uint8)
            value = honest(**tensors)
            value.register_hook(lambda gradient: gradient if len(kept) else None)
            return value

        monkeypatch.setattr(type(declared), "resolve", lambda *_, planted=planted: planted)
        with counting.steady():
            found = measuring._growth("kernels", declared, variant, contender)
        assert found.value == pytest.approx(bits / 32, abs=growth.BOUND / 4)
        outcome = checking._broken([found])
        assert [one.metric for one in outcome] == ([growth.METRIC] if bits else [])


def test_a_growth_that_is_declared_is_exempt_and_says_why():
    for variant in catalogue.get("triplet").variants:
        for contender in measuring.ours(variant):
            if contender.quadratic:
                found = measuring._growth("kernels", catalogue.get("triplet"), variant, contender)
                assert (found.value, found.reason) == ("exempt", contender.quadratic)


def test_bytes_allocations_and_operators_of_a_known_call():
    x = torch.ones(256)  # 1,024 bytes

    def call() -> torch.Tensor:
        twice = x + x
        del twice
        return x * x + x

    with counting.steady():
        assert torch.get_num_threads() == counting.THREADS
        assert counting.operators(call) == 3
        assert counting.allocations(call) == {
            "peak_bytes": 2048, "total_bytes": 3072, "allocations": 3,
        }  # fmt: skip


def test_a_recording_that_counts_holds_no_tensor():
    """Else the peak would be all that kernels were ever given."""
    loss = catalogue.get("softmax")
    variant = loss.variant("linear")
    counts = recording.count(
        "kernels", loss, variant, variant.contender("triton"), Shape(1024, 64, 10_000), "float32",
        "sm_90",
    )  # fmt: skip
    assert counts["launches"] > 3
    assert counts["peak_bytes"] < 0.99 * counts["total_bytes"]


@pytest.mark.parametrize("failing", ["eager", "triton"])
def test_a_contender_that_fails_takes_its_own_rows(failing, monkeypatch):
    loss = catalogue.get("contrastive")
    resolve = type(loss).resolve

    def broken(self, entry):
        if entry.startswith({"eager": "eager:", "triton": "fused:"}[failing]):
            raise ImportError("no such file")
        return resolve(self, entry)

    monkeypatch.setattr(type(loss), "resolve", broken)
    monkeypatch.setattr(measuring, "SHAPES", {"rows": (Shape(5, 3, 2),)})
    with counting.steady():
        found = list(measuring._variant("kernels", loss, loss.variant("pairs")))
    lost = [row for row in found if row.value is None]
    assert lost and {row.contender for row in lost} == {failing}
    assert all("no such file" in row.reason for row in lost)
