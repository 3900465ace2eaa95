"""What public code computes under the name of SphereFace-R.

All of it is in one file of opensphere's branch OpenSphere_v0, read anew at 032c31b8. Two of its
three classes, said there to be not fully tested, are left out: SphereFaceR_N calls super of a name
that is not defined, and raises NameError; SphereFaceR_S has logits times the embedding's length,
and adds 0.01 of how far that is from s.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from ..public_code import HeadLoss, PublicCode, cosine_head, detached

_SOURCE = "ydwen/opensphere 032c31b8 model/head/spherefacer.py:8-30, 73-102"
_EDGE = 1e-5
_SAID = (
    "its loss is times 50 over s, which is left out here; overwrites the class weights by their "
    "directions"
)

Value = Callable[[Tensor], Tensor]


def _angle(cosine: Tensor) -> Tensor:
    return cosine.clamp(_EDGE - 1, 1 - _EDGE).acos()


def _stepped(cosine: Tensor) -> Tensor:
    """v0: A-Softmax's psi, of an m that need not be whole."""
    turned = 1.5 * _angle(cosine)
    k = (turned / math.pi).floor()
    return (1 - 2 * k.remainder(2)) * turned.cos() - 2 * k


def _held(cosine: Tensor) -> Tensor:
    """v1: the angle stops at 3.14159, a little before pi."""
    return (1.5 * _angle(cosine)).clamp(_EDGE, 3.14159).cos()


def _hard(target: Value, scale: float, others: Value) -> HeadLoss:
    """SphereFaceR_H, whose every cosine has a value of its own and the plain cosine's slope."""
    return cosine_head(detached(target), scale=scale, every=detached(others), in_place=True)


PUBLIC_CODE = (
    PublicCode(
        "opensphere SphereFaceR_H v1",
        _SOURCE,
        _hard(_held, 30, lambda cosine: _angle(cosine).cos()),
        {"scale": 30.0, "m": 1.5},
        note=f"with its s = 30 and m = 1.5; {_SAID} in each step",
    ),
    PublicCode(
        "opensphere SphereFaceR_H v0",
        _SOURCE,
        _hard(_stepped, 30, lambda cosine: _angle(cosine).cos()),
        {"scale": 30.0, "m": 1.5},
        note=f"what the class does by default; {_SAID} in each step",
    ),
    PublicCode(
        "opensphere SphereFaceR_H v2",
        _SOURCE,
        # The label's comes after all: its own angle, from the one that was divided.
        _hard(lambda divided: (1.4 * divided.acos()).cos(), 60,
              lambda cosine: (_angle(cosine) / 1.4).cos()),
        {"scale": 60.0, "m": 1.4},
        note="what its recipe trains, with s = 60 and m = 1.4 (config/train/"
        "vggface2_sfnet20_spherefacer.yml:75-79): the other classes' angles are divided by m; "
        f"{_SAID} in each step",
    ),
)  # fmt: skip
