"""scikit-learn's digits."""

from __future__ import annotations

from suites.jobs import Settings

from .declaration import DROPS, Declaration, Recipe

RECIPE = Recipe(
    Settings(
        20, "mlp", dim=64, identities_per_batch=5, images_per_identity=12, decay_at=DROPS,
        evaluate_every=2,
    ),
    "8 x 8 pixels ask for no convolution; all five trained identities are in every batch, and 20 "
    "epochs are past where the losses stop moving. It shows that everything works: five identities "
    "are too few to carry over to new ones.",
    searched=(3, 20),
)  # fmt: skip
_LOADERS = "benchmarks.training.datasets.embedded"
DATASETS = (
    Declaration("digits", f"{_LOADERS}:digits", RECIPE, "digits", epoch_s=0.1),
    Declaration("digits-closed", f"{_LOADERS}:digits_closed", RECIPE, "digits", epoch_s=0.1),
)
