"""Forms of a loss, made of a signature and of what differs between them."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from marginbench.checks import InputError
from marginbench.shared.forms import checked, of_terms


def signature(rows: Tensor, *, scale: float = 1.0, reduction: str = "mean"):
    if scale < 0:
        raise InputError("scale", "a number >= 0", scale)
    return rows, scale, reduction


@of_terms(signature)
def scaled(rows, scale):
    """Its own words."""
    return rows * scale


@of_terms(signature)
def halved(rows, scale):
    return rows * scale, torch.tensor(2)


def test_terms_become_a_loss_of_the_signature():
    rows = torch.tensor([1.0, 2.0, 6.0])
    assert scaled(rows) == 3 and scaled(rows, scale=2.0, reduction="sum") == 18
    assert scaled(rows, reduction="none").tolist() == [1, 2, 6]
    assert halved(rows) == 4.5 and halved(rows, reduction="sum") == 9
    assert inspect.signature(scaled) == inspect.signature(signature)
    assert scaled.__doc__ == "Its own words."
    with pytest.raises(InputError, match="scale: expected a number >= 0; got -1"):
        scaled(rows, scale=-1)
    with pytest.raises(TypeError):
        scaled(rows, margin=1.0)


def test_a_form_refuses_what_it_cannot_compute_before_it_is_called():
    def only_float64(rows: Tensor) -> None:
        if rows.dtype != torch.float64:
            raise InputError("rows", "float64", rows.dtype)

    seen = []
    form = checked(signature, on=only_float64)(lambda *taken: seen.append(taken))
    with pytest.raises(InputError, match=r"rows: expected float64; got torch\.float32"):
        form(torch.ones(2))
    assert not seen
    form(torch.ones(2, dtype=torch.float64), reduction="none")
    assert seen[0][1:] == (1.0, "none")


def test_torch_compile_takes_any_number_of_forms():
    """It counts compilations by code, and past a limit it refuses or runs eager instead."""
    torch._dynamo.reset()
    for number in range(torch._dynamo.config.recompile_limit + 2):

        def terms(rows, scale, number=number):
            return rows * scale + number

        compiled = torch.compile(of_terms(signature)(terms), fullgraph=True, backend="eager")
        assert compiled(torch.zeros(2)) == number
