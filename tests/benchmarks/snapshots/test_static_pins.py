"""Pins: what differs is reported by name, what may never be is refused, none goes unchecked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.snapshots import pin_files, pins, static_check, static_matrix
from commands import static
from marginbench import catalogue

ROW = {
    "folder": "softmax", "kernel": "a.fused.kernel", "target": "sm_90", "dtype": "bfloat16",
    "arguments": "x_ptr=bfloat16 D=16 BLOCK_D=64 num_warps=4", "aligned": True,
    "registers": 64, "stack_bytes": 0, "local_bytes": 0, "shared_bytes": 1024,
    "tensor_columns": 0, "programs": 8, "warps": 32, "products": ["bf16"],
    "classes": {"HGMMA": 2, "load.128": 3}, "instructions": 100, "code": "aa",
}  # fmt: skip
SPILLED = {"stack_bytes": 16, "classes": {"HGMMA": 2, "load.128": 3, "local.store": 4}}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What is compiled now, to be filled in by the test; two rows that are all right."""
    rows = [dict(ROW), dict(ROW, target="gfx942", classes={"v_mfma": 2, "load.128": 3})]

    def matrix(targets, kernels, *, dtypes=(), **_) -> list[dict]:
        return [row for row in rows if static_check.chosen(row, targets, kernels, dtypes)]

    monkeypatch.setattr(static_matrix, "compile_matrix", matrix)
    return rows


def _run(tree: Path, *, pin: bool = False, whole: bool = True, **options) -> int:
    return static.check(pin=pin, tree=tree, cache=tree, whole=whole, **options)


def _file(tree: Path, folder: str = "softmax") -> Path:
    return tree / pin_files.LIBRARY / folder / pin_files.FILE


def _rows(tree: Path) -> list[pins.Row]:
    return [pins.row_of(one) for one in pin_files.read(tree)]


def test_without_pins_of_this_version_nothing_is_checked(
    tmp_path: Path, compiled: list[dict], capsys: pytest.CaptureFixture[str]
):
    pin_files.write([pins.pin_of(row, "triton 0.1") for row in compiled], tmp_path)
    assert _run(tmp_path) == 3
    output = capsys.readouterr().err
    assert "triton 0.1" in output and "marginbench static --pin" in output


def test_what_was_pinned_passes(tmp_path: Path, compiled: list[dict]):
    assert _run(tmp_path, pin=True) == 0
    assert _run(tmp_path) == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"code": "bb"}, "code"),
        ({"registers": 65}, "registers"),
        ({"classes": {"HGMMA": 2, "load.128": 1}}, "load.128"),
        (SPILLED, pins.SPILLS),
        ({"arguments": "x_ptr=bfloat16 D=16 BLOCK_D=128 num_warps=4"}, "gone"),
        ({"error": "CompilationError: x"}, "error"),
    ],
)
def test_a_change_is_found_and_named(
    change: dict, named: str, tmp_path: Path, compiled: list[dict],
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    assert _run(tmp_path, pin=True) == 0
    compiled[0] |= change
    capsys.readouterr()
    assert _run(tmp_path) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert named in output and "a.fused.kernel" in output and "sm_90" in output


def test_a_spill_on_sm_90_cannot_be_pinned_away(tmp_path: Path, compiled: list[dict]):
    compiled[0] |= SPILLED
    assert _run(tmp_path, pin=True) == 1
    assert _run(tmp_path) == 1


def test_a_known_break_passes_and_a_new_one_does_not(tmp_path: Path, compiled: list[dict]):
    """Rows that begin anywhere may spill where that is pinned."""
    compiled[0] |= {**SPILLED, "aligned": False, "breaks": [pins.SPILLS]}
    assert _run(tmp_path, pin=True) == 0
    assert _run(tmp_path) == 0
    rows = [{**row, "breaks": []} for row in _rows(tmp_path)]
    assert [d.now for d in pins.breaks(compiled, rows)] == [pins.SPILLS]


def test_what_does_not_compile_is_never_pinned_as_known(compiled: list[dict]):
    for target in ("sm_80", "sm_90", "gfx942"):
        row = {**compiled[0], "target": target, "aligned": False, "error": "loop-carried _"}
        known = [{**row, "breaks": [pins.NOT_COMPILED]}]
        assert [found.now for found in pins.breaks([row], known)] == ["loop-carried _"]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({}, 0, "2 kernels, 0 don't compile"),
        ({**SPILLED, "breaks": [pins.SPILLS]}, 0, f"a.fused.kernel for sm_90: {pins.SPILLS} ("),
        ({"breaks": [pins.NOT_COMPILED], "error": "loop-carried _"}, 1, "sm_90: loop-carried _ ("),
    ],
)
def test_without_pins_every_kernel_has_to_compile(
    change: dict, code: int, said: str, compiled: list[dict],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    compiled[0] |= change
    monkeypatch.setattr(static_matrix, "compile_matrix", lambda targets, **_: compiled)
    assert static_check.main([]) == code
    assert said in capsys.readouterr().out


def test_an_unknown_target_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        static_check.main(["sm_9"])
    assert ended.value.code == 2
    assert "expected one of sm_80, sm_90, sm_100, gfx942; got 'sm_9'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"classes": {"load.128": 3}}, "no HGMMA"),
        ({"classes": {"HGMMA": 1, "load.32": 3}}, "no 128-bit load"),
        ({"local_bytes": 8}, pins.SPILLS),
        ({"programs": 0}, pins.NO_ROOM),
        ({"error": "x"}, pins.NOT_COMPILED),
        ({"classes": {"HGMMA": 1, "load.32": 3}, "aligned": False}, None),
        ({"classes": {"load.128": 3}, "products": ["f32"]}, None),
    ],
)
def test_rules(change: dict, rule: str | None):
    assert pins.broken({**ROW, **change}) == ([rule] if rule else [])


def test_pinning_a_part_leaves_the_rest(tmp_path: Path, compiled: list[dict]):
    assert _run(tmp_path, pin=True) == 0
    for row in compiled:
        row["code"] = "bb"
    assert _run(tmp_path, pin=True, targets=("gfx942",)) == 0
    assert {row["target"]: row["code"] for row in _rows(tmp_path)} == {
        "sm_90": "aa",
        "gfx942": "bb",
    }
    assert _run(tmp_path) == 1


def test_a_kernel_of_two_losses_is_pinned_with_each_and_shown_once(
    tmp_path: Path, compiled: list[dict], capsys: pytest.CaptureFixture[str]
):
    compiled.append(dict(compiled[0], folder="triplet"))
    assert _run(tmp_path, pin=True) == 0
    assert "2 compiled kernels pinned" in capsys.readouterr().out
    before = _file(tmp_path).read_text()
    for row in (compiled[0], compiled[2]):
        row["code"] = "bb"
    assert _run(tmp_path) == 1
    assert "2 compiled kernels, 1 not as pinned" in capsys.readouterr().out
    del compiled[:2]  # what the matrix has of triplet alone
    assert _run(tmp_path, pin=True, losses=("triplet",)) == 0
    assert _file(tmp_path).read_text() == before, "the other loss's pins are left"
    assert '"bb"' in _file(tmp_path, "triplet").read_text()
    assert _run(tmp_path, losses=("triplet",)) == 0


@pytest.mark.parametrize(
    "other",
    [{"target": "sm_80", "classes": {"HMMA": 1, "load.128": 1}},
     {"dtype": "float16", "arguments": "x_ptr=float16 D=16 BLOCK_D=64 num_warps=4"}],
    ids=("for another target", "in another dtype"),
)  # fmt: skip
def test_what_the_small_matrix_leaves_out_is_said(
    other: dict, tmp_path: Path, compiled: list[dict], capsys: pytest.CaptureFixture[str]
):
    compiled[1] = {**ROW, **other}
    assert _run(tmp_path, pin=True) == 0
    compiled[1]["code"] = "bb"
    capsys.readouterr()
    assert _run(tmp_path, whole=False) == 0
    said = capsys.readouterr().out
    assert "1 compiled kernels, 0 not as pinned" in said
    assert "1 of 2 pinned kernels were not compiled (only sm_90 in bfloat16 and float32" in said
    assert _run(tmp_path) == 1
    assert "were not compiled" not in capsys.readouterr().out


@pytest.mark.parametrize("pin", [False, True])
def test_no_kernel_selected_is_not_checked(
    pin: bool, tmp_path: Path, compiled: list[dict], capsys: pytest.CaptureFixture[str]
):
    assert _run(tmp_path, pin=True) == 0
    path = _file(tmp_path)
    before = path.read_text()
    assert _run(tmp_path, pin=pin, kernels=("no such kernel",)) == 3
    assert "no kernel was selected" in capsys.readouterr().err
    assert path.read_text() == before


def test_where_nothing_compiles_at_all_the_pins_stay(tmp_path: Path, compiled: list[dict]):
    assert _run(tmp_path, pin=True) == 0
    path = _file(tmp_path)
    before = path.read_text()
    compiled.clear()
    assert _run(tmp_path) == 1, "all of them are gone"
    assert _run(tmp_path, pin=True) == 3
    assert path.read_text() == before


def test_a_loss_that_can_not_be_imported_is_reported_and_not_left_out(monkeypatch):
    from benchmarks.snapshots import launches

    failed = (catalogue.Failure("softmax", "SyntaxError: no"),)
    monkeypatch.setattr(catalogue, "failures", lambda: failed)
    with pytest.raises(RuntimeError, match="softmax fails to import: SyntaxError"):
        launches.specializations("sm_90")
    with pytest.raises(RuntimeError, match="softmax fails"):
        launches.specializations("sm_90", ("softmax",))


def test_a_row_that_comes_twice_is_refused(tmp_path: Path, compiled: list[dict]):
    """The second one would stand for both."""
    assert _run(tmp_path, pin=True) == 0
    path = _file(tmp_path)
    first = path.read_text().splitlines()[0]
    path.write_text(path.read_text() + first.replace('"aa"', '"bb"') + "\n")
    with pytest.raises(pin_files.PinError, match=r"3: expected a pin.*twice"):
        pin_files.read(tmp_path)


def test_a_damaged_pin_file_is_named(
    tmp_path: Path, compiled: list[dict], capsys: pytest.CaptureFixture[str]
):
    assert _run(tmp_path, pin=True) == 0
    path = _file(tmp_path)
    path.write_text(path.read_text() + "{\n")
    assert _run(tmp_path) == 3
    assert f"{path}:3" in capsys.readouterr().err


def test_the_matrix_is_compiled_once_and_read_from_its_cache_then(tmp_path: Path):
    """The whole way through processes of its own, for one kernel and target."""
    cache = tmp_path / "cache"
    options = {"targets": ("sm_90",), "kernels": ("_squared_norms",), "losses": ("contrastive",)}

    def run(pin: bool) -> int:
        return static.check(pin=pin, tree=tmp_path, cache=cache, **options)

    assert run(pin=True) == 0
    kept = sorted(cache.glob("*.json"))
    assert (
        len(kept)
        == len(_rows(tmp_path))
        == len(_file(tmp_path, "contrastive").read_text().split("\n")) - 1
    )
    row = json.loads(kept[0].read_text())
    kept[0].write_text(json.dumps(row | {"registers": 7}))
    assert run(pin=False) == 1
    kept[0].unlink()
    assert run(pin=False) == 0
