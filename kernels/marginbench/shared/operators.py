"""Registers a kernel's launcher as a torch.library operator, named after the tree it came from.

torch.compile, fake tensors and opcheck work through an operator. Its name carries the name of the
package that this tree was imported under (``marginbench::linear_lse``), so that two versions of the
tree, imported under two names, live in one process.

Usage, in a file of marginbench::

    @operator("row_sums", fake=_row_sums_shapes)
    def row_sums(x_BD: Tensor) -> Tensor:
        out_B = x_BD.new_empty(x_BD.shape[0], dtype=torch.float32)
        _row_sums_kernel[(x_BD.shape[0],)](x_BD, out_B, ...)
        return out_B

    differentiable(row_sums, backward=_row_sums_backward, save=_row_sums_save)

An operator never changes its inputs, and never returns one of them or a view of one: allocate what
is returned. What the backward formula launches is an operator of its own, so that it can be traced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.library import CustomOpDef

from . import launching

NAMESPACE = (__package__ or "marginbench").removesuffix(".shared").replace(".", "_")


def operator(name: str, *, fake: Callable[..., Any]) -> Callable[[Callable[..., Any]], CustomOpDef]:
    """Make a launcher the operator ``NAMESPACE::name``; the schema is read off its annotations.

    ``fake`` takes the same arguments and returns empty outputs of the right shape, dtype and
    device without looking at values. While launches are recorded, tensors without data go to the
    launcher itself: it allocates and computes nothing. The first argument is a tensor: the launcher
    runs with its device as the current one. Annotate with Tensor, Tensor | None, int, float, bool,
    str and lists of them; return Tensor or tuple[Tensor, ...] spelt out. Raises ValueError from
    torch where the schema can't be read, RuntimeError where the name is taken.
    """

    def register(launcher: Callable[..., Any]) -> CustomOpDef:
        @functools.wraps(launcher)
        def on_its_device(*arguments: Any) -> Any:
            # Triton launches on the current device, which need not be the tensors'.
            with torch.cuda.device_of(arguments[0]):
                return launcher(*arguments)

        @functools.wraps(fake)
        def without_data(*arguments: Any) -> Any:
            return (launcher if launching.recording() else fake)(*arguments)

        schema = torch.library.infer_schema(launcher, mutates_args=())
        definition = torch.library.custom_op(
            f"{NAMESPACE}::{name}", on_its_device, mutates_args=(), schema=schema
        )
        definition.register_fake(without_data)
        return definition

    return register


def differentiable(
    definition: CustomOpDef, *, backward: Callable[..., Any], save: Callable[..., None]
) -> None:
    """Give an operator its gradient.

    ``save(ctx, inputs, output)`` keeps what backward needs: tensors by ctx.save_for_backward,
    numbers as attributes. ``backward(ctx, *upstream)`` takes one gradient an output and returns
    one value an input, None where it takes no gradient (see ``ctx.needs_input_grad``).
    """
    definition.register_autograd(backward, setup_context=save)
