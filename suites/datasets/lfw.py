"""A folder with given pairs and folds, as LFW's."""

from __future__ import annotations

from . import folder
from .declaration import Declaration

OPTIONS = (*folder.OPTIONS, "train", "pairs")
DATASETS = (
    Declaration(
        "lfw", "benchmarks.training.datasets.lfw:lfw", folder.RECIPE, at_path=True,
        options=OPTIONS,
    ),
)  # fmt: skip
