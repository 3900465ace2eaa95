"""``marginbench check-log``: whether a first logged loss agrees with its settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from .endings import fail
from .messages import say


@dataclass(frozen=True)
class Settings:
    """What a first loss follows from; ``target`` takes a cosine and the margin, ``added`` is beside
    the cross-entropy."""

    target: Callable[..., float]
    classes: int
    dim: int
    scale: float
    margin: float | None
    rate: float
    added: float = 0.0

    def expected(self) -> Any:
        from marginbench.first_loss import first_loss

        own = {} if self.margin is None else {"margin": self.margin}
        found = first_loss(
            lambda cosine: self.target(cosine, **own),
            classes=self.classes, dim=self.dim, scale=self.scale, rate=self.rate,
        )  # fmt: skip
        return dataclasses.replace(found, value=found.value + self.added)


@click.command("check-log")
@click.argument("logged", type=float)
@click.option("--loss", "name", required=True, help="A loss over cosines, such as cosface.")
@click.option("--variant", help="One of its variants.  [default: the first]")
@click.option("--classes", type=click.IntRange(2), required=True, help="All classes.")
@click.option("--dim", type=click.IntRange(2), required=True, help="Of an embedding.")
@click.option("--scale", type=float, help="s.  [default: the variant's]")
@click.option("--margin", type=float, help="m, or the mean of margins that are drawn.  "
              "[default: the variant's]")  # fmt: skip
@click.option("--length", type=float, help="Of the embeddings, where the loss goes by it.")
@click.option("--rate", type=float, default=1.0, show_default=True,
              help="Share of the classes in a row's denominator (Partial FC).")  # fmt: skip
@click.option("--rows", type=click.IntRange(1), default=8192, show_default=True,
              help="That the logged loss is the mean of: batch times steps.")  # fmt: skip
def check_log(
    logged: float, name: str, variant: str | None, classes: int, dim: int, scale: float | None,
    margin: float | None, length: float | None, rate: float, rows: int,
) -> None:  # fmt: skip
    """Say whether a first LOGGED loss agrees with its settings.

    Where it does not, say what else would explain it. With random class weights the loss follows
    from classes, rate, scale, margin and dimension. Of a loss that was logged before anything was
    learnt, that tests all of them. After twenty steps without a warm-up it is lower by some tenths.

    \b
    Example:
      marginbench check-log --loss cosface --classes 2059906 --dim 512 --rate 0.2 --margin 0.4 42.49

    \b
    Exit codes:
      0  it agrees
      1  it does not
      2  bad usage
      3  the settings leave too much to chance: a few classes would make up the sum
    """
    if not math.isfinite(logged):
        raise click.BadParameter(f"expected a finite number; got {logged}", param_hint="LOGGED")
    if margin is not None and not math.isfinite(margin):
        raise click.BadParameter(f"expected a finite number; got {margin}", param_hint="--margin")
    settings = _settings(name, variant, classes, dim, scale, margin, length, rate)
    try:
        expected = settings.expected()
    except OverflowError:
        expected = None
    if expected is None or expected.bias > 1:
        fail(f"with {classes} classes in {dim} dimensions and scale {settings.scale:g} a few "
             "classes make up the sum: no value can be expected")  # fmt: skip
    off = expected.tolerance(rows)
    say(f"expected {expected.value:.2f} +- {off:.2f}; logged {logged:.2f}")
    if abs(logged - expected.value) <= off:
        say("it agrees with the settings")
        return
    say("it does not agree with the settings; any one of these would explain it:")
    for line in _explanations(settings, logged):
        say(f"  {line}")
    raise SystemExit(1)


def _settings(
    name: str, variant: str | None, classes: int, dim: int, scale: float | None,
    margin: float | None, length: float | None, rate: float,
) -> Settings:  # fmt: skip
    from marginbench import catalogue

    able = {
        loss.name: [v for v in loss.variants if v.target_of_cosine is not None]
        for loss in catalogue.losses()
    }
    if not able.get(name):
        known = ", ".join(loss for loss, variants in able.items() if variants)
        raise click.BadParameter(f"expected one of {known}; got {name!r}", param_hint="--loss")
    chosen = {v.name: v for v in able[name]}
    variant = variant or next(iter(chosen))
    if variant not in chosen:
        raise click.BadParameter(
            f"expected one of {', '.join(chosen)}; got {variant!r}", param_hint="--variant"
        )
    options = dict(chosen[variant].options)
    drawn = chosen[variant].drawn_margins
    if drawn is not None:
        options["margin"], options["deviation"] = drawn
    if options.pop("corrected", False):
        rate = 1.0  # its denominator stands for all classes
    usual_scale, has_margin = options.pop("scale", None), "margin" in options
    usual = options.pop("margin", None)
    scale = usual_scale if scale is None else scale
    if margin is not None and not has_margin:
        raise click.BadParameter(f"expected none: {name} has no margin", param_hint="--margin")
    for hint, value, high in (("--scale", scale, math.inf), ("--rate", rate, 1.0)):
        if value is None or not (0 < value <= high and math.isfinite(value)):
            bound = "" if high == math.inf else f", at most {high:g}"
            raise click.BadParameter(
                f"expected a number above 0{bound}; got {value}", param_hint=hint
            )
    target, at_length = chosen[variant].target_of_cosine, chosen[variant].added_at_length
    assert target is not None
    added = 0.0
    if at_length is not None:
        if length is None or not 0 <= length < math.inf:
            raise click.BadParameter(
                f"expected the embeddings' length, by which {name} goes, from 0 on; got {length}",
                param_hint="--length",
            )
        options["length"] = length
        added = at_length(**options)
    elif length is not None:
        raise click.BadParameter(
            f"expected none: {name} does not go by lengths", param_hint="--length"
        )
    return Settings(
        lambda cosine, **own: target(cosine, **own, **options),
        classes, dim, float(scale), usual if margin is None else margin, rate,
        added,
    )  # fmt: skip


_HALVINGS = 20
# Where a setting that would explain a loss is looked for.
_WITHIN = {"margin": (0.0, 1.0), "scale": (1.0, 256.0), "rate": (1e-4, 1.0), "classes": (2, 1e9)}


def _explanations(settings: Settings, logged: float) -> Iterator[str]:
    """One changed setting each that gives the logged loss."""
    for name, (low, high) in _WITHIN.items():
        now = getattr(settings, name)
        if now is None:
            continue

        def at(value: float, name: str = name) -> float:
            made: dict[str, Any] = {name: int(value) if name == "classes" else value}
            return float(dataclasses.replace(settings, **made).expected().value) - logged

        below = at(low)
        if below * at(high) > 0:
            continue
        logarithmic = name in ("rate", "classes")
        for _ in range(_HALVINGS):
            middle = math.sqrt(low * high) if logarithmic else (low + high) / 2
            low, high = (middle, high) if below * at(middle) > 0 else (low, middle)
        found = f"{round(high):,}" if name == "classes" else f"{high:.3g}"
        shown = f"{now:,}" if name == "classes" else f"{now:g}"
        yield f"{name} {found} in place of {shown}"
