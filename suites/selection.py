"""Chooses cases: from a preset's plan by suite and loss, or one by its id."""

from __future__ import annotations

import re
from collections.abc import Sequence

from marginbench import catalogue, stress
from marginbench.catalogue import UnknownName
from marginbench.fields import sized
from marginbench.loss import DTYPES, Shape

from .cases import AUTO, SUITES, Case, automatic, plan
from .presets import Preset

DEVICES = ("cpu", "cuda")
DATA = ("drawn", "digits", *stress.KINDS)
_FORM = "SUITE/LOSS/VARIANT/B1-D1-C1/DTYPE/DEVICE/DATA/s0"
_SHAPE = re.compile(r"B([1-9]\d*)-D([1-9]\d*)-C([1-9]\d*)((?:-[A-Z][a-z]*[1-9]\d*)*)")
_OWN = re.compile(r"([A-Z][a-z]*)(\d+)")


class BadCase(ValueError):
    """A case id that can't be read; says which part, what was expected and what came."""


def known(argument: str, got: str, among: Sequence[str]) -> str:
    """``got`` itself if it is one of ``among``; else UnknownName, naming the nearest."""
    if got not in among:
        raise UnknownName(argument, got, list(among))
    return got


def contenders() -> list[str]:
    """The names of all contenders of all losses."""
    variants = (variant for loss in catalogue.losses() for variant in loss.variants)
    names = {contender.name for variant in variants for contender in variant.contenders}
    return sorted({*names, AUTO})


def select(
    preset: Preset, device: str, seed: int, suites: Sequence[str], losses: Sequence[str]
) -> list[Case]:
    """The plan's cases of these suites and losses; where none is named, all but the suite auto.

    Raises UnknownName for a suite or a loss that is not there.
    """
    for suite in suites:
        known("--suite", suite, tuple(SUITES))
    for loss in losses:
        known("--loss", loss, catalogue.names())
    cases = plan(preset, device, seed)
    if AUTO in suites:
        cases += automatic(preset, device, seed)
    return [
        case
        for case in cases
        if (not suites or case.suite in suites) and (not losses or case.loss in losses)
    ]


def _shape(text: str) -> Shape | None:
    """The sizes that a part of an id names."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        return None
    batch, dim, classes, own = found.groups()
    more = tuple((letter, int(size)) for letter, size in _OWN.findall(own))
    return Shape(int(batch), int(dim), int(classes), more)


def parse(case_id: str) -> Case:
    """The case that an id names; any size will do, whether a preset has it or not.

    Raises BadCase, or UnknownName for a loss or variant that is not there.
    """
    parts = case_id.split("/")
    if len(parts) != 8:
        raise BadCase(f"--case: expected {_FORM}; got {case_id!r}")
    suite, loss_name, variant_name, size, dtype, device, data, seed = parts
    loss = catalogue.get(known("--case", loss_name, catalogue.names()))
    known("--case", variant_name, [variant.name for variant in loss.variants])
    variant = loss.variant(variant_name)
    for got, among in ((suite, tuple(SUITES)), (dtype, DTYPES), (device, DEVICES), (data, DATA)):
        known("--case", got, among)
    shape = _shape(size)
    usual = sized(variant, Shape(512, 128, 10_000))
    if shape is None or [own for own, _ in shape.more] != [own for own, _ in usual.more]:
        raise BadCase(f"--case: expected a size like {usual}, each at least 1; got {size!r}")
    if not re.fullmatch(r"s\d+", seed):
        raise BadCase(f"--case: expected a seed like s0; got {seed!r}")
    only_agreement = suite == "agreement"
    return Case.of(
        suite,
        loss,
        variant,
        shape,
        dtype,
        device,
        data,
        int(seed[1:]),
        measures=("agreement",) if only_agreement else ("agreement", "speed", "memory"),
        compile=not only_agreement,
    )
