"""The top of the page: what was found in a sentence, on what, and what to be wary of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from . import units
from .agreement import failures
from .comparison import Answer, answer
from .document import Document, Fact, Text
from .reading import Measured, Records
from .sections import all_sections
from .sections.context import Context
from .sections.losses import failed_folders

TITLE = "MarginBench"
FIGURES = (
    "Intervals are 95%. Times are medians over interleaved rounds, to three significant digits. "
    "Bytes are in binary units (1 MiB = 1,048,576 bytes)."
)
_FOOTER = (
    f"{FIGURES} The same tables are in report.md, every result in results.csv, the raw rounds in "
    "records.jsonl."
)


def document(
    context: Context, report: Callable[[float, float, str], None] = lambda *_: None
) -> Document:
    """The whole report as data; ``report`` as of `all_sections`."""
    return Document(
        title=TITLE,
        subtitle=_subtitle(context.records),
        lead=lead(context.records),
        facts=facts(context.records),
        notices=notices(context),
        sections=all_sections(context, report),
        footer=_FOOTER,
    )


def machine(records: Records) -> str:
    """Each machine's name as the records have it."""
    names = records.everything.each(lambda one: one.provenance.machine)
    if not names:
        values = [str(v) for v in records.machines[0].values()] if records.machines else []
        return ", ".join(values[:2]) or "unknown machine"
    return " and ".join(names)


def _subtitle(records: Records) -> str:
    session = records.sessions[-1]
    what = "Losses of face recognition and deep metric learning"
    return f"{what}: speed, memory and agreement, preset {session.preset}"


def lead(records: Records) -> str:
    """The answer in two or three sentences."""
    answers = [(m, one) for m in records.cases if (one := answer(m)).state != "nothing"]
    if not answers:
        return "Nothing was timed in this run, so there is no ranking yet."
    wins = Counter(one.leaders[0] for _, one in answers if one.state == "winner")
    total = len(answers)
    parts = [f"{name} in {number}" for name, number in wins.most_common()]
    rest = Counter(one.state for _, one in answers)
    if rest["unclear"]:
        short = sum(one.is_short_of_rounds for _, one in answers)
        why = f" ({short} of them with too few rounds)" if short else ""
        parts.append(f"no clear winner in {rest['unclear']}{why}")
    if rest["alone"]:
        parts.append(f"nothing to compare with in {rest['alone']}")
    sentence = f"Fastest, of {units.plural(total, 'timed case')}: {'; '.join(parts)}."
    return " ".join((sentence, *_largest(answers)))


def _largest(answers: list[tuple[Measured, Answer]]) -> list[str]:
    """The widest margin over eager that is clear."""
    ahead = [
        (one.margin.low, measured, one)
        for measured, one in answers
        if one.state == "winner" and one.against == "eager" and one.margin and one.margin.low
    ]
    if not ahead:
        return []
    _, measured, one = max(ahead, key=lambda entry: entry[0])
    case = measured.case
    return [
        f"The widest margin over eager: {one.leaders[0]} on {case.loss}/{case.variant} "
        f"({measured.size}), {units.speed(one.margin)}."
    ]


def facts(records: Records) -> list[Fact]:
    """What was measured, how much of it passed, on what and when."""
    statuses = Counter(one.status for one in records.everything)
    ran = records.results.but(status="not_run").each("id")
    planned = {name for name in records.planned if not name.startswith("training/")}
    planned |= {m.case.id for m in records.cases}
    session = records.sessions[-1]
    commit = session.commit[:12] or "unknown"
    return [
        Fact("Cases measured", f"{len(ran):,}", f"of {len(planned):,}"),
        Fact("Results passed", f"{statuses['ok']:,}"),
        Fact("Results failed", f"{statuses['worse']:,}", "outside the error bound"),
        Fact("Results not run", f"{statuses['not_run']:,}", "each with its reason"),
        Fact("Networks trained", f"{len(records.trainings.but(status='not_run')):,}"),
        Fact("Machine", machine(records)),
        Fact("Measured", session.started_at[:10]),
        Fact("Commit", commit, "dirty" if session.dirty else "clean"),
    ]


def notices(context: Context) -> list[Text]:
    """What to be wary of."""
    records = context.records
    found = []
    if not records.finished:
        done = len(records.planned) - len(records.missing)
        text = f"Incomplete run: it was stopped after {done:,} of {len(records.planned):,} cases."
        found.append(Text(f"{text} Complete it with: {context.resume}", kind="warning"))
    if any(session.dirty for session in records.sessions):
        text = (
            "Measured with uncommitted changes in the tree: the commit does not identify what was "
            "measured, so nobody else can reproduce it."
        )
        found.append(Text(text, kind="warning"))
    if len(records.machines) > 1:
        text = (
            f"The run was measured on {len(records.machines)} machines. Times are compared only "
            "within one machine; each case names its own."
        )
        found.append(Text(text, kind="warning"))
    commits = dict.fromkeys(session.commit for session in records.sessions)
    if len(commits) > 1:
        text = f"The run was measured at {len(commits)} commits: {', '.join(commits)}."
        found.append(Text(text, kind="warning"))
    for name in failed_folders(records):
        text = f"kernels/marginbench/{name} could not be imported, so nothing of it was measured."
        found.append(Text(text, kind="warning"))
    failed = len(failures(records)) + len(records.trainings.where(status="worse"))
    if failed:
        text = f"{units.plural(failed, 'result')} ran and failed: see Agreement and Training."
        found.append(Text(text, kind="warning"))
    return found
