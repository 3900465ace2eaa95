"""The library as people install it: names, examples, the wheel and what it needs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import marginbench
from benchmarks.exact.counting import allocations
from marginbench import catalogue, functional, miners

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "kernels"
EXAMPLES = sorted((KERNELS / "examples").glob("*.py"))
# What torch itself needs, and numpy, without which it warns.
_OF_TORCH = ("torch", "torchgen", "functorch", "triton", "numpy", "filelock", "typing_extensions",
             "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "numpy.libs",
             "torch.libs")  # fmt: skip


def public() -> list[tuple[str, object]]:
    parts = {"": marginbench, "functional": functional, "miners": miners}
    return [
        (f"{part}.{name}".lstrip("."), getattr(module, name))
        for part, module in parts.items()
        for name in catalogue.public(part)
    ]


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
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(KERNELS)},
    )  # fmt: skip
    assert told.stdout.strip() == "set()"


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
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(KERNELS)])},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == ("implementation: expected Triton to be installed; got 'triton'")


def test_it_imports_nothing_but_torch_and_triton():
    """Peers are for the suite's comparisons, in files of their own."""
    allowed = {*sys.stdlib_module_names, "torch", "triton"}
    for path in sorted((KERNELS / "marginbench").rglob("*.py")):
        if path.name == "peers.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = {node.module.split(".")[0]}
            else:
                continue
            assert names <= allowed, f"{path.relative_to(ROOT)}: {names - allowed}"


# What the suite compares with, draws inputs from, and holds results against.
_SUITE_ALONE = ("*/peers.py", "*/selection.py", "selections.py", "drawing.py", "stress*.py",
                "shared/invariants.py", "shared/motions.py")  # fmt: skip


def _of_the_suite() -> set[str]:
    library = KERNELS / "marginbench"
    found = {glob: list(library.glob(glob)) for glob in _SUITE_ALONE}
    assert all(found.values()), found
    return {str(path.relative_to(KERNELS)) for paths in found.values() for path in paths}


def _copied(folder: Path) -> Path:
    """The library's project, for building leaves folders behind."""
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    return shutil.copytree(KERNELS, folder / "kernels", ignore=ignored)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built beside what a build of another day has left."""
    folder = tmp_path_factory.mktemp("wheel")
    left = _copied(folder) / "build" / "lib" / "marginbench"
    left.mkdir(parents=True)
    (left / "drawing.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder,
         folder / "kernels"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_is_small_typed_and_holds_the_library_alone(wheel: Path):
    assert wheel.name.startswith("marginbench-") and wheel.stat().st_size < 300_000
    names = zipfile.ZipFile(wheel).namelist()
    assert {"marginbench/py.typed", "marginbench/functional.pyi"} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"marginbench"}
    sources = {str(one.relative_to(KERNELS)) for one in (KERNELS / "marginbench").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources - _of_the_suite()
    metadata = next(name for name in names if name.endswith("/METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    needs = [line for line in text.splitlines() if line.startswith("Requires-Dist")]
    assert needs == [
        "Requires-Dist: torch>=2.11",
        'Requires-Dist: triton>=3.6; platform_system == "Linux"',
    ]
    assert f"Version: {marginbench.__version__}\n" in text


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that holds the wheel's, torch, Triton, and what these need."""
    folder = tmp_path_factory.mktemp("fresh")
    zipfile.ZipFile(wheel).extractall(folder)
    installed = Path(torch.__file__).parent.parent
    for name in _OF_TORCH:
        for found in (installed / name, installed / f"{name}.py"):
            if found.exists():
                (folder / found.name).symlink_to(found)
    return folder


def run(fresh: Path, script: Path | str) -> subprocess.CompletedProcess[str]:
    """In an interpreter that sees the standard library and that folder, and nothing else."""
    code = script if isinstance(script, str) else script.read_text()
    environment = {"PYTHONPATH": str(fresh), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}
    path = fresh / "script.py"
    path.write_text(code)  # a file, for processes that are spawned import it
    return subprocess.run(
        [sys.executable, "-S", path], cwd=fresh, env=environment, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip


_ALL_OF_IT = """
import doctest, importlib, pkgutil, sys
import marginbench
from marginbench import catalogue, functional, miners

assert catalogue.failures() == () and len(catalogue.names()) >= 5
for module in (marginbench, functional, miners):
    assert all(hasattr(module, name) for name in module.__all__)
found = [one.name for one in pkgutil.walk_packages(marginbench.__path__, "marginbench.")]
examples = [doctest.testmod(importlib.import_module(name)) for name in found]
assert not any(one.failed for one in examples)
print(len(found), sum(one.attempted for one in examples))
"""


def test_all_that_the_wheel_holds_works_without_the_suite(fresh: Path):
    """Each module is imported, each public name found, each example run."""
    done = run(fresh, _ALL_OF_IT)
    assert done.returncode == 0, done.stdout + done.stderr
    modules, examples = map(int, done.stdout.split())
    assert modules > 50 and examples > 50


@pytest.mark.parametrize("mode", ["lenient", "strict"])
def test_an_editable_install_has_the_suites_files_too(mode: str, tmp_path: Path):
    code = (
        "from setuptools import build_meta\n"
        f"build_meta.build_editable('..', {{'editable_mode': {mode!r}}})"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=_copied(tmp_path)
    )
    assert made.returncode == 0, made.stderr
    (editable,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(editable).extractall(tmp_path / "site")
    names = [name.removesuffix(".py").replace("/", ".") for name in sorted(_of_the_suite())]
    code = (
        "import importlib.util, site; site.addsitedir('site')\n"
        f"print([name for name in {names!r} if importlib.util.find_spec(name) is None])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


_MORE = {"digits": "sklearn", "with_pytorch_metric_learning": "pytorch_metric_learning"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_where_the_wheel_torch_and_triton_are(example: Path, fresh: Path):
    done = run(fresh, example)
    if example.stem in _MORE:
        assert f"No module named '{_MORE[example.stem]}'" in done.stderr
        return
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", _MORE)
def test_an_example_runs_beside_other_packages(name: str):
    done = subprocess.run(
        [sys.executable, KERNELS / "examples" / f"{name}.py"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(KERNELS), "OMP_NUM_THREADS": "1"}, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if name == "digits":
        last = done.stdout.splitlines()[-1]
        assert float(last.rpartition(" ")[2].removesuffix("%")) > 90


def test_another_package_called_kernels_is_left_alone(tmp_path: Path):
    """Hugging Face's is imported by transformers; from the clone's root too."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("WHOSE = 'theirs'\n")
    code = "import kernels, marginbench; print(kernels.WHOSE, marginbench.SoftmaxLoss(2, 2).dim)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(KERNELS), str(tmp_path)])},
    )  # fmt: skip
    assert told.stdout.split() == ["theirs", "2"], told.stderr
    assert not (KERNELS / "__init__.py").exists()


def test_the_suite_builds_no_wheel(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", "import from_the_clone; from_the_clone.build_wheel('.')"],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".ci")},
    )  # fmt: skip
    assert done.returncode == 1 and "pip install ./kernels" in done.stderr
