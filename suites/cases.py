"""The case: which loss, on what size, dtype, device and data, and what is measured of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from marginbench import catalogue, stress
from marginbench.fields import sized
from marginbench.loss import Contender, Loss, Shape, Variant

from .presets import STRESSED, Preset
from .schema import CaseKey
from .shapes import shapes_of

SUITES = {
    "agreement": "gradients and values against the float64 reference, on small ragged shapes and "
    "on data where losses go wrong",
    "speed": "time and memory of every contender, over batches, dimensions and numbers of classes",
    "real": "the same on embeddings of a small network trained on scikit-learn's digits",
    "auto": "times of what implementation='auto' takes against eager, tiled and Triton; only where "
    "it is asked for",
    "training": "one small network trained with each loss on digits, logged to MLflow",
}
AUTO = "auto"
_CHOICES = ("eager", "tiled", "triton")


@dataclass(frozen=True)
class Case(CaseKey):
    """One case of the plan. ``measures`` holds ``agreement``, ``speed`` and ``memory``;
    ``compile`` says whether this preset affords torch.compile's first call here, ``interpret``
    whether it affords Triton's interpreter where there is no GPU."""

    measures: tuple[str, ...] = ()
    compile: bool = False
    interpret: bool = True

    @classmethod
    def of(
        cls, suite: str, loss: Loss, variant: Variant, shape: Shape, dtype: str, device: str,
        data: str, seed: int, **how: Any,
    ) -> Case:  # fmt: skip
        """``how``: what is measured, and how, as fields of the case."""
        return cls(
            suite, loss.name, variant.name, variant.version, variant.family, shape.batch,
            shape.dim, shape.classes, dtype, device, data, seed, shape.more, **how,
        )  # fmt: skip

    @property
    def key(self) -> CaseKey:
        """What a record holds of it."""
        return CaseKey(**{one.name: getattr(self, one.name) for one in fields(CaseKey)})


def compared(suite: str, variant: Variant) -> Variant:
    """The variant with the contenders that a suite compares: all that it declares, but in the
    suite ``auto`` the implementations that auto chooses from, and auto itself."""
    if suite != AUTO:
        return variant
    chosen = [one for one in variant.contenders if one.name in (*_CHOICES, "reference")]
    function = variant.contender("eager").entry.partition(":")[2]
    automatic = Contender(AUTO, f"auto:{function}", note="what implementation='auto' takes")
    return replace(variant, contenders=(*chosen, automatic))


def _variants() -> Iterator[tuple[Loss, Variant]]:
    for loss in catalogue.losses():
        for variant in loss.variants:
            yield loss, variant


def plan(preset: Preset, device: str, seed: int) -> list[Case]:
    """Every case of the preset on a device ("cpu" or "cuda"), in the order it is measured."""
    return [
        *_agreement(preset, device, seed),
        *_stressed(preset, device, seed),
        *_speed(preset, device, seed),
        *_real(preset, device, seed),
    ]


def automatic(preset: Preset, device: str, seed: int) -> Iterator[Case]:
    """The suite ``auto``, for times alone: every variant of a loss whose sizes are swept, in every
    dtype where auto has a choice."""
    for loss, variant in _variants():
        if not variant.sweep or variant.output != "loss":
            continue
        chosen = device == "cuda" or any(one.name == "tiled" for one in variant.contenders)
        sizes = shapes_of(variant, preset.automatic_shapes(device), preset.table("auto"))
        for shape in sizes:
            for dtype in preset.automatic_dtypes(device) if chosen else ("float32",):
                yield Case.of(
                    AUTO, loss, variant, shape, dtype, device, "drawn", seed,
                    measures=("speed",), interpret=False,
                )  # fmt: skip


def few() -> list[Variant]:
    """One variant of each family: that of a loss with the most contenders, for there is the most to
    compare."""
    best: dict[str, Variant] = {}
    for _, variant in _variants():
        if variant.sweep and variant.output == "loss":
            known = best.setdefault(variant.family, variant)
            if len(variant.contenders) > len(known.contenders):
                best[variant.family] = variant
    return list(best.values())


def _agreement(preset: Preset, device: str, seed: int) -> Iterator[Case]:
    for loss, variant in _variants():
        interpret = preset.thorough or variant is loss.variants[0]
        for shape in shapes_of(variant, preset.agreement_shapes, "agreement"):
            for dtype in preset.agreement_dtypes:
                yield Case.of(
                    "agreement", loss, variant, shape, dtype, device, "drawn", seed,
                    measures=("agreement",), interpret=interpret,
                )  # fmt: skip


def _stressed(preset: Preset, device: str, seed: int) -> Iterator[Case]:
    for name in preset.stress:
        for loss, variant in _variants():
            for dtype in preset.stress_dtypes:
                if stress.KINDS[name].suits(variant, dtype):
                    shape = shapes_of(variant, STRESSED)[0]
                    yield Case.of(
                        "agreement", loss, variant, shape, dtype, device, name, seed,
                        measures=("agreement",), interpret=preset.thorough,
                    )  # fmt: skip


def _speed(preset: Preset, device: str, seed: int) -> Iterator[Case]:
    chosen = few()
    for loss, variant in _variants():
        is_chosen = any(variant is one for one in chosen)
        sizes = shapes_of(variant, preset.speed_shapes(device), preset.table(device))
        swept = variant.sweep and (is_chosen or device == "cuda" or preset.thorough)
        for shape in sizes if swept else sizes[:1]:
            compile = device == "cuda" or preset.thorough or (is_chosen and shape == sizes[0])
            for dtype in preset.speed_dtypes(device):
                yield Case.of(
                    "speed", loss, variant, shape, dtype, device, "drawn", seed,
                    measures=("agreement", "speed", "memory"), compile=compile,
                )  # fmt: skip


def _real(preset: Preset, device: str, seed: int) -> Iterator[Case]:
    for loss, variant in _variants():
        shape = sized(variant, preset.real_shape)
        yield Case.of(
            "real", loss, variant, shape, "float32", device, "digits", seed,
            measures=("agreement", "speed", "memory"),
        )  # fmt: skip
