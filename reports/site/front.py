"""The first page: which loss, which implementation, on which machine; then what newcomers ask."""

from __future__ import annotations

from collections.abc import Sequence

from marginbench import catalogue

from .. import units
from ..document import Block, Cell, Document, Fact, Link, Links, Section, Text, table
from ..rows import Rows
from . import answers
from .frame import FOOTER, GATE_PAGE, REPRODUCE, SHARED, loss_page, machine_page, quality_page
from .machines import Made
from .others import Trained, Trial
from .ranking import CRITERION, span
from .sources import Published
from .summaries import Rank

DEVICES = ("cpu", "cuda")


def document(
    published: Published, made: Sequence[Made], trained: Sequence[Trained],
    trials: Sequence[Trial], losses: Sequence[str],
) -> Document:  # fmt: skip
    sections = [
        Section("which", "Which implementation", _implementations(made, losses)),
        *answers.sections(made),
        Section("losses", "Which loss", _losses(trained)),
        Section("machines", "Machines", _machines(published, made)),
        Section("gate", "The gate", _gate(trials)),
    ]
    return Document(
        title="MarginBench",
        subtitle="losses of face recognition and deep metric learning: speed, memory, correctness "
        "and training quality",
        lead=_lead(made, trained),
        facts=_facts(made, trained),
        notices=_notices(made),
        sections=sections,
        footer=FOOTER,
    )


def _lead(made: Sequence[Made], trained: Sequence[Trained]) -> str:
    cases = sum(one.summary.cases for one in made)
    if not cases:
        return "No run of the suites is published yet, so there is no implementation to recommend."
    passed = sum(one.summary.results[0] for one in made)
    failed = sum(one.summary.results[1] for one in made)
    text = _fastest(made) + (
        f"{units.plural(cases, 'case')} on {units.plural(len(made), 'machine')}: {passed:,} "
        f"results passed, {failed:,} failed."
    )
    if trained:
        # Of runs that compare losses the last; what claims came to stands further down.
        last = ([one for one in trained if one.compares] or trained)[-1]
        text += f" Training: {last.lead}"
    return text


def _fastest(made: Sequence[Made]) -> str:
    """Who is first for which losses, on each device: by the machine that was measured last."""
    parts = []
    for device in DEVICES:
        there = [one for one in made if device in one.summary.devices]
        if not there:
            continue
        last = max(there, key=lambda one: (one.summary.measured, len(one.summary.ranks)))
        by_loss = last.summary.ranks.where(device=device).by("loss")
        first = Rows(ranks[0] for ranks in by_loss.values())
        # First by its mean, but ahead in no case: that names nobody.
        names = first.by(lambda rank: rank.contender if rank.won else "no clear winner")
        said = "; ".join(f"{name} for {', '.join(won.each('loss'))}" for name, won in names.items())
        if said:
            where = f"{last.summary.title}, {last.summary.measured}"
            parts.append(f"Fastest on {device} by the mean over cases ({where}): {said}. ")
    return "".join(parts)


def _facts(made: Sequence[Made], trained: Sequence[Trained]) -> list[Fact]:
    facts = [Fact("Losses", str(len(catalogue.names())))]
    for one in made:
        where = ", ".join(one.summary.devices) or "nothing timed"
        facts.append(Fact(one.summary.title, where, one.summary.measured))
    if trained:
        days = sorted({one.started for one in trained})
        when = " to ".join(dict.fromkeys((days[0], days[-1])))
        facts.append(Fact("Runs of trained networks", str(len(trained)), when))
    return facts


def _notices(made: Sequence[Made]) -> list[Text]:
    found = []
    for one in made:
        if one.summary.dirty:
            found.append(f"{one.summary.title}: measured with uncommitted changes in the tree.")
        if not one.summary.finished:
            found.append(f"{one.summary.title}: the run was stopped before its end.")
    if made and not any("cuda" in one.summary.devices for one in made):
        found.append("No GPU has been measured yet: nothing here says how fast a Triton kernel is.")
    return [Text(text, "warning") for text in found]


def _implementations(made: Sequence[Made], losses: Sequence[str]) -> list[Block]:
    devices = [d for d in DEVICES if any(d in one.summary.devices for one in made)]
    rows = []
    for loss in losses:
        for device in devices:
            for one in made:
                ranks = one.summary.ranks.where(loss=loss, device=device)
                if ranks:
                    rows.append((Cell(loss, href=loss_page(loss)), device, *_first(ranks),
                                 _memory(one, loss, device), _machine(one)))  # fmt: skip
    if not rows:
        return [Text("Nothing was timed beside eager PyTorch in any committed run.")]
    columns = ("loss", "device", "first by the mean", "speed relative to eager",
               "won, of cases with a rival", "then", "least memory", "machine, date")  # fmt: skip
    return [table(columns, rows, "First place by loss and machine"), Text(CRITERION, "note")]


def _first(ranks: Rows[Rank]) -> tuple[Cell | str, ...]:
    first, rest = ranks[0], ranks[1:4]
    then = ", ".join(
        f"{rank.contender} {rank.speed:.3g}×"
        + ("" if rank.ranked else f" (in {rank.cases} of {first.cases})")
        for rank in rest
    )
    name = Cell(first.contender, tone="strong", mark=first.contender)
    speed = f"{first.speed:.3g}×" + (f" ({span(first)})" if span(first) else "")
    return name, speed, f"{first.won} of {first.rivals}", then or units.NOTHING


def _memory(one: Made, loss: str, device: str) -> Cell:
    """Who takes the least in the most cases."""
    cases = one.summary.bests.where(lambda best: len(best.peaks) > 1, loss=loss, device=device)
    if not cases:
        return Cell(units.NOTHING)
    least = cases.by(lambda best: best.peaks[0][0])
    name = max(sorted(least), key=lambda contender: len(least[contender]))
    return Cell(f"{name} in {len(least[name])} of {len(cases)}", mark=name)


def _machine(one: Made) -> Cell:
    text = f"{one.summary.title}, {one.summary.measured}"
    return Cell(text, href=machine_page(one.summary.name))


def _losses(trained: Sequence[Trained]) -> list[Block]:
    if not trained:
        return [Text(
            "Which loss gives the best embeddings can't be answered yet, for want of a committed "
            "record of training quality: marginbench quality run --full"
        )]  # fmt: skip
    blocks: list[Block] = []
    for one in trained:
        blocks.append(Text(f"{one.title}: {one.machine}, {one.started}", "heading"))
        blocks += one.answer
        blocks.append(Links((Link("all of it", quality_page(one.name)),)))
    return blocks


def _machines(published: Published, made: Sequence[Made]) -> list[Block]:
    rows = [
        (_machine(one), one.summary.about, ", ".join(one.summary.devices) or "nothing timed",
         one.summary.preset, f"{one.summary.cases:,}", *(f"{n:,}" for n in one.summary.results),
         Cell(one.summary.commit[:12] or "unknown", code=True))
        for one in made
    ]  # fmt: skip
    columns = ("machine", "what it is", "timed on", "preset", "cases", "passed", "failed",
               "not run", "commit")  # fmt: skip
    if not rows:
        return [Text("No run of the suites is published yet: marginbench run --rigorous")]
    return [table(columns, rows, numeric=columns[4:8])]


def _gate(trials: Sequence[Trial]) -> list[Block]:
    if not trials:
        return [Text("The gate's own trial is not published yet: marginbench gate-trust")]
    parts = []
    for one in trials:
        met = sum(t.state == "met" for t in one.targets)
        parts.append(f"{met} of {len(one.targets)} targets met on {one.title}, {one.measured}")
    text = "Whether the regression gate can be trusted was measured too: "
    return [
        Text(text + "; ".join(parts) + "."),
        Links((Link("the gate's trial", GATE_PAGE), Link("how to reproduce", REPRODUCE))),
    ]


def losses_document(
    names: Sequence[str], made: Sequence[Made] = (), also: Sequence[Link] = ()
) -> Document:
    """The losses, a row each; ``also``: pages of what was measured of several of them."""
    rows = []
    timed = {
        name: ", ".join(f"{one.summary.title}, {one.summary.measured}" for one in made
                        if name in one.losses)
        for name in names
    }  # fmt: skip
    for name in names:
        known = catalogue.get(name) if name in catalogue.names() else None
        title = known.title if known else "measured, and no longer declared"
        variants = ", ".join(v.name for v in known.variants) if known else units.NOTHING
        source = known.source if known else units.NOTHING
        rows.append((Cell(name, href=loss_page(name)), title, variants, source,
                     timed[name] or "not measured yet"))  # fmt: skip
    failed = [
        Text(f"kernels/marginbench/{one.name} can't be imported: {one.reason}", "warning")
        for one in catalogue.failures()
    ]
    blocks: list[Block] = [table(("loss", "title", "variants", "source", "measured on"), rows)]
    shared = Link("kernels that several of these compile alike", SHARED)
    blocks.append(Links((*also, shared), "Of several of these:"))
    return Document(
        title="The losses", subtitle="each with its definition, figures and code",
        lead=f"{len(names)} losses, each with its equation, source, implementations and example "
             f"code. Speed and errors of {sum(map(bool, timed.values()))} of them are in a "
             "committed record.",
        notices=failed, sections=[Section("all", "All losses", blocks)],
    )  # fmt: skip
