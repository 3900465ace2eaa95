"""Reads a paper's training from its TOML file, checks it, and makes a job of it.

Each setting is a table of ``value``, ``status`` (V read in the paper or its authors' scripts, V2
in another place, REPO in released code that may differ from the paper) and ``source``; or its
value is "not stated". A ``note`` says what a training here makes of it, or of its absence.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marginbench import catalogue
from suites.jobs import Anneal, Job, Option, Settings, Term

FOLDER = Path(__file__).parent
NOT_STATED = "not stated"
STATUSES = ("V", "V2", "REPO")
# Settings that a job has a place for; all others are reported by `limits`.
_OPTIONS = {"margin": "margin", "lambda": "weight", "alpha": "alpha", "m": "m"}
_FIELDS = {
    "embedding_dim": "dim",
    "learning_rate": "learning_rate",
    "momentum": "momentum",
    "weight_decay": "weight_decay",
    "decay_factor": "decay_factor",
    "last_relu": "last_relu",
}
_DECLARED = ("loss", "variant")
_SIZES = ("batch", "identities_per_batch", "images_per_identity", "iterations",
          "decay_at_iterations", "optimiser", "annealing", "unit_embeddings",
          "flip_test")  # fmt: skip
_REPORTED = ("network", "preprocessing", "image_size", "data", "test", "distance", "decay",
             "gradient", "bias")  # fmt: skip
KNOWN = (*_OPTIONS, *_FIELDS, *_DECLARED, *_SIZES, *_REPORTED)
OPTIMISERS = ("sgd", "adam")
IMAGES_PER_IDENTITY = 4


@dataclass(frozen=True)
class Setting:
    """One value of a paper's training; ``status`` is empty for what is not stated."""

    value: Any
    status: str = ""
    source: str = ""
    note: str = ""

    @property
    def stated(self) -> bool:
        return self.value != NOT_STATED


@dataclass(frozen=True)
class Recipe:
    name: str
    title: str
    paper: str
    settings: Mapping[str, Setting]

    def value(self, name: str, otherwise: Any = None) -> Any:
        """The stated value, else ``otherwise``."""
        setting = self.settings.get(name)
        return setting.value if setting and setting.stated else otherwise


def recipes(folder: Path = FOLDER) -> list[Recipe]:
    """All recipes by name. Raises ValueError for a file that breaks the rules."""
    return [read(path) for path in sorted(folder.glob("*.toml"))]


def get(name: str) -> Recipe:
    """The recipe of that name; raises KeyError with the names that there are."""
    known = [path.stem for path in sorted(FOLDER.glob("*.toml"))]
    if name not in known:
        raise KeyError(f"recipe: expected one of {', '.join(known)}; got {name!r}")
    return read(FOLDER / f"{name}.toml")


def read(path: Path) -> Recipe:
    """One file, checked; ValueError names the setting that is wrong."""
    with path.open("rb") as file:
        fields = tomllib.load(file)
    if fields.get("name") != path.stem:
        raise ValueError(f"name: expected {path.stem}, the file's; got {fields.get('name')!r}")
    settings = {name: _setting(name, given) for name, given in fields["settings"].items()}
    for name in _DECLARED:
        if name not in settings or not settings[name].stated:
            raise ValueError(f"{path.stem}: expected a {name}; got none")
    return Recipe(fields["name"], fields["title"], fields["paper"], settings)


def _setting(name: str, given: Mapping[str, Any]) -> Setting:
    if name not in KNOWN:
        raise ValueError(f"setting: expected one of {', '.join(KNOWN)}; got {name!r}")
    found = Setting(**given)
    if found.stated and (found.status not in STATUSES or not found.source):
        raise ValueError(
            f"{name}: expected a status of {', '.join(STATUSES)} and a source; "
            f"got {found.status!r} and {found.source!r}"
        )
    if not found.stated and (found.status or found.source):
        raise ValueError(f"{name}: expected neither status nor source for what is not stated")
    return found


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _batch(recipe: Recipe) -> tuple[int, int]:
    """Identities and images of each in a step."""
    images = recipe.value("images_per_identity", IMAGES_PER_IDENTITY)
    batch = recipe.value("batch", Settings(1).batch)
    return recipe.value("identities_per_batch", max(1, batch // images)), images


def job(
    recipe: Recipe,
    dataset: str,
    images: int,
    *,
    backbone: str = "resnet",
    seed: int = 0,
    device: str = "cpu",
    epochs: int = 10,
) -> Job:
    """The paper's training on ``dataset``, as far as a job can say it; `limits` says what is
    missing. ``images`` is the size of its training split: iterations become epochs by it
    (rounded up); ``epochs`` is taken where no iterations are stated. Raises ValueError for
    ``images`` below 1."""
    if images < 1:
        raise ValueError(f"images: expected 1 or more; got {images}")
    given: dict[str, Any] = {
        field: recipe.value(name) for name, field in _FIELDS.items()
        if recipe.value(name) is not None
    }  # fmt: skip
    identities, each = _batch(recipe)
    iterations = recipe.value("iterations")
    if iterations:
        epochs = math.ceil(iterations * identities * each / images)
        decays = recipe.value("decay_at_iterations", ())
        given["decay_at"] = tuple(step / iterations for step in decays)
    if recipe.value("optimiser") is not None:
        stated = recipe.value("optimiser")
        given["optimiser"] = stated if stated in OPTIMISERS else "sgd"
        if stated not in OPTIMISERS:
            given["momentum"] = 0.0
    settings = Settings(
        epochs, backbone=backbone, identities_per_batch=identities, images_per_identity=each,
        flip=bool(recipe.value("flip_test", False)), evaluate_every=epochs, **given,
    )  # fmt: skip
    return Job(f"recipes/{recipe.name}", recipe.name, (_term(recipe),), dataset, seed, settings,
               device=device)  # fmt: skip


def _term(recipe: Recipe) -> Term:
    options: list[tuple[str, Option]] = [
        (option, recipe.value(name)) for name, option in _OPTIONS.items()
        if _numeric(recipe.value(name))
    ]  # fmt: skip
    annealing = recipe.value("annealing")
    if annealing is not None:
        options.append(("annealing", Anneal(**annealing)))
    unit = recipe.value("unit_embeddings")
    if unit is not None:
        options.append(("unit_embeddings", int(unit)))
    return Term(recipe.value("loss"), recipe.value("variant"), options=tuple(options))


def limits(recipe: Recipe) -> list[str]:
    """What of the training a job can't say or the paper does not state, a sentence each."""
    found = []
    for name, setting in recipe.settings.items():
        if not setting.stated:
            note = f" ({setting.note})" if setting.note else ""
            found.append(f"{name}: not stated{note}; {_default(recipe, name)}")
        elif name == "decay":
            stands_in = (
                "the rate stays as it is"
                if recipe.value("iterations")
                else ("a tenth of the rate after two thirds of the steps stands in")
            )
            found.append(f"decay: {setting.value}; a job has no place for it, {stands_in}")
        elif name in _REPORTED:
            found.append(f"{name}: {setting.value}; a job has no place for it")
        elif name in _OPTIONS and not _numeric(setting.value):
            found.append(f"{name}: {setting.value}; the variant's own margin stands in")
        elif name == "optimiser" and setting.value not in OPTIMISERS:
            found.append(f"optimiser: {setting.value}; SGD without momentum stands in")
        elif name == "flip_test":
            found.append("flip_test: the two embeddings are concatenated; ours are added")
    return found + _made_up(recipe)


def _default(recipe: Recipe, name: str) -> str:
    if name == "annealing":  # a term that names its variant has no schedule but its own
        value = catalogue.get(recipe.value("loss")).variant(recipe.value("variant"))
        start = value.options["annealing"]
        return f"the variant's own stands in: lambda = {start:g} from the first step on"
    return "the job's default stands in"


def _made_up(recipe: Recipe) -> list[str]:
    """How the batch falls to identities, where the paper does not say it or says more."""
    identities, each = _batch(recipe)
    if not {"batch", "identities_per_batch"} & set(recipe.settings):
        return []
    if "images_per_identity" not in recipe.settings:
        return [f"batch: made up as {identities} x {each}; drawn by shuffling"]
    if "identities_per_batch" in recipe.settings:
        return []
    note = recipe.settings["images_per_identity"].note
    return [f"batch: made up as {identities} x {each}{note and ', '}{note}"]
