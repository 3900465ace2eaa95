"""The open division: each loss tuned by the same small search, on validation identities only.

Optuna's TPE proposes, one trial after the other, from a fixed seed: given the same results in the
same order it proposes the same trials, so a search that was stopped goes on where it was. Needs
no torch; optuna is imported when a search begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from marginbench import catalogue
from marginbench.loss import Range

from ..jobs import Anneal, Job, Option, Settings, Term
from ..schema import TrainingResult
from .recipes import recipe

OBJECTIVE = "map_at_r"
# Trials before the first that is proposed from what was found; the declared recipe among them.
STARTUP = 5
LEARNING_RATE = "learning_rate"
_DECADES = 10.0


@dataclass(frozen=True)
class Trial:
    """``value`` is the validation MAP@R: 0 where the training diverged, None where it was not
    run. ``drawn`` is empty for the first trial, which is the declared recipe itself."""

    drawn: Mapping[str, float]
    value: float | None


class Search:
    """A search for one loss on one dataset.

    ``ask()`` gives the next trial's job, and the same one until ``tell`` has its result; None
    when ``trials`` of them are done. ``jobs()`` are then the open division's trainings with what
    was found. Trial 0 is the declared recipe, so that what is found is at least as good on
    validation; of equal ones the first is taken. Every trial starts from the network and the
    batches of ``seed``, which should be none of ``seeds``.
    """

    def __init__(
        self,
        dataset: str,
        loss: str,
        trials: int,
        seeds: Sequence[int],
        *,
        seed: int = 0,
        device: str = "cpu",
        contender: str = "eager",
        settings: Settings | None = None,
    ) -> None:
        if trials < 1:
            raise _input_error("trials", "at least 1", trials)
        found = recipe(dataset)
        self.dataset, self.loss, self.trials, self.seeds = dataset, loss, trials, tuple(seeds)
        self.seed, self.device, self.contender = seed, device, contender
        self.settings = settings or found.settings
        self.search_settings = settings or found.search_settings
        self.variant = standing_variant(loss)
        self.space = space(loss, self.settings)
        self.finished: list[Trial] = []
        self._pending: tuple[Any, Job, Mapping[str, float]] | None = None
        self._study = _study(seed)
        self._study.enqueue_trial(declared(loss, self.settings))

    def ask(self) -> Job | None:
        if self._pending is None and len(self.finished) < self.trials:
            trial = self._study.ask(_distributions(self.space))
            drawn = dict(trial.params) if self.finished else {}
            self._pending = (trial, self._job(len(self.finished), drawn), drawn)
        return self._pending[1] if self._pending else None

    def tell(self, result: TrainingResult) -> None:
        """Raises InputError for a result that is not of the trial that was asked for."""
        job = self.ask()
        if job is None or self._pending is None or result.name != job.name:
            expected = repr(job.name) if job else "none: the search is over"
            raise _input_error("result", expected, repr(result.name))
        from optuna.trial import TrialState

        trial, _, drawn = self._pending
        value = None if result.status == "not_run" else result.metrics.get(OBJECTIVE) or 0.0
        if value is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, value)
        self.finished.append(Trial(drawn, value))
        self._pending = None

    @property
    def best(self) -> Trial:
        """The best so far; the declared recipe where nothing has finished or has run."""
        ran = [trial for trial in self.finished if trial.value is not None]
        return max(ran, key=lambda trial: trial.value or 0.0, default=Trial({}, None))

    def jobs(self) -> list[Job]:
        """The open division's trainings, from each of ``seeds``, with the best so far."""
        term, settings = tuned(self.loss, self.best.drawn, self.settings)
        arm = f"{self.loss}/{self.variant}"
        return [
            Job("open", arm, (term,), self.dataset, seed, settings, self.contender, self.device)
            for seed in self.seeds
        ]

    def _job(self, number: int, drawn: Mapping[str, float]) -> Job:
        term, settings = tuned(self.loss, drawn, self.search_settings)
        return Job(
            "search", f"{self.loss}/{self.variant}/t{number:02d}", (term,), self.dataset,
            self.seed, settings, self.contender, self.device, validation=True,
        )  # fmt: skip

    def description(self) -> dict[str, Any]:
        """The stated budget and space, and what was found, in plain values."""
        return {
            "method": f"Optuna TPE, seed {self.seed}, {self.trials} trials one after the other, "
            f"the declared recipe first, {min(STARTUP, self.trials)} of them before it learns",
            "objective": f"{OBJECTIVE} on identities set apart from the training identities",
            "space": {
                name: {"low": r.low, "high": r.high, "log": r.log} for name, r in self.space.items()
            },
            "declared": declared(self.loss, self.settings),
            "found": dict(self.best.drawn),
            "values": [trial.value for trial in self.finished],
        }


def _input_error(argument: str, expected: str, got: object) -> ValueError:
    # Imported here because it brings torch, which planning does without.
    from marginbench.checks import InputError

    return InputError(argument, expected, got)


def _study(seed: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _distributions(ranges: Mapping[str, Range]) -> dict[str, Any]:
    from optuna.distributions import FloatDistribution

    return {name: FloatDistribution(r.low, r.high, log=r.log) for name, r in ranges.items()}


def standing_variant(loss: str) -> str:
    """The variant that stands for a loss; ``none`` if it has nothing to train with."""
    training = catalogue.get(loss).effective_training()
    return training.variant if training else "none"


def space(loss: str, settings: Settings) -> dict[str, Range]:
    """What is searched: the learning rate within a decade of the recipe's either way, and what
    the loss declares."""
    training = catalogue.get(loss).effective_training()
    rate = settings.learning_rate
    around = Range(rate / _DECADES, rate * _DECADES, log=True)
    return {LEARNING_RATE: around, **(training.search if training else {})}


def declared(loss: str, settings: Settings) -> dict[str, float]:
    """The value of everything that is searched as the recipe has it; of an option that falls,
    where it ends."""
    found = catalogue.get(loss)
    training = found.effective_training()
    values: dict[str, Any] = {LEARNING_RATE: settings.learning_rate}
    if training is None:
        return values
    options: dict[str, Any] = {}
    for name in (*training.updates.values(), training.variant):
        options |= found.variant(name).options
    if training.schedule:
        options |= training.schedule(math.inf)
    return values | {name: float(options[name]) for name in training.search}


def tuned(loss: str, drawn: Mapping[str, float], settings: Settings) -> tuple[Term, Settings]:
    """The loss and the settings with what was drawn; as declared where nothing was."""
    ranges = space(loss, settings)
    options = tuple(
        (name, _option(value, ranges[name]))
        for name, value in drawn.items()
        if name != LEARNING_RATE
    )
    rate = drawn.get(LEARNING_RATE, settings.learning_rate)
    return Term(loss, options=options), replace(settings, learning_rate=rate)


def _option(value: float, of: Range) -> Option:
    if of.falling is None:
        return value
    falling = of.falling
    return Anneal(falling["base"], falling["gamma"], falling["power"], value, iterations=0)
