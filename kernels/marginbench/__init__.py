"""The losses of face recognition and deep metric learning, to train with.

>>> import torch, marginbench
>>> loss = marginbench.ASoftmaxLoss(dim=16, classes=10)
>>> loss(torch.randn(4, 16, requires_grad=True), torch.tensor([0, 3, 3, 9])).backward()

Modules that own their class weights are here, functions of class weights in
`marginbench.functional`, miners in `marginbench.miners`. Each is computed by one of several
implementations: see `marginbench.which`. Everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_OWN = {
    "InputError": "checks",
    "IMPLEMENTATIONS": "implementations",
    "PartialFC": "shared.partial_fc",
    "RowSGD": "shared.row_sgd",
    "which": "implementations",
}
_PARTS = ("functional", "miners")


def _names() -> list[str]:
    catalogue = importlib.import_module(".catalogue", __name__)
    return sorted([*_OWN, *_PARTS, *catalogue.public()])


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return _names()
    # Kept, so that Python finds it without this function from now on.
    globals()[name] = found = _found(name)
    return found


def _found(name: str) -> Any:
    if name in _OWN:
        return getattr(importlib.import_module(f".{_OWN[name]}", __name__), name)
    if name in _PARTS:
        return importlib.import_module(f".{name}", __name__)
    # Modules of losses begin with a capital; any other name is a file, or does not exist.
    if not name[:1].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(".catalogue", __name__).offered("", name)


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
