"""A folder with a folder of images for each identity."""

from __future__ import annotations

from dataclasses import replace

from . import glyphs
from .declaration import Declaration, Recipe

RECIPE = Recipe(
    replace(
        glyphs.RECIPE.settings, epochs=10, flip=True, evaluate_every=5, evaluation_images=20_000
    ),
    "as glyphs, for ten epochs, and tested on the sum of an image's and its mirror's embedding, "
    "since faces are nearly symmetric and glyphs are not. The papers' own trainings are recipe "
    "files of their own.",
)  # fmt: skip

OPTIONS = ("size", "grey")
DATASETS = (
    Declaration(
        "folder", "benchmarks.training.datasets.folder:folder", RECIPE, at_path=True,
        options=OPTIONS,
    ),
)  # fmt: skip
