"""Where a tree keeps the library ``marginbench``: what a child process imports, and older layouts;
and the library as it is where a GPU holds the tensors.

The library lies in ``kernels/marginbench``; before version 0.2 ``kernels`` was the package itself
and what its losses share lay in ``machines``. The module ``inputs`` was called ``drawing`` then and
for a while after. The gate still times such a base.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from .instruments.machine import ROOT


def paths(tree: Path = ROOT) -> list[str]:
    """What must come first on the path of a process that is to run ``tree``'s code: without the
    second, the installed library would be imported in place of the tree's."""
    return [str(tree), str(tree / "kernels")]


def environment(tree: Path = ROOT, /, **changes: str) -> dict[str, str]:
    """This process's environment for a child that is to import ``tree``, with ``changes``."""
    given = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*paths(tree), *([given] if given else [])])
    return {**os.environ, "PYTHONPATH": path, **changes}


def folder(tree: Path) -> Path:
    """The package in a tree, of either layout."""
    now = tree / "kernels" / "marginbench"
    return now if (now / "__init__.py").is_file() else tree / "kernels"


def shared(package: str, module: str) -> ModuleType:
    """A module that the losses share, of a library of either layout, by its package's name."""
    folder = "shared" if _has(package, "shared") else "machines"
    return importlib.import_module(f"{package}.{folder}.{module}")


def random_inputs(package: str) -> Callable[..., Any]:
    """What draws the inputs of a case, `marginbench.inputs.random_inputs`, of a library of either
    layout, by its package's name."""
    if _has(package, "inputs"):
        return importlib.import_module(f"{package}.inputs").random_inputs
    return importlib.import_module(f"{package}.drawing").draw


@contextmanager
def unchecked() -> Iterator[None]:
    """As on a GPU, where nothing looks at the values of tensors before a launch."""
    import torch

    # What looks at values on a CPU does not where torch compiles.
    with mock.patch.object(torch.compiler, "is_compiling", lambda: True):
        yield


def _has(package: str, module: str) -> bool:
    return importlib.util.find_spec(f"{package}.{module}") is not None
