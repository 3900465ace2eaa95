"""Kinds of parameters: their errors say what was expected and what came."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import click

from marginbench.spelling import meant


class Choice(click.Choice[str]):
    """One of these words; a near miss is answered with the word."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        known = list(self.choices)
        return f"expected one of {', '.join(known)}; got {value!r}{meant(str(value), known)}"


class Whole(click.IntRange):
    """A whole number within bounds."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"expected a whole number {_bounds(self)}; got {value!r}", param, ctx)


class Number(click.FloatRange):
    """A number within bounds."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            found = super().convert(value, param, ctx)
            if math.isfinite(found):
                return found
            self.fail("", param, ctx)
        except click.BadParameter:
            self.fail(f"expected a number {_bounds(self)}; got {value!r}", param, ctx)


class Share(click.ParamType[float]):
    """A share of a time: 3% or 0.03."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            found = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            found = -1.0
        if not 0 < found < 1:
            self.fail(
                f"expected a share between 0 and 1, such as 3% or 0.03; got {value!r}", param, ctx
            )
        return found


def known_losses(names: Sequence[str]) -> None:
    """Raises click.UsageError for a --loss that there is not."""
    from marginbench import catalogue
    from suites import selection

    try:
        for name in names:
            selection.known("--loss", name, catalogue.names())
    except catalogue.UnknownName as error:
        raise click.UsageError(str(error)) from None


def _bounds(number: click.IntRange | click.FloatRange) -> str:
    return (
        f"from {number.min} to {number.max}"
        if number.max is not None
        else f"of at least {number.min}"
    )
