"""Heads over a sampled share of their classes (Partial FC): each label's class, and some others.

A head over the sampled classes is the head that it is, over fewer class weights: rows of the class
weights are gathered, and labels become places among them. What it can't know is how many classes it
stands for. Without a correction the others' sum is that of S - 1 classes where C - 1 are meant.
With it each of them counts k = (C - 1) / (S - 1) times, which a loss l = log(1 + R) with R the
others' sum over the target's takes by itself: log(1 + k R) = l + log(1 + (k - 1) (1 - e^-l)),
whatever the margin, and whichever implementation made l.

B batch, D dimension, C classes, S of them sampled.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks import InputError, check_labels, check_matrix, check_reduction
from .reduction import reduce


def standing_for(classes: int, sampled: int) -> float:
    """k: how many classes each of a label's other sampled classes stands for."""
    return (classes - 1) / (sampled - 1) if sampled > 1 else 1.0


def stand_for_all(terms_B: Tensor, classes: int, sampled: int) -> Tensor:
    """Terms over sampled classes as if each class other than the label's were k of them."""
    more = standing_for(classes, sampled) - 1
    return terms_B + torch.log1p(-more * torch.expm1(-terms_B))


def places(sampled: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Where each label is among the sampled classes (B); S, which is no place, for a label that is
    not there, which on the CPU is an error."""
    if not isinstance(sampled, Tensor):
        raise InputError("sampled", "a tensor", type(sampled).__name__)
    if sampled.dtype != torch.int64 or sampled.ndim != 1 or not len(sampled):
        raise InputError(
            "sampled", "int64 numbers of classes, one or more",
            f"shape {tuple(sampled.shape)}, {sampled.dtype}",
        )  # fmt: skip
    if sampled.device != labels.device:
        raise InputError("sampled", f"the embeddings' device {labels.device}", sampled.device)
    read = sampled.device.type == "cpu" and not torch.compiler.is_compiling()
    if read:
        rising = bool((sampled[1:] > sampled[:-1]).all())
        if not rising or int(sampled[0]) < 0 or int(sampled[-1]) >= classes:
            raise InputError(
                "sampled", f"classes in [0, {classes}), rising, none twice", sampled.tolist()[:8]
            )
    last = len(sampled) - 1
    at_B = torch.searchsorted(sampled.contiguous(), labels.contiguous())
    there_B = sampled.index_select(0, at_B.clamp(max=last)) == labels
    if read and not bool(there_B.all()):
        missing = sorted(set(labels[~there_B].tolist()))
        raise InputError("sampled", "every label among them", f"none of {missing[:8]}")
    return at_B.where(there_B, last + 1)


def over_sampled(form: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A head's form over the classes of ``sampled`` (S, int64, rising, every label among them):
    the loss of those class weights, and with ``corrected`` as if the others stood for all."""

    @functools.wraps(form)
    def over(
        embeddings: Tensor, labels: Tensor, class_weights: Tensor, sampled: Tensor, *,
        corrected: bool = False, reduction: str = "mean", **options: Any,
    ) -> Tensor:  # fmt: skip
        check_matrix("class_weights", class_weights)
        check_matrix("embeddings", embeddings)
        classes = class_weights.shape[0]
        check_labels("labels", labels, embeddings, classes=classes)
        check_reduction(reduction)
        own_B = places(sampled, labels, classes)
        rows_SD = class_weights.index_select(0, sampled)
        terms_B = form(embeddings, own_B, rows_SD, reduction="none", **options)
        if corrected:
            terms_B = stand_for_all(terms_B, classes, len(sampled))
        return reduce(terms_B, reduction)

    over.__name__ = over.__qualname__ = f"{form.__name__}_sampled"
    over.__signature__ = _signature(form, over)  # type: ignore[attr-defined]
    # A code of its own, as `forms.checked` gives a form.
    over.__code__ = over.__code__.replace(co_name=over.__name__)  # type: ignore[attr-defined]
    return over


def _signature(form: Callable[..., Any], over: Callable[..., Any]) -> inspect.Signature:
    """The form's, with what sampling takes."""
    takes = inspect.signature(form).parameters
    own = inspect.signature(over, follow_wrapped=False).parameters
    added = [own[name] for name in ("sampled", "corrected")]
    tensors = [one for one in takes.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    options = [one for one in takes.values() if one.kind is one.KEYWORD_ONLY]
    return inspect.Signature([*tensors, added[0], *options, added[1]])
