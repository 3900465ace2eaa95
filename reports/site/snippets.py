"""Code that uses a loss, made from its declaration; every one is run by a test.

Reads declarations only: what arguments a variant takes is asked of a stand-in for a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marginbench.loss import Loss, Variant

BATCH, DIM, CLASSES = 64, 128, 16
_ROWS = ("embeddings", "anchor", "positive", "negative", "embeddings_a", "embeddings_b")
_MADE = {
    "labels": f"torch.arange({BATCH}) % {CLASSES}",
    "class_weights": f"torch.randn({CLASSES}, {DIM})",
    "bias": f"torch.zeros({CLASSES})",
    "centers": f"torch.zeros({CLASSES}, {DIM})",
    "different": f"torch.arange({BATCH}) % 2 == 0",
}


class _AnyTensor:
    """Stands for each tensor of a batch, whatever is done to it."""

    def __getattr__(self, name: str) -> _AnyTensor:
        return self

    def __call__(self, *_: Any, **__: Any) -> _AnyTensor:
        return self

    def __getitem__(self, _: Any) -> _AnyTensor:
        return self


def arguments(variant: Variant) -> list[str] | None:
    """Names of the tensors that a call takes; None where the declaration can't be asked so."""
    try:
        return list(variant.arguments(_AnyTensor()))
    except Exception:  # whatever a declaration does with a batch, there is just no snippet
        return None


def snippet(loss: Loss, variant: Variant) -> str:
    """Python that computes the loss once, with its gradient, or mines once; empty where nothing of
    the variant is public."""
    names = arguments(variant)
    if names is None or not variant.public or not all(_drawn(variant, n) for n in names):
        return ""
    part, _, name = variant.public.rpartition(".")
    options = variant.options if variant.public_options is None else variant.public_options
    tensors = [f"{name}={name}" for name in names]
    chosen = [f"{option}={value!r}" for option, value in options.items()]
    lines = ["import torch", "", f"from marginbench import {part}", ""]
    lines += [f"{name} = {_drawn(variant, name)}" for name in names]
    if part == "miners":
        called = f"miners.{name}({', '.join(chosen)})({', '.join(names)})"
        return "\n".join([*lines, f"anchors, positives, negatives = {called}", "print(negatives)"])
    lines.append(f"value = {part}.{name}({', '.join([*tensors, *chosen])})")
    if variant.differentiable and variant.output == "loss":
        lines += [
            "value.backward()",
            f"print(value.item(), {variant.differentiable[0]}.grad.shape)",
        ]
    else:
        lines.append("print(value)")
    return "\n".join(lines)


def _drawn(variant: Variant, name: str) -> str:
    if name in _ROWS:
        text = f"torch.randn({BATCH}, {DIM})"
        if variant.unit_embeddings:
            text = f"torch.nn.functional.normalize({text})"
    elif name in _MADE:
        text = _MADE[name]
    else:
        return ""
    return f"{text}.requires_grad_()" if name in variant.differentiable else text


def chosen(loss: Loss) -> Mapping[str, str]:
    """By variant, the code of each that has one."""
    found = {variant.name: snippet(loss, variant) for variant in loss.variants}
    return {name: text for name, text in found.items() if text}
