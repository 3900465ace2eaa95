"""A base from before version 0.2 keeps the library in kernels/ itself, what its losses share in
machines/ and the inputs in drawing.py: the gate still loads, times and counts it."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import library
from benchmarks.gate import packages, pair
from benchmarks.snapshots.exact import measuring
from marginbench import catalogue
from marginbench.loss import Shape
from suites import gate

NAME = "kernels_of_old"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """This tree's library as the old layout had it."""
    tree = tmp_path_factory.mktemp("old")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(library.folder(library.ROOT), tree / "kernels", ignore=ignored)
    (tree / "kernels" / "shared").rename(tree / "kernels" / "machines")
    (tree / "kernels" / "inputs.py").rename(tree / "kernels" / "drawing.py")
    for path in (tree / "kernels").rglob("*.py"):
        text = re.sub(r"(from \.+)shared\b", r"\1machines", path.read_text())
        text = re.sub(r"(from \.+)inputs\b", r"\1drawing", text).replace("random_inputs", "draw")
        path.write_text(text.replace('".shared', '".machines').replace('"shared"', '"machines"'))
    packages.load(tree, NAME)
    yield tree
    packages._forget(NAME)


def test_the_library_is_found_in_either_layout(old: Path):
    assert library.folder(old) == old / "kernels"
    assert library.folder(library.ROOT) == library.ROOT / "kernels" / "marginbench"


def test_what_losses_share_is_found_in_either_layout(old: Path):
    assert library.shared(NAME, "reduction").__name__ == f"{NAME}.machines.reduction"
    assert library.shared("marginbench", "reduction").__name__ == "marginbench.shared.reduction"


def test_inputs_are_drawn_by_the_tree_that_a_loss_is_from(old: Path):
    """Alike in either layout, each by its own module."""
    loss = catalogue.get("softmax")
    shape = Shape(5, 3, 4)
    base, candidate = (
        measuring._subject(package, loss, loss.variants[0], shape)[1]
        for package in (NAME, "marginbench")
    )
    assert pair.same_inputs(base, candidate)
    assert type(base).__module__ == f"{NAME}.loss"
    assert type(candidate).__module__ == "marginbench.loss"
    assert f"{NAME}.drawing" in sys.modules and f"{NAME}.inputs" not in sys.modules


def test_an_old_base_and_this_tree_are_timed_on_the_same_inputs(old: Path):
    """Both in one process, each under its own name, with operators of its own."""
    case = next(c for c in gate.plan("smoke", "cpu", NAME) if c.loss == "softmax")
    base = pair._side(case, "base", NAME, 0)
    candidate = pair._side(case, "candidate", "marginbench", 0)
    assert pair.same_inputs(base.inputs, candidate.inputs)
    assert base.subject.loss.package == f"{NAME}.softmax"
    assert (
        sys.modules[f"{NAME}.machines.reduction"] is not sys.modules["marginbench.shared.reduction"]
    )
    assert [c.id for c in gate.plan("thorough", "cpu", NAME)] == [
        c.id for c in gate.plan("thorough", "cpu", "marginbench")
    ]
