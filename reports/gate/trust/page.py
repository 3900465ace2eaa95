"""Builds the page of the gate's trial from its record: ``index.html``, the same tables in
``report.md``, the figures in ``summary.json`` and ``figures/*.svg``. The same record gives the same
bytes.

``python -m reports.gate.trust.page FOLDER`` does it for a folder that holds trust.jsonl or
trust.jsonl.xz.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from benchmarks.records import kinds

from ... import output, units
from ...document import Document, Fact, Text
from ...style import Styles
from . import false_alarms as alarming
from . import sections, trials
from .findings import INTERVALS, REPLAYS, WANTED, Findings, Target, findings, targets
from .shares import Share, percent
from .trials import Trust

SUMMARY = "summary.json"
NOTES = "Intervals of shares are exact (Clopper and Pearson), 95%."
_FOOTER = (
    f"{NOTES} The same tables are in report.md, the figures in {SUMMARY}, every leg in trust.jsonl."
)


def build(
    folder: Path, out: Path | None = None, *, replays: int = REPLAYS, intervals: int = INTERVALS,
    report: Callable[[float, float, str], None] = lambda *_: None,
) -> Path:  # fmt: skip
    """Writes the page into ``out``, by default beside the record, and returns its path.

    ``replays``: whole-suite verdicts to replay; ``intervals``: trials to replay for coverage;
    ``report``: as of `findings`.
    Raises `benchmarks.records.loading.RecordError` where the record is missing or damaged, and
    `benchmarks.records.folders.Refused` where the folder is another command's; nothing is written
    then. Each file is replaced as a whole or not at all.
    """
    trust = trials.read(trials.find(folder))
    found = findings(trust, replays=replays, intervals=intervals, report=report)
    beside = {SUMMARY: summary_json(found)}
    return output.write(out or folder, kinds.TRIAL, document(found), Styles(()), beside)


def document(found: Findings) -> Document:
    """The whole page as data."""
    reached = targets(found)
    return Document(
        title="MarginBench: the gate on trial",
        subtitle=_subtitle(found.trust),
        lead=_lead(reached),
        facts=_facts(found),
        notices=_notices(found.trust),
        sections=(
            sections.answer(found, reached),
            sections.false_alarms(found),
            sections.power(found),
            sections.coverage(found),
            sections.side_by_side(found),
            sections.cheats(found),
            sections.provenance(found),
        ),
        footer=_FOOTER,
    )


def _subtitle(trust: Trust) -> str:
    first, last = trust.trials[0].at, trust.trials[-1].at
    cpus = dict.fromkeys(f"{s['identity']['cpu']}, {s['identity']['cores']} cores"
                         for s in trust.sessions)  # fmt: skip
    return f"{' and '.join(cpus)}, {first} to {last}"


def _lead(reached: list[Target]) -> str:
    met = sum(target.state == "met" for target in reached)
    parts = [f"{t.name.lower()}: {t.measured}" for t in reached if t.share is not None]
    others = [f"{t.name.lower()} ({t.state})" for t in reached if t.state != "met"]
    text = f"Of {len(reached)} targets {met} are met. As measured, {'; '.join(parts)}."
    return text + (f" Not reached: {', '.join(others)}." if others else "")


def _facts(found: Findings) -> list[Fact]:
    trust = found.trust
    unchanged = sum(not trial.fraction for trial in trust.trials)
    slower = alarming.total(found.alarms.live)
    facts = [
        Fact("unchanged code", f"{unchanged:,} verdicts", f"{slower.hits} false alarms"),
        Fact("slowed code", f"{len(trust.trials) - unchanged:,} verdicts",
             f"of {len(trust.cases)} cases each"),
    ]  # fmt: skip
    for load, fraction in WANTED:
        facts += [Fact(f"{fraction:.0%} slower, {load}", percent(whole.found.value),
                       f"found, of {whole.found.of:,}")
                  for whole in found.power_of(load, fraction)[:1]]  # fmt: skip
    return facts


def _notices(trust: Trust) -> list[Text]:
    found = []
    if any(session["dirty"] for session in trust.sessions):
        found.append("The tree held changes that are not committed when trials were run.")
    if len({session["code"] for session in trust.sessions}) > 1:
        found.append("Trials were run with more than one state of the code.")
    if len({json.dumps(s["identity"], sort_keys=True) for s in trust.sessions}) > 1:
        found.append("Trials were run on more than one machine, or with more than one set of "
                     "versions.")  # fmt: skip
    unsound = {(trial.id, case): verdict for trial in trust.trials
               for case, verdict in trial.verdicts.items()
               if verdict["verdict"] in ("WRONG", "NOT MEASURED")}  # fmt: skip
    if unsound:
        (trial, case), verdict = next(iter(unsound.items()))
        found.append(f"{units.plural(len(unsound), 'verdict')} of a case: WRONG or NOT MEASURED, "
                     f"such as {case} in {trial}: {verdict['reason']}")  # fmt: skip
    return [Text(text, "warning") for text in found]


def summary_json(found: Findings) -> str:
    """Every figure of the page as JSON; what is infinite or unknown is null."""
    whole = {
        "schema_version": 1,
        "targets": _plain(targets(found)),
        "false_alarms": _plain(found.alarms),
        "power": _plain(found.powers),
        "detectable": _plain(found.detectable),
        "coverage": _plain(found.coverages),
        "side_by_side": _plain(found.judged),
        "halves": _plain(found.halves),
        "cheats": _plain(found.cheats),
        "trials": len(found.trust.trials),
        "rule": asdict(found.trust.rule),
        "sessions": list(found.trust.sessions),
    }
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Share):
        return value.plain()
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
