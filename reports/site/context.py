"""Where pages lie on the site, as paths from its root, and what sections are given there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..reading import Measured, Records
from ..sections.context import Context, slug


def loss_page(loss: str) -> str:
    return f"losses/{slug(loss)}.html"


def machine_page(name: str) -> str:
    return f"machines/{name}.html"


def quality_page(name: str) -> str:
    return f"quality/{name}.html"


def relative(target: str, page: str) -> str:
    """The address of ``target`` as ``page`` writes it; both are paths from the site's root."""
    if target.startswith(("#", "..")):
        return target
    if page.count("/") and page.rpartition("/")[0] == target.partition("#")[0].rpartition("/")[0]:
        return target.rpartition("/")[2]
    return "../" * page.count("/") + target


@dataclass(frozen=True)
class SiteContext(Context):
    """``numbers``: each case's number in its whole run, so that a part of the run's cases is named
    as the whole is."""

    numbers: Mapping[str, int] = field(default_factory=dict)

    def anchor(self, measured: Measured) -> str:
        return f"case-{self.numbers[measured.case.id]}"

    def of_loss(self, loss: str) -> SiteContext:
        cases = tuple(m for m in self.records.cases if m.case.loss == loss)
        trainings = tuple(t for t in self.records.trainings if t.loss == loss)
        return replace(self, records=_part(self.records, cases, trainings))


def _part(records: Records, cases: tuple, trainings: tuple) -> Records:
    """Of a run, these cases; what it planned of other losses is none of theirs."""
    losses = {measured.case.loss for measured in cases}
    planned = tuple(name for name in records.planned if _loss(name) in losses)
    return replace(records, cases=cases, trainings=trainings, planned=planned)


def _loss(case_id: str) -> str:
    """A case's id is suite/loss/variant/..."""
    parts = case_id.split("/")
    return parts[1] if len(parts) > 2 else ""
