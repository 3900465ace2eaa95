"""Characters in typefaces."""

from __future__ import annotations

from dataclasses import replace

from suites.jobs import Settings

from .declaration import DROPS, Declaration, Recipe

RECIPE = Recipe(
    Settings(
        6, "resnet", dim=128, identities_per_batch=64, images_per_identity=4, decay_at=DROPS,
        evaluate_every=3,
    ),
    "P = 64 x K = 4: of many identities a batch must hold many to hold hard negatives, and four "
    "images of each give six positive pairs; 256 images a step, as the face papers' batch. Six "
    "epochs are what a minute or so on one core affords.",
)  # fmt: skip
LARGE = Recipe(
    replace(
        RECIPE.settings, epochs=8, identities_per_batch=128, evaluate_every=4,
        evaluation_images=20_000,
    ),
    "as glyphs, with twice the identities a step, since there are five times as many to confuse "
    "one with; eight epochs of ten times the images, which is for a GPU or a night.",
)  # fmt: skip
_LOADERS = "benchmarks.training.datasets.glyphs"
DATASETS = (
    Declaration(
        "glyphs", f"{_LOADERS}:glyphs", RECIPE, "characters in typefaces", epoch_s=40.0
    ),
    # 400,000 pictures are not drawn to be listed.
    Declaration("glyphs-large", f"{_LOADERS}:glyphs_large", LARGE, missing_with="glyphs"),
)  # fmt: skip
