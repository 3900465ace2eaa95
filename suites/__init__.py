"""Which cases are measured: declared as data, made from what the losses declare.

The library is this tree's own, ``kernels/marginbench``, whether or not it is installed: figures of
another one would be taken for this tree's.
"""

import importlib.util
import sys
from pathlib import Path

_KERNELS = Path(__file__).resolve().parent.parent / "kernels"
if importlib.util.find_spec("marginbench") is None:
    sys.path.append(str(_KERNELS))

import marginbench  # noqa: E402

if _KERNELS not in Path(marginbench.__file__).resolve().parents:
    raise ImportError(
        f"marginbench: expected the library of this tree, in {_KERNELS}; got "
        f"{marginbench.__file__}: put that folder first on PYTHONPATH"
    )
