"""Two versions of the library in one process, under two package names.

Two processes that run identical code differ by some 3% for as long as they live; two copies in one
process do not. It works because the library's imports are relative and its operators are
registered under the package's name.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from .. import library

BASE, CANDIDATE = "kernels_of_base", "kernels_of_candidate"


class CannotLoad(Exception):
    """A tree whose library can't be imported; says which and why."""


def load(tree: Path, name: str) -> None:
    """Imports ``tree``'s library as the package ``name``, and every loss in it.

    Raises CannotLoad if there is no library, or it or one of its losses fails to import.
    """
    folder = library.folder(tree)
    there = sys.modules.get(name)
    if there is not None and list(there.__path__) == [str(folder)]:
        return
    _forget(name)
    if not (folder / "__init__.py").is_file():
        raise CannotLoad(f"{name}: expected a package kernels/ in {tree}; it is not there")
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        catalogue = importlib.import_module(f"{name}.catalogue")
        failed = catalogue.failures()
    except Exception as error:
        _forget(name)
        raise CannotLoad(f"{name}: {type(error).__name__}: {error}") from error
    if failed:
        raise CannotLoad(f"{name}: {failed[0].name} fails to import: {failed[0].reason}")


def _forget(name: str) -> None:
    """Removes a package that is half loaded or from another folder, with all its modules."""
    for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        del sys.modules[module]
