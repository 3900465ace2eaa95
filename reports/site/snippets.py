"""Code that uses a loss, made from its declaration; every one is run by a test.

Reads declarations only: what arguments a variant takes is asked of a stand-in for a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marginbench.fields import STANDARD, Field, Shape, sized
from marginbench.loss import Loss, Variant

BATCH, DIM, CLASSES = 64, 128, 16
_MADE = {
    "labels": f"torch.arange({BATCH}) % {CLASSES}",
    "bias": f"torch.zeros({CLASSES})",
    "centers": f"torch.zeros({CLASSES}, {DIM})",
    "different": f"torch.arange({BATCH}) % 2 == 0",
}
# What lies where embeddings lie.
_SAMPLES = ("images", "partners", "memory")


class _AnyTensor:
    """Stands for a field of a batch, whatever is done to it."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __getattr__(self, name: str) -> _AnyTensor:
        return self

    def __call__(self, *_: Any, **__: Any) -> _AnyTensor:
        return self

    def __getitem__(self, _: Any) -> _AnyTensor:
        return self


class _AnyBatch:
    def __getattr__(self, name: str) -> _AnyTensor:
        return _AnyTensor(name)


def arguments(variant: Variant) -> dict[str, str] | None:
    """The tensors that a call takes, each with the field that it is made from; None where the
    declaration can't be asked so."""
    try:
        made = variant.arguments(_AnyBatch())
        return {name: getattr(one, "field", "") for name, one in made.items()}
    except Exception:  # whatever a declaration does with a batch, there is just no snippet
        return None


def snippet(loss: Loss, variant: Variant) -> str:
    """Python that computes the loss once, with its gradient, or mines once; empty where nothing of
    the variant is public."""
    names = arguments(variant)
    if names is None or not variant.public:
        return ""
    made = {name: _drawn(variant, name, of) for name, of in names.items()}
    if not all(made.values()):
        return ""
    part, _, name = variant.public.rpartition(".")
    options = variant.options if variant.public_options is None else variant.public_options
    tensors = [f"{name}={name}" for name in names]
    chosen = [f"{option}={value!r}" for option, value in options.items()]
    lines = ["import torch", "", f"from marginbench import {part}", ""]
    lines += [f"{name} = {code}" for name, code in made.items()]
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


def _drawn(variant: Variant, name: str, of: str) -> str:
    """Code for the argument ``name``, which is made from the field ``of``; empty without one."""
    field = {**STANDARD, **{one.name: one for one in variant.fields}}.get(of)
    if field is None:
        return ""
    text = _MADE.get(of) or _random(field, variant)
    return f"{text}.requires_grad_()" if name in variant.differentiable else text


def _random(field: Field, variant: Variant) -> str:
    sizes = ", ".join(map(str, sized(variant, Shape(BATCH, DIM, CLASSES)).of(field.sizes)))
    if field.dtype == "int64":
        return f"torch.randint({CLASSES}, ({sizes},))"
    if field.dtype == "bool":
        return f"torch.rand({sizes}) < 0.5"
    if "D" not in field.sizes:
        return f"torch.ones({sizes or '()'})"
    text = f"torch.randn({sizes})"
    on_sphere = variant.unit_embeddings and field.kind in _SAMPLES
    return f"torch.nn.functional.normalize({text})" if on_sphere else text


def chosen(loss: Loss) -> Mapping[str, str]:
    """By variant, the code of each that has one."""
    found = {variant.name: snippet(loss, variant) for variant in loss.variants}
    return {name: text for name, text in found.items() if text}
