"""Options of every loss over class weights, beside its own: ignored rows, a weight per row, label
smoothing; and the logits of new embeddings, a chunk of classes at a time. A loss without class
weights refuses these options by name.

All of it is made around a head's terms, so that it is the same for each implementation, and costs
O(B D + C D) beside them: no B x C matrix.

B batch, D dimension, C classes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from ..checks import (
    InputError,
    as_int64,
    check_device,
    check_finite,
    check_matrix,
    check_number,
    check_width,
    is_whole,
)
from .reduction import reduce, wide

# Of one chunk of logits, so that it stays far below a GPU's memory.
_LOGITS_OF_A_CHUNK = 2**22
_ROWS_OF_A_CHUNK = 4096

#: The options of heads, which no other loss has.
OF_HEADS = ("ignore_index", "label_smoothing", "weights")

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def refuse(loss: str, names: Iterable[str], options: Mapping[str, Any]) -> None:
    """InputError where one of ``names`` is among the options given to a loss without class
    weights."""
    for name in names:
        if name in options:
            raise InputError(
                name, f"nothing: it is defined for losses over class weights, and {loss} has none",
                repr(options[name]),
            )  # fmt: skip


def refusing(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """``function``, of a loss without class weights, with an InputError in place of the TypeError
    for an option of heads. What its own signature has, as a subclass's may, is passed on."""
    loss = function.__qualname__.removesuffix(".forward").rpartition(".")[2]
    refused = tuple(one for one in OF_HEADS if one not in inspect.signature(function).parameters)

    @functools.wraps(function)
    def checked(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        if options:
            refuse(loss, refused, options)
        return function(*arguments, **options)

    return checked


def directions(rows_ND: Tensor) -> Tensor:
    """Rows of unit length, differentiable; a row of zeros stays zero, and its gradient is 0.

    Squares of very short and very long rows leave float32: each row is first divided by its
    largest magnitude, which its direction does not depend on.
    """
    largest_N1 = rows_ND.detach().abs().amax(dim=1, keepdim=True)
    scaled_ND = rows_ND / largest_N1.where(largest_N1 > 0, 1)
    length_N1 = torch.linalg.vector_norm(scaled_ND, dim=1, keepdim=True)
    return scaled_ND / length_N1.where(length_N1 > 0, torch.inf)


def check_ignored(ignore_index: int | None) -> int | None:
    """Python's own of a whole number; or None."""
    if ignore_index is None:
        return None
    if not is_whole(ignore_index):
        raise InputError("ignore_index", "a whole number, or None", repr(ignore_index))
    return int(ignore_index)


def check_row_weights(weights: Tensor, embeddings: Tensor) -> None:
    """A finite number per row, none negative (checked on the CPU alone)."""
    if not isinstance(weights, Tensor):
        raise InputError("weights", "a tensor", type(weights).__name__)
    if weights.shape != embeddings.shape[:1] or not weights.is_floating_point():
        raise InputError(
            "weights", f"{len(embeddings)} floating-point numbers, one a row of embeddings",
            f"shape {tuple(weights.shape)}, {weights.dtype}",
        )  # fmt: skip
    if weights.device != embeddings.device:
        raise InputError("weights", f"the embeddings' device {embeddings.device}", weights.device)
    check_finite(weights=weights)
    if weights.device.type == "cpu" and not torch.compiler.is_compiling():
        lowest = float(weights.detach().min())
        if lowest < 0:
            raise InputError("weights", "no negative weight", lowest)


def loss(
    terms: Callable[..., Tensor],
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str,
    weights: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    target: Callable[..., Tensor] | None = None,
    rows: Callable[[], Tensor] | None = None,
    unit_weights: bool = False,
) -> Tensor:
    """A head's loss with rows ignored, weighted and smoothed; as it is without any of these.

    ``terms(labels, reduction=...)`` is the loss of the head. ``target(labels)`` gives the target's
    logits (B) with their margin where that differs from x . w; ``rows()`` what logits are made of
    in the place of the embeddings (B x D); ``unit_weights`` says that they are made of class
    weights of unit length.

    With r_i the weight of row i (1 without, 0 where its label is ``ignore_index``) and l_i its
    loss, sum is sum_i r_i l_i and mean divides that by sum_i r_i; the mean of no row is 0. With
    label smoothing e the target probability of each class is e / C, of the label's 1 - e + e / C
    (Szegedy et al. 2016, section 7), so that l_i grows by e times the target's logit less the mean
    of the row's.
    """
    labels = as_int64(labels)
    label_smoothing = check_number("label_smoothing", label_smoothing, 0, high=1)
    ignore_index = check_ignored(ignore_index)
    if weights is None and ignore_index is None and not label_smoothing:
        return terms(labels, reduction=reduction)
    check_matrix("embeddings", embeddings)
    if not isinstance(labels, Tensor):
        raise InputError("labels", "a tensor", type(labels).__name__)
    weights_B = None
    if weights is not None:
        check_row_weights(weights, embeddings)
        weights_B = wide(weights)
    if ignore_index is not None:
        kept_B = labels != ignore_index
        labels = labels.where(kept_B, 0)
        weights_B = kept_B.float() if weights_B is None else weights_B * kept_B
    terms_B = terms(labels, reduction="none")
    if label_smoothing:
        # Labels out of range, which are not checked on a GPU, have made the terms NaN already.
        safe_B = labels.clamp(0, class_weights.shape[0] - 1)
        with torch.autocast(embeddings.device.type, enabled=False):
            over_mean_B = _target_over_mean(
                embeddings if rows is None else rows(),
                safe_B, class_weights, bias, target, unit_weights,
            )  # fmt: skip
        terms_B = terms_B + (label_smoothing * over_mean_B).to(terms_B.dtype)
    if weights_B is None:
        return reduce(terms_B, reduction)
    if ignore_index is not None:
        terms_B = terms_B.where(kept_B, 0)
    weighted_B = terms_B * weights_B.to(terms_B.dtype)
    if reduction != "mean":
        return reduce(weighted_B, reduction)
    total = weights_B.sum(dtype=torch.float64)
    mean = weighted_B.sum(dtype=torch.float64) / total.where(total > 0, 1)
    return mean.to(terms_B.dtype)


def _target_over_mean(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None,
    target: Callable[..., Tensor] | None,
    unit_weights: bool,
) -> Tensor:
    """The target's logit less the mean of the row's logits (B), in float32 or float64."""
    w_CD = wide(class_weights)
    x_BD = embeddings.to(w_CD.dtype)
    if unit_weights:
        w_CD = directions(w_CD)
    classes = w_CD.shape[0]
    plain_B = (x_BD * w_CD.index_select(0, labels)).sum(dim=1)
    mean_B = x_BD @ w_CD.mean(dim=0)
    if bias is not None:
        plain_B = plain_B + wide(bias).index_select(0, labels)
        mean_B = mean_B + wide(bias).mean()
    if target is None:
        return plain_B - mean_B
    target_B = target(labels)
    # Of the row's logits the target's alone has a margin.
    return target_B - mean_B - (target_B - plain_B) / classes


@torch.no_grad()
def topk(
    embeddings: Tensor,
    class_weights: Tensor,
    bias: Tensor | None,
    k: int,
    *,
    unit_weights: bool,
) -> tuple[Tensor, Tensor]:
    """The k largest logits of each row, falling, and their classes (B x k each), without a
    B x C matrix: a chunk of rows and classes at a time, in float32 or float64."""
    check_matrix("embeddings", embeddings)
    check_width("embeddings", embeddings, class_weights, of="class_weights")
    check_device("embeddings", embeddings, class_weights, of="class_weights")
    classes = class_weights.shape[0]
    if not is_whole(k) or not 1 <= k <= classes:
        raise InputError("k", f"a whole number from 1 to {classes}, the classes", repr(k))
    k = int(k)
    found = [
        _topk(rows, class_weights, bias, k, unit_weights=unit_weights)
        for rows in embeddings.split(_ROWS_OF_A_CHUNK)
    ]
    return torch.cat([one[0] for one in found]), torch.cat([one[1] for one in found])


def _topk(
    embeddings: Tensor, class_weights: Tensor, bias: Tensor | None, k: int, *, unit_weights: bool
) -> tuple[Tensor, Tensor]:
    classes = class_weights.shape[0]
    step = max(k, _LOGITS_OF_A_CHUNK // embeddings.shape[0])
    best: tuple[Tensor, Tensor] | None = None
    for first in range(0, classes, step):
        chunk_BC = logits(
            embeddings, class_weights[first : first + step],
            None if bias is None else bias[first : first + step], unit_weights=unit_weights,
        )  # fmt: skip
        values, at = chunk_BC.topk(min(k, chunk_BC.shape[1]), dim=1)
        at = at + first
        if best is not None:
            values, at = torch.cat((best[0], values), dim=1), torch.cat((best[1], at), dim=1)
            values, chosen = values.topk(min(k, values.shape[1]), dim=1)
            at = at.gather(1, chosen)
        best = values, at
    assert best is not None
    return best


def logits(
    embeddings: Tensor, class_weights: Tensor, bias: Tensor | None, *, unit_weights: bool
) -> Tensor:
    """x . w + b of each row and class, without a margin (B x C), in float32 or float64."""
    check_matrix("embeddings", embeddings)
    check_width("embeddings", embeddings, class_weights, of="class_weights")
    check_device("embeddings", embeddings, class_weights, of="class_weights")
    w_CD = wide(class_weights)
    if unit_weights:
        w_CD = directions(w_CD)
    dtype = torch.promote_types(w_CD.dtype, wide(embeddings[:0]).dtype)
    with torch.autocast(embeddings.device.type, enabled=False):
        found_BC = embeddings.to(dtype) @ w_CD.to(dtype).T
        return found_BC if bias is None else found_BC + bias.to(dtype)
