"""The sections of the trust page: what was asked for first, then each measurement."""

from __future__ import annotations

import math

from ... import units
from ...document import Block, Cell, Details, Section, Table, Text, Tone, table
from ...sections import machine_words
from ...sections.flat import flat
from . import drawings, others
from .coverage import Coverage
from .false_alarms import Alarms
from .findings import Findings, State, Target, short
from .power import ALL, Power
from .shares import percent

COMMAND = "python -m reports.gate.trust.page FOLDER"
_STATES: dict[State, tuple[str, Tone]] = {
    "met": ("✓ met", "good"),
    "missed": ("✗ missed", "bad"),
    "not measured": ("not measured", "quiet"),
}


def answer(found: Findings, targets: list[Target]) -> Section:
    text = (
        "A target is met by the share that was measured. Where the exact 95% bound of that share "
        "would not meet it, the bound stands beside it: it is what the trials leave open."
    )
    rows = [(t.name, t.asked, t.measured, Cell(_STATES[t.state][0], tone=_STATES[t.state][1]),
             t.open) for t in targets]  # fmt: skip
    columns = ("", "asked for", "measured", "", "left open")
    return Section("answer", "Asked for, and measured", [Text(text), table(columns, rows)])


def false_alarms(found: Findings) -> Section:
    alarms = found.alarms
    kinds = (("live", alarms.live), ("replayed", alarms.replayed),
             ("replayed, sides swapped by a coin", alarms.swapped))  # fmt: skip
    rows = [_alarm_row(kind, load, one) for kind, by_load in kinds for load, one in by_load.items()]
    columns = (
        "trials", "load", "verdicts", "any SLOWER or WRONG", "below, with 95% confidence",
        "any FASTER", "any INCONCLUSIVE or NOT MEASURED", "any flagged in the screen",
    )  # fmt: skip
    blocks: list[Block] = [Text(_ALARMS), table(columns, rows, numeric=columns[2:3])]
    if not alarms.replayed:
        blocks.append(Text("Nothing was replayed: that takes two whole unchanged trials under one "
                           "load.", "warning"))  # fmt: skip
    words = ("EQUIVALENT", "INCONCLUSIVE", "SLOWER", "FASTER", "WRONG", "NOT MEASURED")
    counts = [(kind, load, *(f"{one.cases.get(word, 0):,}" for word in words))
              for kind, by_load in kinds for load, one in by_load.items()]  # fmt: skip
    blocks.append(table(("trials", "load", *words), counts, "Verdicts of cases", numeric=words))
    blocks += [Text("What lasts as long as a process", "heading"), Text(_LASTS), _spreads(found)]
    return Section("false-alarms", "False alarms", [*blocks, drawings.tails(found)])


_ALARMS = (
    "Unchanged code: two worktrees of one commit, loaded under two names in one process. Replayed "
    "verdicts take their screen from one trial and their confirmations from another, stored groups "
    "in random order, and go through the gate's own rule and budget; what sets a process apart "
    "stays with it. They share raw groups, so their bound says how well the replay is known. "
    "Swapping base and candidate of each group by a coin takes away whatever lasts, and leaves the "
    "rule's own error."
)
_LASTS = (
    "The standard deviation between processes that the scatter of their groups does not explain, "
    "and that of groups inside a process, of the log-ratio. The rule tolerates a lasting "
    "difference of 0.5% by default. Neighbours: the correlation of a group with the next, which "
    "the replay's random order does away with."
)


def _alarm_row(kind: str, load: str, one: Alarms) -> tuple[Cell | str, ...]:
    tone: Tone = "bad" if one.slower.hits else "good" if one.slower.of else "quiet"
    slower = Cell(f"{one.slower.hits} ({percent(one.slower.value)})", tone=tone)
    rest = [f"{s.hits:,} ({percent(s.value)})" for s in (one.faster, one.inconclusive, one.flagged)]
    return (kind, load, f"{one.slower.of:,}", slower, percent(one.slower.upper), *rest)


def _spreads(found: Findings) -> Table:
    rows = [(short(s.case), s.load, str(s.processes), f"{s.groups:,}", _signed(s.mean),
             _plain(s.between), _plain(s.within), units.NOTHING if math.isnan(s.neighbours)
             else f"{s.neighbours:+.2f}") for s in found.alarms.spreads]  # fmt: skip
    columns = (
        "case",
        "load",
        "processes",
        "groups",
        "mean",
        "between processes",
        "within",
        "neighbours",
    )
    return table(columns, rows, "Of unchanged code", numeric=columns[2:])


def power(found: Findings) -> Section:
    columns = ("load", "put in", "case", "found", "share", "95% interval", "timed work, median",
               "95th percentile", "slow-down as it came out")  # fmt: skip
    numeric = ("found", "share", "timed work, median", "95th percentile")
    whole = [_power_row(p) for p in found.powers if p.case == ALL]
    each = [_power_row(p) for p in found.powers if p.case != ALL]
    text = (
        "Every case of the candidate has real extra work in every call, measured out in processor "
        "time. Found means SLOWER within 30 s of timed work, screen and confirmation together. The "
        "slow-down as it came out is the gate's estimate over all groups of all trials, with an "
        "interval that resamples trials. Verdicts of cases in one trial share a process. Evidence "
        "has to grow with the logarithm of the number of cases: a suite of 30 asks a fifth more of "
        "each than this one of five."
    )
    blocks: list[Block] = [Text(text)]
    if whole:
        blocks += [drawings.power(found), table(columns, whole, "All cases", numeric=numeric),
                   Details(f"Each case ({len(each)} rows)",
                           [table(columns, each, numeric=numeric)])]  # fmt: skip
    rows = [(short(d.case), d.load, str(d.verdicts), _effect(d.median), _effect(d.high))
            for d in found.detectable]  # fmt: skip
    caption = "Smallest slow-down that is found in 95% of runs, as the verdict of each case says"
    made = table(("case", "load", "verdicts", "median", "95th percentile"), rows, caption,
                 numeric=("verdicts", "median", "95th percentile"))  # fmt: skip
    return Section("power", "Power", [*blocks, made])


def _power_row(p: Power) -> tuple[str, ...]:
    estimate, low, high = p.realised
    realised = _signed(estimate - 1)
    if not math.isnan(low):
        realised += f" [{low - 1:+.2%}, {high - 1:+.2%}]"
    return (p.load, f"{p.fraction:.0%}", short(p.case) if p.case != ALL else ALL,
            f"{p.found.hits} of {p.found.of}", percent(p.found.value),
            f"{percent(p.found.low)} to {percent(p.found.high)}", units.time(p.seconds[0]),
            units.time(p.seconds[1]), realised)  # fmt: skip


def coverage(found: Findings) -> Section:
    text = (
        "Replayed: the groups of one slowed trial's case, moved as a whole to the estimate over "
        "all trials of that case, fraction and load, are the world; that estimate is the truth, "
        "and samples drawn from the world with replacement go through the gate's own rule to its "
        "own stop. Live: the truth of unchanged code is 1; of slowed code it is the same estimate. "
        "Extra work is measured out anew in each process, so the true ratio itself differs from "
        "trial to trial, which live coverage counts as misses."
    )
    rows = [_coverage_row(kind, one) for kind, many in (("live", found.coverages.live),
            ("replayed", found.coverages.replayed)) for one in many]  # fmt: skip
    columns = ("trials", "load", "put in", "intervals", "held", "95% interval", "all above",
               "all below", "width, median", "true ratios differ by")  # fmt: skip
    blocks: list[Block] = [Text(text)]
    if rows:
        blocks += [drawings.coverage(found), table(columns, rows, numeric=columns[3:])]
    note = (
        "All above: misses with the whole interval above the truth. True ratios differ by: "
        "standard deviation between processes, mean over cases, that scatter does not explain."
    )
    return Section("coverage", "Intervals", [*blocks, Text(note, "note")])


def _coverage_row(kind: str, one: Coverage) -> tuple[str, ...]:
    below = one.covered.of - one.covered.hits - one.above
    return (kind, one.load, f"{one.fraction:.0%}" if one.fraction else "none",
            f"{one.covered.of:,}", percent(one.covered.value),
            f"{percent(one.covered.low)} to {percent(one.covered.high)}", f"{one.above:,}",
            f"{below:,}", _plain(one.width),
            _plain(one.between) if kind == "live" else "0, by design")  # fmt: skip


def side_by_side(found: Findings) -> Section:
    blocks: list[Block] = [Text(_OTHERS), drawings.alarms(found), drawings.finds(found)]
    for load in found.trust.loads:
        fractions = (0.0, *found.trust.fractions(load))
        rows = []
        for (rule, series), own in found.judged.by("rule", "series").items():
            cells = []
            for fraction in fractions:
                one = own.first(load=load, fraction=fraction)
                cells.append("–" if one is None or not one.slower.of else percent(
                    1 - one.slower.value if fraction else one.slower.value))  # fmt: skip
            rows.append((Cell(rule, tone="strong" if rule == others.OURS else ""), series, *cells))
        columns = ("rule", "series",
                   *(f"missed at {f:.0%}" if f else "false alarms" for f in fractions))  # fmt: skip
        blocks.append(table(columns, rows, f"{load} machine", numeric=columns[2:]))
    halves = [f"{one.different.text()} ({one.load})" for one in found.halves]
    if halves:
        blocks.append(Text(
            "Of the base alone, the first half of its legs against its second: Mann and Whitney's "
            f"test at p < 0.01 calls them different in {'; '.join(halves)}. The same code, the "
            "same process: pooled samples are not exchangeable, which is what that test assumes."
        ))  # fmt: skip
    return Section("side-by-side", "Side by side with other rules", blocks)


_OTHERS = (
    "The rules of pytest-benchmark 5.3.1 (--benchmark-compare-fail) and asv 0.6.6 (asv compare), "
    "and a Mann-Whitney test (p < 0.01) on pooled samples, on the legs of each trial's screen. "
    f"{others.INTERLEAVED.capitalize()} legs flatter them; {others.IN_TURN}, the base's legs are "
    "those of the unchanged trial before. The gate's own verdicts are the live ones and may rest "
    "on a confirmation too. Misses are slowed cases that were not called slower."
)


def cheats(found: Findings) -> Section:
    text = "Each is planted into a candidate by the tests, but for what takes a GPU to plant."
    rows = [(c.name, c.what, Cell(c.outcome, tone="good"), c.how, Cell(c.where, code=True),
             Cell(c.plant, code=True)) for c in found.cheats]  # fmt: skip
    columns = ("cheat", "what it does", "outcome", "how", "where", "planted as")
    return Section("cheats", "Cheats", [Text(text), table(columns, rows)])


def provenance(found: Findings) -> Section:
    trust = found.trust
    rows = [(s["started_at"], Cell(s["commit"], code=True),
             Cell("dirty: uncommitted changes", tone="bad") if s["dirty"] else "clean",
             Cell(s["code"], code=True), str(s["seed"]), Cell(s["command"], code=True))
            for s in trust.sessions]  # fmt: skip
    columns = ("started", "commit", "tree", "code", "seed", "command")
    blocks: list[Block] = [table(columns, rows, "Sessions: one for each start of the trial")]
    seen = []
    for session in trust.sessions:
        if session["identity"] not in seen:
            seen.append(session["identity"])
            blocks.append(machine_words.identity(session["identity"], f"Machine {len(seen)}"))
    blocks += [Details(f"Circumstances of the session of {s['started_at']}",
                       [machine_words.state(s["information"])])
               for s in trust.sessions]  # fmt: skip
    blocks.append(Details("The rule's settings",
                          [table(("setting", ""), flat(trust.sessions[0]["rule"]))]))  # fmt: skip
    counts = [(load, f"{fraction:.0%}" if fraction else "none", str(len(trials)),
               units.time(sum(t.seconds for t in trials)),
               f"{max(t.load_average[-1] for t in trials):.1f}")
              for load in trust.loads for fraction in (0.0, *trust.fractions(load))
              if (trials := trust.of(load, fraction))]  # fmt: skip
    heads = ("load", "put in", "trials", "took together", "highest load average")
    blocks.append(table(heads, counts, "Trials", numeric=heads[2:]))
    blocks += [Text("The page is drawn again from the record, with the same bytes, by:"),
               Text(COMMAND, "code")]  # fmt: skip
    if trust.orphans:
        blocks.append(Text(f"{units.plural(trust.orphans, 'line')} of legs belong to a trial that "
                           "was ended early, and are left out.", "note"))  # fmt: skip
    return Section("provenance", "Provenance", blocks)


def _signed(value: float) -> str:
    return units.NOTHING if math.isnan(value) else f"{value:+.2%}"


def _plain(value: float) -> str:
    return units.NOTHING if math.isnan(value) else f"{value:.2%}"


def _effect(value: float) -> str:
    return f"{value:.2%}" if math.isfinite(value) else "none can be promised"
