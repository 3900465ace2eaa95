"""Fashion-MNIST."""

from __future__ import annotations

from suites.jobs import Settings

from .declaration import DROPS, Declaration, Recipe

RECIPE = Recipe(
    Settings(
        4, "resnet", dim=64, identities_per_batch=5, images_per_identity=24, decay_at=DROPS,
        evaluate_every=2,
    ),
    "30,000 images of five classes four times over, 120 a step, all five classes in each: a "
    "thousand steps, a minute on one core. LeNet++ is ten times as slow on a CPU and is kept for "
    "the claims that need its two dimensions.",
    searched=(3, 40),
)  # fmt: skip
_LOADERS = "benchmarks.training.datasets.fashion"
DATASETS = (
    Declaration("fashion", f"{_LOADERS}:fashion", RECIPE, "Fashion-MNIST", epoch_s=20.0),
    Declaration("fashion-closed", f"{_LOADERS}:fashion_closed", RECIPE, "Fashion-MNIST"),
)
