"""What the heads refuse: bad input, named by its argument, and second derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from marginbench.a_softmax import eager as a_softmax_eager
from marginbench.center import eager as center_eager
from marginbench.checks import InputError
from marginbench.softmax import eager as softmax_eager


def _head() -> dict[str, Tensor]:
    return {
        "embeddings": torch.ones(3, 2),
        "labels": torch.tensor([0, 1, 3]),
        "class_weights": torch.ones(4, 2),
    }


def _joint() -> dict[str, Tensor]:
    return {**_head(), "bias": torch.zeros(4), "centers": torch.ones(4, 2)}


def _rows() -> dict[str, Tensor]:
    return {name: tensor for name, tensor in _joint().items() if name not in _HEAD_ONLY}


_HEAD_ONLY = ("class_weights", "bias")
_FUNCTIONS = {
    "softmax": (softmax_eager.softmax, _head),
    "a_softmax": (a_softmax_eager.a_softmax, _head),
    "joint": (center_eager.joint, _joint),
    "term": (center_eager.term, _rows),
    "update": (center_eager.update, _rows),
}
_NAN = torch.tensor([[1.0, float("nan")]]).expand(4, 2)
_BAD_EVERYWHERE = (
    ("labels", torch.tensor([0, -1, 1])),
    ("labels", torch.tensor([0, 4, 1])),
    ("labels", torch.tensor([0, 1, 1], dtype=torch.int32)),
    ("labels", torch.tensor([0, 1])),
    ("embeddings", torch.ones(0, 2)),
    ("embeddings", torch.ones(3)),
    ("embeddings", torch.ones(3, 2, dtype=torch.int64)),
    ("embeddings", _NAN[:3]),
    ("embeddings", torch.full((3, 2), float("inf"))),
    ("reduction", "avg"),
)
# Embeddings that what a module owns does not go with: the embeddings are named.
_MISFITS = (torch.ones(3, 3), torch.ones(3, 2, dtype=torch.float64))
_BAD_HEAD = (("class_weights", _NAN), ("class_weights", torch.ones(0, 2)))
_BAD_CENTERS = (("centers", _NAN), ("centers", torch.ones(0, 2)))
_BAD = [
    *((name, *bad) for name in _FUNCTIONS for bad in _BAD_EVERYWHERE),
    *((name, "embeddings", bad) for name in _FUNCTIONS for bad in _MISFITS),
    *((name, *bad) for name in ("softmax", "a_softmax", "joint") for bad in _BAD_HEAD),
    *((name, *bad) for name in ("joint", "term", "update") for bad in _BAD_CENTERS),
    *(("a_softmax", "m", m) for m in (0, 5, 1.5, -1, True, "4", None)),
    *(("a_softmax", "annealing", v) for v in (-0.1, float("nan"), float("inf"), "1")),
    ("softmax", "bias", torch.zeros(3)),
    ("joint", "bias", torch.zeros(5)),
    ("joint", "centers", torch.ones(5, 2)),
    ("joint", "centers", torch.ones(4, 3)),
    *(("joint", "weight", v) for v in (-1, float("nan"), float("inf"))),
    *(("update", "alpha", v) for v in (-0.1, 1.1, float("nan"))),
]


@pytest.mark.parametrize(
    ("name", "argument", "value"), _BAD, ids=[f"{n}-{a}-{i}" for i, (n, a, _) in enumerate(_BAD)]
)
def test_bad_input_is_named(name: str, argument: str, value: object) -> None:
    function, good = _FUNCTIONS[name]
    function(**good())
    with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
        function(**{**good(), argument: value})


@pytest.mark.parametrize("name", ("a_softmax", "joint", "term"))
def test_a_second_derivative_is_refused(name: str) -> None:
    """Rather than taking the gradient for a constant, also where nothing above needs one."""
    function, good = _FUNCTIONS[name]
    tensors = good()
    x = tensors["embeddings"].requires_grad_()
    with pytest.raises(RuntimeError, match=r"^create_graph: expected False"):
        torch.autograd.grad(function(**tensors), x, create_graph=True)
