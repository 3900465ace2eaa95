"""The closed division's one recipe for each dataset, with its reasons; nothing here is tuned.

A training of digits takes seconds; one of fashion or of glyphs at most about a minute and a half
on one core, so that all losses and seeds of both fit into an evening.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .jobs import Settings

# Where the face papers drop their learning rate: 16,000 and 24,000 of 28,000 iterations (Wen et
# al. 2016; Liu et al. 2017).
DROPS = (16 / 28, 24 / 28)


@dataclass(frozen=True)
class Recipe:
    """``settings`` of every loss on that dataset, and ``why`` in words.

    ``searched`` are the P x K of a search where the validation part of the training identities
    has fewer than P: the same images a step, of fewer identities.
    """

    settings: Settings
    why: str
    searched: tuple[int, int] | None = None

    @property
    def search_settings(self) -> Settings:
        if self.searched is None:
            return self.settings
        identities, images = self.searched
        return replace(self.settings, identities_per_batch=identities, images_per_identity=images)


_DIGITS = Recipe(
    Settings(
        20, "mlp", dim=64, identities_per_batch=5, images_per_identity=12, decay_at=DROPS,
        evaluate_every=2,
    ),
    "8 x 8 pixels ask for no convolution; all five trained identities are in every batch, and 20 "
    "epochs are past where the losses stop moving. It shows that everything works: five identities "
    "are too few to carry over to new ones.",
    searched=(3, 20),
)  # fmt: skip
_FASHION = Recipe(
    Settings(
        4, "resnet", dim=64, identities_per_batch=5, images_per_identity=24, decay_at=DROPS,
        evaluate_every=2,
    ),
    "30,000 images of five classes four times over, 120 a step, all five classes in each: a "
    "thousand steps, a minute on one core. LeNet++ is ten times as slow on a CPU and is kept for "
    "the claims that need its two dimensions.",
    searched=(3, 40),
)  # fmt: skip
_GLYPHS = Recipe(
    Settings(
        6, "resnet", dim=128, identities_per_batch=64, images_per_identity=4, decay_at=DROPS,
        evaluate_every=3,
    ),
    "P = 64 x K = 4: of many identities a batch must hold many to hold hard negatives, and four "
    "images of each give six positive pairs; 256 images a step, as the face papers' batch. Six "
    "epochs are what a minute or so on one core affords.",
)  # fmt: skip
_LARGE = Recipe(
    replace(
        _GLYPHS.settings, epochs=8, identities_per_batch=128, evaluate_every=4,
        evaluation_images=20_000,
    ),
    "as glyphs, with twice the identities a step, since there are five times as many to confuse "
    "one with; eight epochs of ten times the images, which is for a GPU or a night.",
)  # fmt: skip
_FACES = Recipe(
    replace(
        _GLYPHS.settings, epochs=10, flip=True, evaluate_every=5, evaluation_images=20_000
    ),
    "as glyphs, for ten epochs, and tested on the sum of an image's and its mirror's embedding, "
    "since faces are nearly symmetric and glyphs are not. The papers' own trainings are recipe "
    "files of their own.",
)  # fmt: skip

RECIPES: Mapping[str, Recipe] = {
    "digits": _DIGITS,
    "digits-closed": _DIGITS,
    "fashion": _FASHION,
    "fashion-closed": _FASHION,
    "glyphs": _GLYPHS,
    "glyphs-large": _LARGE,
    "folder": _FACES,
    "lfw": _FACES,
}


def recipe(dataset: str) -> Recipe:
    """The recipe of a dataset by its name, ``folder:`` and ``lfw:`` with a path among them;
    raises InputError for a name without one."""
    kind = dataset.partition(":")[0]
    if kind not in RECIPES:
        # Imported here because it brings torch, which planning does without.
        from marginbench.checks import InputError

        raise InputError("dataset", f"one of {', '.join(RECIPES)}", repr(dataset))
    return RECIPES[kind]


@dataclass(frozen=True)
class Size:
    """How much a quality run trains. ``trials`` is the open division's budget, the same for each
    loss; ``claims`` is the form of the claims (see `suites.claims.claim`)."""

    name: str
    datasets: tuple[str, ...]
    seeds: int
    trials: int
    claims: str
    minutes: int


SMALL = Size("quality", ("digits",), 3, 12, "small", minutes=10)
FULL = Size("quality-full", ("glyphs", "fashion"), 5, 12, "full", minutes=90)
SIZES = {size.name: size for size in (SMALL, FULL)}
