"""The losses of docs/add-a-loss.md, as folders: in a copy of the tree, or in this process alone."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path

import pytest

import marginbench
from marginbench import catalogue
from marginbench.loss import Loss

ROOT = Path(__file__).resolve().parents[2]
_FILE = re.compile(r"^```python file=([\w/]+\.py)\n(.*?)^```$", re.M | re.S)


def files() -> dict[str, str]:
    """The code of each file, by its path in the library's folder."""
    found = dict(_FILE.findall((ROOT / "docs" / "add-a-loss.md").read_text()))
    assert {Path(path).parent.name for path in found} == {"ring", "tour"}
    return found


def write(package: Path) -> None:
    """Puts the folders into a library's."""
    for name, code in files().items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(code)


def copy_of_the_tree(target: Path) -> Path:
    """The tree as git would hand it over, with their folders and nothing else changed."""
    for name in ("kernels", "suites", "benchmarks", "reports", "commands", "tests"):
        ignore = shutil.ignore_patterns("__pycache__", "out", "published")
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, target / name)
    (target / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "add-a-loss.md", target / "docs")
    write(target / "kernels" / "marginbench")
    return target


def adopt(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Loss:
    """One of them in this process's catalogue, until the patch ends."""
    write(folder)
    patch.setattr(marginbench, "__path__", [*marginbench.__path__, str(folder)])
    package = f"marginbench.{name}"
    for module in [one for one in sys.modules if one.startswith(package)]:
        patch.delitem(sys.modules, module)
    loss = importlib.import_module(package).LOSS.within(package)
    found, failures = catalogue._discover()
    patch.setattr(catalogue, "_discover", lambda: ({**found, name: loss}, failures))
    return loss
