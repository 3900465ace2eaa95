"""What a dataset declares of itself; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from suites.jobs import Settings

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


@dataclass(frozen=True)
class Declaration:
    """A dataset by its ``name``, and the recipe that it is trained by in the closed division.

    ``loader`` is a function as ``module:name``. It gives a `benchmarks.training.datasets.Dataset`,
    or as a mapping what one is made of: ``images`` (N x channels x height x width, float32 in
    [0, 1]), ``identities`` (N) and ``splits`` (rows by name), maybe ``pairs`` and ``facts``. It may
    lie in the declaring file if it imports torch itself. One ``at_path`` is called with what
    follows the colon in ``name:/path?option=1``, whose ``options`` may be given.

    ``title`` is what pages call it; ``epoch_s`` are the rough seconds of an epoch on one core,
    until one has been measured. ``missing_with`` names a dataset that needs the same files and is
    sooner loaded.
    """

    name: str
    loader: str
    recipe: Recipe
    title: str = ""
    epoch_s: float = 60.0
    at_path: bool = False
    options: tuple[str, ...] = ()
    missing_with: str = ""

    @property
    def written(self) -> str:
        """How it is named where it is asked for."""
        return f"{self.name}:/path" if self.at_path else self.name
