"""A base from before version 0.2 keeps the library in kernels/ itself, and what its losses share in
machines/: the gate still loads, times and counts it."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import library
from benchmarks.gate import packages, pair
from suites import gate

NAME = "kernels_of_old"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """This tree's library as the old layout had it."""
    tree = tmp_path_factory.mktemp("old")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(library.folder(library.ROOT), tree / "kernels", ignore=ignored)
    (tree / "kernels" / "shared").rename(tree / "kernels" / "machines")
    for path in (tree / "kernels").rglob("*.py"):
        text = re.sub(r"(from \.+)shared\b", r"\1machines", path.read_text())
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
