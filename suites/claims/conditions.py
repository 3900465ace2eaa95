"""The conditions that the claims' trainings share: two forms, one network and budget for each.

``small``: scikit-learn's digits, an MLP, 20 epochs of 6 to 12 images of each identity a step: a
second or two a training. ``full``: Fashion-MNIST with the same MLP for 5 epochs, batches of 250 or
260, metrics at the end on at most 2,000 images. The center-loss paper's LeNet++ takes 0.78 s a
step of 256 on a core, 3 minutes an epoch, so that only claim 1 trains it, for an epoch. What is
said of new identities is also asked, in full form, of characters in typefaces by the tables' own
recipe (a small ResNet): a thousand identities trained, a thousand others tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from suites.jobs import Job, Settings, Term
from suites.quality.recipes import recipe

from .claim import FORMS

Conditions = tuple[str, Settings]
Arm = tuple[str, tuple[Term, ...], Conditions, Sequence[int]]


def jobs(study: str, arms: Iterable[Arm], device: str) -> list[Job]:
    """A training for each seed of each arm: its name, terms, conditions and seeds."""
    return [
        Job(study, arm, terms, dataset, seed, settings, device=device)
        for arm, terms, (dataset, settings), seeds in arms
        for seed in seeds
    ]


def check_form(form: str) -> None:
    """Raises ValueError for a form that there is not."""
    if form not in FORMS:
        raise ValueError(f"form: expected one of {', '.join(FORMS)}; got {form!r}")


def closed(form: str, dim: int) -> Conditions:
    """Dataset and settings where all ten identities are trained on and seen again in tests."""
    check_form(form)
    if form == "small":
        return "digits-closed", Settings(
            20, dim=dim, identities_per_batch=10, images_per_identity=6, evaluate_every=20
        )
    return "fashion-closed", Settings(
        5, dim=dim, identities_per_batch=10, images_per_identity=26, evaluate_every=5,
        evaluation_images=2_000,
    )  # fmt: skip


def open_set(form: str, dim: int = 64) -> Conditions:
    """Dataset and settings where the identities tested were never trained on."""
    check_form(form)
    if form == "small":
        return "digits", Settings(20, dim=dim, evaluate_every=20)
    return "fashion", Settings(
        5, dim=dim, identities_per_batch=5, images_per_identity=50, evaluate_every=5,
        evaluation_images=2_000,
    )  # fmt: skip


def many(form: str) -> Conditions | None:
    """Dataset and settings of many identities, tested on as many new ones; None in small form,
    which has no such data."""
    check_form(form)
    return ("glyphs", recipe("glyphs").settings) if form == "full" else None


def on_many(arm: str) -> str:
    """The same arm on many identities."""
    return f"{arm} on many"


def costly(seeds: Sequence[int]) -> Sequence[int]:
    """The seeds of arms that take minutes each and stand beside a verdict: three at most."""
    return seeds[:3]


def lenet(settings: Settings) -> Settings:
    """One epoch of the center-loss paper's LeNet++ under the same conditions."""
    return replace(settings, backbone="lenet++", epochs=1, evaluate_every=1)
