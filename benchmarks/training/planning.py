"""What a quality run trains, from what was asked for.

What is named is run, and nothing beside it: naming a dataset, a loss or a division asks for their
tables, naming a claim for that claim; without a name it is everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from marginbench.catalogue import UnknownName
from suites.jobs import Job
from suites.schema import TrainingResult


@dataclass(frozen=True)
class Asked:
    """The options of ``marginbench quality run`` that choose what is trained."""

    full: bool = False
    division: str = ""
    datasets: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    seeds: int = 0
    seed: int = 0
    device: str = "cpu"
    contender: str = "eager"
    only: str = ""

    @property
    def preset(self) -> str:
        return "quality-full" if self.full else "quality"


class Search(Protocol):
    """A search by ask and tell: it is asked for one trial at a time, and given its result."""

    def ask(self) -> Job | None:
        """The next trial; None when the search is over."""

    def tell(self, result: TrainingResult) -> None: ...

    def jobs(self) -> list[Job]:
        """The trainings with what was found, once it is over; before that under the same names,
        with settings that may still change."""

    trials: int  # that it asks for in all


@dataclass(frozen=True)
class Plan:
    """``jobs`` can be trained at once; ``searches`` make theirs as they go, of which those named
    in ``kept`` are trained (None: all)."""

    jobs: list[Job]
    searches: list[Search] = field(default_factory=list)
    kept: frozenset[str] | None = None

    def found_by(self, search: Search) -> list[Job]:
        """What is trained with what a search found."""
        return [job for job in search.jobs() if self.kept is None or job.name in self.kept]

    @property
    def names(self) -> list[str]:
        later = [job.name for search in self.searches for job in self.found_by(search)]
        return [job.name for job in self.jobs] + later

    @property
    def total(self) -> int:
        return len(self.names) + sum(search.trials for search in self.searches)


def plan(asked: Asked) -> Plan:
    """Raises UnknownName for a loss or a claim that is not there, and ValueError for a dataset
    that is not, or where ``only`` names none of the trainings."""
    named = bool(asked.datasets or asked.losses or asked.division)
    jobs: list[Job] = []
    searches: list[Search] = []
    if named or not asked.claims:
        jobs, searches = _tables(asked)
    if asked.claims or not named:
        jobs += _claims(asked)
    return _narrowed(Plan(jobs, searches), asked.only)


def _tables(asked: Asked) -> tuple[list[Job], list[Search]]:
    from suites.quality import protocol
    from suites.quality.recipes import SIZES

    size, losses = SIZES[asked.preset], asked.losses or None
    division = asked.division or "closed"
    jobs: list[Job] = []
    searches: list[Search] = []
    for dataset in asked.datasets or size.datasets:
        if division in ("closed", "both"):
            jobs += protocol.closed(
                dataset, _seeds(asked), asked.device, losses, contender=asked.contender
            )
        if division in ("open", "both"):
            searches += protocol.searches(
                dataset, _seeds(asked), size.trials, asked.device, losses,
                contender=asked.contender,
            )  # fmt: skip
    return jobs, searches


def _claims(asked: Asked) -> list[Job]:
    from suites.claims import catalogue
    from suites.quality.recipes import SIZES

    known = {claim.name: claim for claim in catalogue.claims()}
    for name in asked.claims:
        if name not in known:
            raise UnknownName("--claim", name, list(known))
    chosen = [known[name] for name in asked.claims] or list(known.values())
    form = SIZES[asked.preset].claims
    return [
        replace(job, contender=asked.contender)
        for claim in chosen
        for job in claim.jobs(form, _seeds(asked), asked.device)
    ]


def _seeds(asked: Asked) -> range:
    from suites.quality.recipes import SIZES

    count = asked.seeds or SIZES[asked.preset].seeds
    return range(asked.seed, asked.seed + count)


def _narrowed(found: Plan, only: str) -> Plan:
    """The training of that name, or else those whose name holds it; a search stays where one of
    its trainings does."""
    if not only:
        return found
    names = [name for name in found.names if name == only]
    names = names or [name for name in found.names if only in name]
    if not names:
        raise ValueError(f"--only: expected a part of a training's name; got {only!r}, which is in "
                         f"none of {len(found.names)}")  # fmt: skip
    kept = frozenset(names)
    jobs = [job for job in found.jobs if job.name in kept]
    searches = [one for one in found.searches if any(job.name in kept for job in one.jobs())]
    return Plan(jobs, searches, kept)
