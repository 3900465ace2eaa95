"""What the exact check measures: equal rows wherever it is measured, and growth that is found."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from benchmarks import library
from benchmarks.snapshots import pin_files
from benchmarks.snapshots.exact import check as checking
from benchmarks.snapshots.exact import counting, growth, measuring, recording, rows
from benchmarks.snapshots.exact.rows import ExactRow
from marginbench import catalogue
from marginbench.loss import Shape
from suites.gate import ours

ROOT = Path(__file__).resolve().parents[3]
LOSS = "center"
_CODE = (
    "import json; from benchmarks.snapshots.exact import measuring; import dataclasses;"
    f"print(json.dumps([dataclasses.astuple(r) for r in measuring.measure(losses=[{LOSS!r}])]))"
)


@pytest.fixture(scope="module")
def center() -> list[ExactRow]:
    return measuring.measure(losses=[LOSS])


def test_another_process_measures_the_same(center: list[ExactRow]):
    """With another hash seed, more threads, simpler instructions, kernels that are compiled."""
    changed = {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "3", "ATEN_CPU_CAPABILITY": "default"}
    environment = library.environment(**changed)
    environment.pop("TRITON_INTERPRET", None)
    output = subprocess.run(
        [sys.executable, "-c", _CODE], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    assert [ExactRow(*row) for row in json.loads(output)] == center


def _pinned() -> list[ExactRow]:
    version = pin_files.version_of("torch", torch.__version__)
    found = [rows.row_of(one) for one in pin_files.read() if rows.is_of(one, version)]
    return found or pytest.skip(f"nothing is pinned for {version}")


def test_as_pinned(center: list[ExactRow]):
    of_loss = [row for row in _pinned() if row.loss == LOSS]
    assert not rows.differences(of_loss, center)
    assert {row.metric for row in center} == {
        *measuring.RAN, *measuring.RECORDED, measuring.AGREEMENT, growth.METRIC,
    }  # fmt: skip


def test_every_variant_is_in_the_inventory():
    """Of every contender of our own, whatever the losses are called."""
    there = {(*row.case.split("/")[1:3], row.contender) for row in _pinned()}
    assert there >= {
        (loss.name, variant.name, contender.name)
        for loss in catalogue.losses()
        for variant in loss.variants
        for contender in filter(ours, variant.contenders)
    }


@pytest.fixture
def copy() -> Iterator[ModuleType]:
    name = "kernels_of_the_base"
    spec = importlib.util.spec_from_file_location(
        name,
        library.folder(ROOT) / "__init__.py",
        submodule_search_locations=[str(library.folder(ROOT))],
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
    assert used is not sys.modules["marginbench.center.fused"]


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
            found = measuring._growth("marginbench", declared, variant, contender)
        assert found.value == pytest.approx(bits / 32, abs=growth.BOUND / 4)
        outcome = checking._broken([found])
        assert [one.metric for one in outcome] == ([growth.METRIC] if bits else [])


def test_a_growth_that_is_declared_is_exempt_and_says_why():
    for variant in catalogue.get("triplet").variants:
        for contender in filter(ours, variant.contenders):
            if contender.quadratic:
                found = measuring._growth(
                    "marginbench", catalogue.get("triplet"), variant, contender
                )
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
        "marginbench", loss, variant, variant.contender("triton"), Shape(1024, 64, 10_000),
        "float32", "sm_90",
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
        found = list(measuring._variant("marginbench", loss, loss.variant("pairs")))
    lost = [row for row in found if row.value is None]
    assert lost and {row.contender for row in lost} == {failing}
    assert all("no such file" in row.reason for row in lost)
