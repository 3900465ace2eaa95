"""``marginbench which``: which public implementation computes which of our variants."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import click
from rich.table import Column, Table

from . import progress
from .messages import console, say

if TYPE_CHECKING:
    from benchmarks.agreement.same_function import Head, Held

_WIDTH = 160


@click.command()
@click.argument("name", required=False)
@click.option("--module", metavar="FILE.py:FUNCTION", help="Your own implementation, in place of "
              "the public ones: called with embeddings, labels and class weights, it returns the "
              "mean loss.")  # fmt: skip
@click.option("--scale", type=float, help="s of your own.  [default: each variant's]")
@click.option("--margin", type=float, help="m of your own, in radians where it is an angle.  "
              "[default: each variant's]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def which(
    name: str | None, module: str | None, scale: float | None, margin: float | None, as_json: bool
) -> None:
    """Say which implementation computes which variant.

    NAME narrows the public implementations to those whose name or loss contains it. Each is held
    against all variants over class weights: by value, and by the gradients of embeddings and class
    weights, at angles of the target all over (0, pi), on rows and class weights of any length, in
    float64. A package that is installed is run as it is. The others are written down from their
    equations, and were not run.

    With --module your own is held against them: which ArcFace is it? Its file is run.

    \b
    Examples:
      marginbench which
      marginbench which ArcFaceLoss
      marginbench which --module mine.py:loss --scale 64 --margin 0.5

    \b
    Exit codes:
      0  listed; with --module: a variant has its value and its gradients
      1  with --module: none has
      2  bad usage, or the function of --module can't be called so
    """
    given = {key: one for key, one in (("scale", scale), ("margin", margin)) if one is not None}
    if module is None:
        if given:
            raise click.UsageError(f"--{next(iter(given))}: expected --module with it")
        _public(name, as_json)
    elif name is not None:
        raise click.UsageError(f"name: expected none with --module; got {name!r}")
    else:
        sys.exit(_own(module, given, as_json))


def _public(name: str | None, as_json: bool) -> None:
    from benchmarks.agreement import same_function
    from marginbench import catalogue, public_code

    every = [(loss.name, one) for loss in catalogue.losses() for one in public_code.of(loss)]
    chosen = [
        (loss, one) for loss, one in every
        if name is None or name.lower() in one.name.lower() or name.lower() == loss
    ]  # fmt: skip
    if not chosen:
        known = ", ".join(dict.fromkeys(loss for loss, _ in every))
        raise click.BadParameter(
            f"expected {known}, or a part of an implementation's name; got {name!r}",
            param_hint="NAME",
        )
    found: list[tuple[str, Any, list[Held]]] = []
    with progress.shown() as report:
        for number, (loss, one) in enumerate(chosen):
            report(number, len(chosen), one.name)
            held: list[Held] = []
            if one.installed:
                held = same_function.hold(one.function, one.options, one.takes)
            found.append((loss, one, held))
    if as_json:
        say(json.dumps([_entry(*one) for one in found], indent=1, ensure_ascii=False))
        return
    table = Table("loss", "implementation", "computes", "where the nearest differ", "how",
                  Column("source", overflow="fold"), title="Who computes what")  # fmt: skip
    for loss, one, held in found:
        how = "run as it is" if one.package else "from its equations, not run"
        table.add_row(
            loss, one.name, _computes(held) if held else "not installed", _nearest(held), how,
            f"{one.source}; {one.note}" if one.note else one.source,
        )  # fmt: skip
    console(_WIDTH).print(table)


def _own(module: str, given: dict[str, float], as_json: bool) -> int:
    from benchmarks.agreement import same_function

    head = _imported(module)
    try:
        held = same_function.hold(head, given)
    except Exception as error:
        said = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else error
        raise click.BadParameter(
            "expected a function of embeddings (B x D, float64), labels (B) and class weights "
            f"(C x D) that returns the mean loss; {said}", param_hint="--module",
        ) from None  # fmt: skip
    if as_json:
        say(json.dumps([_held(one) for one in held], indent=1, ensure_ascii=False))
    else:
        say(f"{module} computes: {_computes(held)}")
        table = Table("variant", "with", "value", "where it differs")
        for one in held:
            options = ", ".join(f"{key} {value}" for key, value in one.options.items())
            table.add_row(f"{one.loss}/{one.variant}", options, _WORDS[one.verdict], _where(one))
        console(_WIDTH).print(table)
    return 0 if any(one.verdict == "same" and one.factor == 1 for one in held) else 1


def _imported(module: str) -> Head:
    import importlib.util
    from pathlib import Path

    path, _, function = module.rpartition(":")
    if not path or not function:
        raise click.BadParameter(f"expected FILE.py:FUNCTION; got {module!r}",
                                 param_hint="--module")  # fmt: skip
    if not Path(path).is_file():
        raise click.BadParameter(f"expected a file that exists; got {path!r}",
                                 param_hint="--module")  # fmt: skip
    spec = importlib.util.spec_from_file_location("marginbench_which_own", path)
    if spec is None or spec.loader is None:
        raise click.BadParameter(f"expected a file of Python; got {path!r}",
                                 param_hint="--module")  # fmt: skip
    made = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(made)
    except Exception as error:
        raise click.BadParameter(
            f"expected a file that can be imported; {type(error).__name__}: {error}",
            param_hint="--module",
        ) from None
    found = getattr(made, function, None)
    if not callable(found):
        raise click.BadParameter(f"expected a function of {path}; got {function!r}",
                                 param_hint="--module")  # fmt: skip
    head: Head = found
    return head


_WORDS = {
    "same": "same, and gradients", "value": "same, gradients differ", "part": "same at some angles",
    "different": "different",
}  # fmt: skip
_TITLES = {"value": "value", "embeddings": "gradient of embeddings",
           "class_weights": "gradient of class weights"}  # fmt: skip


def _computes(held: list[Held]) -> str:
    same = [f"{one.loss}/{one.variant}{_times(one)}" for one in held if one.verdict == "same"]
    return ", ".join(same) or "none of ours"


def _nearest(held: list[Held]) -> str:
    """Those that have its value, or a part of it; the others need no words."""
    near = [one for one in held if one.verdict in ("value", "part")]
    return "\n".join(f"{one.loss}/{one.variant}: {_where(one)}" for one in near[:2])


def _where(one: Held) -> str:
    from benchmarks.agreement import same_function

    said = "; ".join(
        f"{_TITLES[quantity]}: {same_function.where(names)}"
        for quantity, names in one.differs.items() if names
    )  # fmt: skip
    if one.only:
        said += f" (the same where {one.only.replace('_', ' ')} have length 1)"
    return said + _times(one)


def _times(one: Held) -> str:
    return "" if one.factor == 1 else f" (times {one.factor:g})"


def _held(one: Held) -> dict[str, Any]:
    return {**dataclasses.asdict(one), "verdict": one.verdict}


def _entry(loss: str, one: Any, held: list[Held]) -> dict[str, Any]:
    return {
        "loss": loss, "implementation": one.name, "source": one.source, "note": one.note,
        "run": bool(one.package), "installed": one.installed, "options": dict(one.options),
        "held": [_held(found) for found in held],
    }  # fmt: skip
