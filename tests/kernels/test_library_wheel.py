"""The library as people install it: what its wheel holds, and its examples where only that is."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import marginbench

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "kernels"
# Of two processes with gloo about one in ten is aborted by a thread of PyTorch's as it ends, after
# all was done: such a run is made again.
_GLOO_ABORTED, _TRIES = "terminate called without an active exception", 4
EXAMPLES = sorted((KERNELS / "examples").glob("*.py"))
# What torch itself needs, and numpy, without which it warns.
_OF_TORCH = ("torch", "torchgen", "functorch", "triton", "numpy", "filelock", "typing_extensions",
             "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "numpy.libs",
             "torch.libs")  # fmt: skip


def _suite_alone() -> tuple[str, ...]:
    """What kernels/setup.py leaves out of the wheel, as it says; running it would build one."""
    tree = ast.parse((KERNELS / "setup.py").read_text())
    (found,) = (
        one.value
        for one in tree.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "SUITE_ALONE"
    )
    return ast.literal_eval(found)


def _of_the_suite() -> set[str]:
    """Its modules; what lies beside them is in no wheel."""
    library = KERNELS / "marginbench"
    found = {glob: list(library.glob(glob)) for glob in _suite_alone()}
    assert all(found.values()), found
    every = {path for paths in found.values() for path in paths if path.suffix == ".py"}
    return {str(path.relative_to(KERNELS)) for path in every}


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
    (left / "inputs.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", folder, folder / "kernels"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_is_small_typed_and_holds_the_library_alone(wheel: Path):
    # Some 10 KB a loss.
    assert wheel.name.startswith("marginbench-") and wheel.stat().st_size < 350_000
    names = zipfile.ZipFile(wheel).namelist()
    assert {"marginbench/py.typed", "marginbench/functional.pyi"} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"marginbench"}
    assert not [name for name in names if "/tests/" in name]
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
    for _ in range(_TRIES):
        done = subprocess.run(
            [sys.executable, "-S", path], cwd=fresh, env=environment, capture_output=True,
            text=True, timeout=240,
        )  # fmt: skip
        if _GLOO_ABORTED not in done.stderr:
            break
    return done


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


def test_the_suite_builds_no_wheel(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", "import from_the_clone; from_the_clone.build_wheel('.')"],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".ci")},
    )  # fmt: skip
    assert done.returncode == 1 and "pip install ./kernels" in done.stderr
