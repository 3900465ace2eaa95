"""10. The losses: what each name means here, and where the definition comes from.

Read from the declarations, which come before reports in the house; a loss in the records that is
declared no longer is named, and so is a folder that can't be imported.
"""

from __future__ import annotations

from marginbench import catalogue
from marginbench.loss import Loss, Variant

from ..document import Block, Cell, Details, Section, Text, table
from ..equations import equation
from ..reading import Records
from .context import Context, mark, slug
from .place import Place

TITLE = "The losses"


def section(context: Context) -> Section:
    blocks: list[Block] = []
    for name, reason in failed_folders(context.records).items():
        text = f"The folder kernels/marginbench/{name} could not be imported: {reason}"
        blocks.append(Text(text, kind="warning"))
    measured = set(context.losses()) | {one.loss for one in context.records.trainings}
    for loss in catalogue.losses():
        blocks += _loss(context, loss, loss.name in measured)
    for name in sorted(measured - set(catalogue.names())):
        blocks.append(Text(name, kind="heading", anchor=f"loss-{slug(name)}"))
        blocks.append(Text("Measured in this run, and no longer declared in kernels/."))
    return Section("losses", TITLE, blocks)


def failed_folders(records: Records) -> dict[str, str]:
    """By name, why each could not be imported: now, or when the run was measured."""
    failed = {failure.name: failure.reason for failure in catalogue.failures()}
    for session in records.sessions:
        then = session.information.get("failed_losses")
        if isinstance(then, dict):
            failed = {**{str(name): str(reason) for name, reason in then.items()}, **failed}
    return dict(sorted(failed.items()))


def _loss(context: Context, loss: Loss, measured: bool) -> list[Block]:
    blocks: list[Block] = [
        Text(loss.title, kind="heading", anchor=f"loss-{slug(loss.name)}"),
        Text(f"{loss.name}. Source: {loss.source}."),
    ]
    if not measured:
        blocks.append(Text("Declared, and not part of this run.", kind="note"))
    run = context.records.cases.where(loss=loss.name).each("variant")
    for variant in loss.variants:
        blocks += definition(loss, variant, not measured or variant.name in run)
    return blocks


def definition(loss: Loss, variant: Variant, run: bool) -> list[Block]:
    """A variant in its own words: what it computes, its equation, its source, who computes it."""
    options = ", ".join(f"{key}={value}" for key, value in variant.options.items())
    facts = [f"Source: {variant.source}.", f"Definition version {variant.version}."]
    if options:
        facts.append(f"Options: {options}.")
    if not run:
        facts.append("Not part of this run.")
    rows: list[tuple[Cell | str, ...]] = []
    for contender in variant.contenders:
        needs = ", ".join(contender.needs) or "nothing more"
        rows.append((mark(contender.name), needs, contender.note))
    for name, reason in variant.excused.items():
        rows.append((Cell(name), "not offered", Cell(reason, tone="quiet")))
    contenders = table(("contender", "needs", "note"), rows)
    return [
        Text(f"{loss.name}/{variant.name}: {variant.summary}", kind="label"),
        equation(variant.equation),
        Text(" ".join(facts), kind="note"),
        Details(f"Contenders of {loss.name}/{variant.name}", [contenders]),
    ]


PLACES = (Place(110, section, "report", weight=5),)
