"""The page of a loss: what it computes, which implementation to use, how it grows, whether it is
right, what its kernels compile to, what was not run, and code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from marginbench import catalogue
from marginbench.loss import Loss

from .. import document, units
from ..document import Block, Details, Document, Fact, Link, Links, Section, Text, table
from ..sections.context import slug
from ..sections.losses import definition
from . import snippets, static_facts, what_bounds
from .frame import FOOTER, loss_page
from .machines import Made
from .ranking import CRITERION, ranking

INLINE_BYTES = 1_100_000


def own_page_of(loss: str, machine: str) -> str:
    return f"losses/{slug(loss)}-on-{machine}.html"


def names(made: Sequence[Made]) -> list[str]:
    """Every loss that is declared or was measured."""
    return sorted({*catalogue.names(), *(loss for one in made for loss in one.losses)})


def documents(loss: str, made: Sequence[Made]) -> dict[str, Document]:
    """By path. Machines stand on the loss's page as long as their figures fit; each of the others
    has a page of its own."""
    declared = catalogue.get(loss) if loss in catalogue.names() else None
    measured = [one for one in made if loss in one.losses]
    inline: list[Made] = []
    apart: list[Made] = []
    taken = 0
    for one in measured:
        size = sum(len(f.svg) for s in one.losses[loss] for f in document.figures(s.blocks))
        fits = not inline or taken + size <= INLINE_BYTES
        (inline if fits else apart).append(one)
        taken += size if fits else 0
    found = {loss_page(loss): _document(loss, declared, inline, apart)}
    for one in apart:
        path = own_page_of(loss, one.summary.name)
        found[path] = _apart(loss, declared, one)
    return found


def title_of(loss: str, declared: Loss | None) -> str:
    return declared.title if declared else loss


def _document(
    loss: str, declared: Loss | None, inline: Sequence[Made], apart: Sequence[Made]
) -> Document:
    everyone = [*inline, *apart]
    sections = [Section("computes", "What it computes", _computes(loss, declared, everyone))]
    sections += _measured(loss, inline, _ranks(loss, everyone))
    if declared:
        compiled = static_facts.section(declared)
        sections.append(Section("compiled", "What the Triton kernels compile to", compiled))
        bounds = static_facts.bounds(declared)
        if bounds:
            sections.append(Section(what_bounds.NAME, what_bounds.TITLE, bounds))
        sections.append(Section("code", "Code to use it", _code(declared)))
    if apart:
        links = tuple(Link(one.summary.title, own_page_of(loss, one.summary.name)) for one in apart)
        sections.append(Section("machines", "On other machines", [Links(links)]))
    return Document(
        title=title_of(loss, declared),
        subtitle=f"{loss}: speed, memory, agreement, code",
        lead=_lead(loss, everyone),
        facts=_facts(loss, declared, everyone),
        notices=_notices(declared, everyone),
        sections=sections,
        footer=FOOTER,
    )


def _apart(loss: str, declared: Loss | None, one: Made) -> Document:
    return Document(
        title=title_of(loss, declared), subtitle=f"on {one.summary.title}", lead=_lead(loss, [one]),
        sections=list(_measured(loss, [one], [])), footer=FOOTER,
    )  # fmt: skip


def _measured(loss: str, made: Sequence[Made], ranks: Sequence[Block]) -> Iterator[Section]:
    """Section by section, what each machine says of it; ``ranks`` come first."""
    if not made:
        text = f"No committed run measured this loss: marginbench run --loss {loss}"
        yield Section("answer", "Which is fastest", [*ranks, Text(text)])
    for alike in zip(*(one.losses[loss] for one in made), strict=True):
        first = alike[0]
        blocks = list(ranks) if first.name == "answer" else []
        for one, section in zip(made, alike, strict=True):
            if section.empty:
                continue
            if len(made) > 1:
                said = f"{one.summary.title}, {one.summary.measured}"
                blocks.append(Text(said, "heading", anchor=f"{first.name}-{one.summary.name}"))
            blocks += section.blocks
        if blocks:
            yield Section(first.name, first.title, blocks)


def _lead(loss: str, made: Sequence[Made]) -> str:
    """Who to use on each device, by machine."""
    parts = []
    for one in made:
        for device in one.summary.devices:
            ranks = one.summary.ranks.where(loss=loss, device=device)
            if not ranks:
                continue
            first = ranks[0]
            said = f"{first.contender} ranks first on {device} ({one.summary.title})"
            if first.contender != "eager":
                said += f", {first.speed:.3g} times as fast as eager PyTorch"
            said += f", over {units.plural(first.cases, 'timed case')}"
            if first.rivals:
                said += f"; of the {first.rivals} with a rival it won {first.won} clearly"
            parts.append(said)
    if not parts:
        return "No committed run timed this loss, so there is no recommendation to give yet."
    return f"{'; '.join(parts)}. It varies by case: see below."


def _facts(loss: str, declared: Loss | None, made: Sequence[Made]) -> list[Fact]:
    variants = len(declared.variants) if declared else 0
    bests = [best for one in made for best in one.summary.bests.where(loss=loss)]
    timed = sum(best.answer.state != "nothing" for best in bests)
    facts = [Fact("Variants", str(variants)), Fact("Timed cases", f"{timed:,}")]
    facts += [Fact("Measured on", m.summary.title, m.summary.measured) for m in made]
    return facts


def _notices(declared: Loss | None, made: Sequence[Made]) -> list[Text]:
    found = []
    if declared is None:
        text = "Measured, and no longer declared in kernels/: there is no code to use it."
        found.append(Text(text, "warning"))
    for one in made:
        if one.summary.dirty:
            text = f"{one.summary.title}: measured with uncommitted changes in the tree."
            found.append(Text(text, "warning"))
    return found


def _computes(loss: str, declared: Loss | None, made: Sequence[Made]) -> list[Block]:
    if declared is None:
        return [Text(f"{loss} is in the records and not in kernels/.")]
    run = {b.case.variant for m in made for b in m.summary.bests.where(loss=loss)}
    blocks: list[Block] = [Text(f"Source: {declared.source}.")]
    first, *others = declared.variants
    blocks += definition(declared, first, not run or first.name in run)
    if others:
        rest = [b for v in others for b in definition(declared, v, not run or v.name in run)]
        blocks.append(Details(f"The other variants ({len(others)})", rest))
    return blocks


def _ranks(loss: str, made: Sequence[Made]) -> list[Block]:
    blocks: list[Block] = []
    for one in made:
        ranks = one.summary.ranks.where(loss=loss)
        if ranks:
            blocks.append(Text(f"Over all cases: {one.summary.title}", "heading"))
            blocks += ranking(ranks)
    return [Text(CRITERION, "note"), *blocks] if blocks else []


def _code(loss: Loss) -> list[Block]:
    found: Mapping[str, str] = snippets.chosen(loss)
    blocks: list[Block] = [Text(
        "This runs as it stands once the library is installed (pip install ./kernels); a test "
        "runs each example. implementation=\"eager\", \"tiled\", \"triton\" or \"reference\" "
        "names one implementation; without it the fastest is taken."
    )]  # fmt: skip
    for number, (name, text) in enumerate(found.items()):
        code: list[Block] = [Text(text, "code")]
        summary = f"{loss.name}/{name}"
        blocks.append(Details(summary, code, open=number == 0))
    rows = [(v.name, ", ".join(c.name for c in v.contenders), v.summary) for v in loss.variants]
    blocks.append(table(("variant", "contenders", "what it is"), rows))
    return blocks
