"""The library as people see it: names, docstrings and stubs, and what importing it brings along."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import marginbench
from benchmarks.snapshots.exact.counting import allocations
from marginbench import catalogue, functional, miners

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "kernels"


def public() -> list[tuple[str, object]]:
    parts = {"": marginbench, "functional": functional, "miners": miners}
    found = [
        (f"{part}.{name}".lstrip("."), getattr(module, name))
        for part, module in parts.items()
        for name in catalogue.public(part)
    ]
    return [*found, *((name, getattr(marginbench, name)) for name in ("PartialFC", "RowSGD"))]


def test_every_loss_offers_a_module_and_a_function():
    for loss in catalogue.losses():
        parts = {name.rpartition(".")[0] for name in loss.public}
        assert {"", "functional"} <= parts, loss.name


@pytest.mark.parametrize(("name", "thing"), public(), ids=[name for name, _ in public()])
def test_a_docstring_begins_with_a_sentence_and_an_example(name: str, thing: object):
    text = inspect.getdoc(thing) or ""
    first, _, rest = text.partition("\n\n")
    assert first.rstrip().endswith((".", ":")), name
    assert rest.lstrip().startswith(">>> ") or "\n>>> " in rest, name
    sections = [text.find(f"\n{one}:") for one in ("Arguments", "Returns", "Raises", "\nSource")]
    assert sections == sorted(sections) and min(sections) > 0, name


def _bases(thing: object) -> list[type]:
    """A class of ours and those of ours that it is made of."""
    found = inspect.getmro(thing) if isinstance(thing, type) else ()
    return [one for one in found if one.__module__.startswith("marginbench.")]


def test_every_method_that_people_call_has_an_example():
    """Beside what PyTorch calls, and names as PyTorch does."""
    of_torch = {*dir(torch.nn.Module), "reset_parameters"}
    methods = {
        f"{base.__name__}.{name}": inspect.getdoc(getattr(base, name)) or ""
        for _, thing in public()
        for base in _bases(thing)
        for name, one in vars(base).items()
        if callable(getattr(base, name)) and not name.startswith("_") and name not in of_torch
        and not isinstance(one, type)
    }  # fmt: skip
    assert {"Head.topk", "Head.from_state_dict", "ASoftmaxLoss.step"} <= set(methods)
    assert [name for name, text in methods.items() if "\n>>> " not in text] == []


def test_the_examples_in_docstrings_run():
    names = {"marginbench", "marginbench.implementations"}
    names |= {one.__module__ for _, thing in public() for one in (thing, *_bases(thing))}
    for name in sorted(names):
        found = doctest.testmod(importlib.import_module(name))
        assert found.attempted and not found.failed, name


def test_topk_keeps_no_matrix_of_all_logits(monkeypatch):
    monkeypatch.setattr("marginbench.shared.head_options._LOGITS_OF_A_CHUNK", 1000)
    x_BD = torch.randn(100, 8)
    module = marginbench.SoftmaxLoss(8, 10_000)
    peak = allocations(lambda: module.topk(x_BD, 5))["peak_bytes"]
    assert peak < 100 * 10_000 * 4 / 10


def test_a_name_that_is_not_there_names_the_nearest():
    with pytest.raises(AttributeError, match="no attribute 'TripletLos'; did you mean 'TripletL"):
        marginbench.TripletLos  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean 'softmax'"):
        functional.softmx  # noqa: B018
    assert "SoftmaxLoss" in dir(marginbench) and "softmax" in dir(functional)


def test_the_stubs_say_what_is_there():
    done = subprocess.run(
        [sys.executable, KERNELS / "stubs.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_importing_it_imports_no_torch():
    code = "import sys, marginbench; print({'torch', 'triton'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(KERNELS)},
    )  # fmt: skip
    assert done.stdout.strip() == "set()"


def test_all_but_the_kernels_works_without_triton(tmp_path: Path):
    """As on macOS and Windows: the import of Triton fails."""
    (tmp_path / "triton.py").write_text("raise ModuleNotFoundError('triton')\n")
    code = (
        "import importlib.util, torch, marginbench\n"
        "from unittest import mock\n"
        "real = importlib.util.find_spec\n"
        "hide = lambda name, *a: None if name == 'triton' else real(name, *a)\n"
        "with mock.patch('importlib.util.find_spec', hide):\n"
        "    for loss in (marginbench.SoftmaxLoss(4, 3), marginbench.TripletLoss()):\n"
        "        loss(torch.randn(6, 4), torch.tensor([0, 1, 2] * 2))\n"
        "    try: marginbench.TripletLoss(implementation='triton')(torch.randn(2, 4), "
        "torch.tensor([0, 1]))\n"
        "    except marginbench.InputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(KERNELS)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ("implementation: expected Triton to be installed; got 'triton'")


def test_it_imports_nothing_but_torch_and_triton():
    """Peers are for the suite's comparisons, in files of their own."""
    allowed = {*sys.stdlib_module_names, "torch", "triton"}
    for path in sorted((KERNELS / "marginbench").rglob("*.py")):
        if path.name == "peers.py" or path.parent.name == "tests":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = {node.module.split(".")[0]}
            else:
                continue
            assert names <= allowed, f"{path.relative_to(ROOT)}: {names - allowed}"


def _asked(project: Path) -> set[str]:
    return set(tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"])


def test_the_suite_asks_for_torch_and_triton_as_the_library_does():
    """There is no Triton for macOS: with another marker the suite could not be installed."""
    assert _asked(KERNELS) <= _asked(ROOT)


def test_the_oldest_versions_that_are_tested_are_those_that_are_asked_for():
    lowest = {re.sub(r">=([\d.]+).*", r"==\1.0", line) for line in _asked(KERNELS)}
    lines = (KERNELS / "oldest.txt").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} == lowest


def test_another_package_called_kernels_is_left_alone(tmp_path: Path):
    """Hugging Face's is imported by transformers; from the clone's root too."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("WHOSE = 'theirs'\n")
    code = "import kernels, marginbench; print(kernels.WHOSE, marginbench.SoftmaxLoss(2, 2).dim)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(KERNELS), str(tmp_path)])},
    )  # fmt: skip
    assert done.stdout.split() == ["theirs", "2"], done.stderr
    assert not (KERNELS / "__init__.py").exists()
