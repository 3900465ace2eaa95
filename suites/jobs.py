"""One training as plain data: what is trained, on what and how.

Nothing here needs torch. A job travels to another process and into a record (`Job.plain`), and
back (`Job.from_plain`): whoever has the record can train the same network again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .schema import TrainingResult


@dataclass(frozen=True)
class Anneal:
    """An option that falls with the steps: max(floor, base (1 + gamma t)^-power), where t runs to
    ``iterations`` over the whole training, however many steps that has; 0 iterations stand for
    as many as it has steps, so that t counts them (SphereFace 2017, appendix G, and its released
    solver)."""

    base: float
    gamma: float
    power: float
    floor: float
    iterations: int

    def __call__(self, progress: float, steps: int = 0) -> float:
        """The value when ``progress`` (0 to 1) of the ``steps`` are done."""
        t = progress * (self.iterations or steps)
        return max(self.floor, self.base * (1 + self.gamma * t) ** -self.power)


Option = float | int | str | Anneal


@dataclass(frozen=True)
class Term:
    """One loss in the sum that is minimised.

    ``variant`` is empty for the one that stands for the loss (its declared training, schedule and
    updates included). ``options`` replace the variant's by name, those of its update rule too
    (center's ``alpha``); an `Anneal` changes over the run. The term counts while the share of
    steps done is in [since, until).
    """

    loss: str
    variant: str = ""
    weight: float = 1.0
    options: tuple[tuple[str, Option], ...] = ()
    since: float = 0.0
    until: float = 1.0


@dataclass(frozen=True)
class Settings:
    """What every loss of a study shares. A step sees ``identities_per_batch`` x
    ``images_per_identity`` images, whichever sampler draws them.

    ``sampler`` is ``auto`` (P x K if a term takes a labelled batch, else shuffled), ``balanced``
    (P x K) or ``shuffled``. ``partners`` chooses the positives and negatives of terms that take
    explicit pairs or triplets: ``random``, or mined offline over the whole training set with the
    latest weights, every ``mine_every`` steps: ``offline-hard`` or ``offline-semi-hard``. The
    learning rate is multiplied by ``decay_factor`` after each share of the steps in ``decay_at``.
    ``autocast`` is empty or a half dtype. ``flip`` tests with the sum of an image's and its
    mirror's embedding. Metrics are taken every ``evaluate_every`` epochs and at the end, on at
    most ``evaluation_images`` of a split. ``threads`` is fixed because sums depend on it.
    """

    epochs: int
    backbone: str = "mlp"
    last_relu: bool = False
    dim: int = 64
    identities_per_batch: int = 5
    images_per_identity: int = 12
    sampler: str = "auto"
    partners: str = "random"
    mine_every: int = 50
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay_at: tuple[float, ...] = (2 / 3,)
    decay_factor: float = 0.1
    autocast: str = ""
    flip: bool = False
    evaluate_every: int = 1
    evaluation_images: int = 10_000
    threads: int = 1

    @property
    def batch(self) -> int:
        return self.identities_per_batch * self.images_per_identity


@dataclass(frozen=True)
class Job:
    """One training. ``study`` is what it belongs to (``training`` of the bench, ``closed`` or
    ``open`` division, ``search``, ``claims/NAME``), ``arm`` what differs inside the study; with
    the dataset, the contender, the device and the seed they name it. ``dataset`` is a name that
    `benchmarks.training.datasets.load` takes; ``validation`` trains on a part of the training
    identities and tests on the others, so that a search never sees the test identities.
    """

    study: str
    arm: str
    terms: tuple[Term, ...]
    dataset: str
    seed: int
    settings: Settings
    contender: str = "eager"
    device: str = "cpu"
    validation: bool = False

    @property
    def name(self) -> str:
        parts = (self.study, self.arm, self.contender, self.dataset, self.device)
        return "/".join((*parts, f"s{self.seed}"))

    @property
    def loss(self) -> str:
        return "+".join(dict.fromkeys(term.loss for term in self.terms))

    def plain(self) -> dict[str, Any]:
        """Dictionaries, lists, texts and numbers only: what JSON takes."""
        fields = asdict(self)
        fields["settings"]["decay_at"] = list(self.settings.decay_at)
        fields["terms"] = [
            {
                **asdict(term),
                "options": {
                    name: asdict(value) if isinstance(value, Anneal) else value
                    for name, value in term.options
                },
            }
            for term in self.terms
        ]
        return fields

    @classmethod
    def from_plain(cls, fields: Mapping[str, Any]) -> Job:
        """The job that `plain` wrote down; raises TypeError for a field that is not known."""
        settings = dict(fields["settings"])
        settings["decay_at"] = tuple(settings["decay_at"])
        terms = tuple(
            Term(**{**term, "options": tuple((k, _option(v)) for k, v in term["options"].items())})
            for term in fields["terms"]
        )
        return cls(**{**fields, "settings": Settings(**settings), "terms": terms})


def _option(value: Any) -> Option:
    return Anneal(**value) if isinstance(value, Mapping) else value


def at_fault(dataset: str) -> str:
    """What a reason begins with that holds for every training on the dataset: it is damaged."""
    return f"dataset {dataset}: "


@dataclass(frozen=True)
class Underway:
    """A training that has done ``epoch`` of ``epochs``: its ``result`` so far, with the status
    ``running``, and what is known of its dataset."""

    result: TrainingResult
    epoch: int
    epochs: int
    facts: Mapping[str, Any] = field(default_factory=dict)


# Hears of a training before its first epoch and after each.
Report = Callable[[Underway], None]
