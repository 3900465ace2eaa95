"""What the README says of the records and the declarations, written into it by a command.

    python -m reports.headlines            is README.md what the records say?
    python -m reports.headlines --write    make it so

Two blocks are made: "headlines", three figures of the committed records with their machine and
date, and "losses", the table of losses and implementations.

Exit codes: 0 it is as it should be, or was written; 1 it is out of date; 2 bad usage; 3 a record or
a loss that it needs can't be read, or README.md can't be read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.module_commands import run
from benchmarks.records.loading import RecordError
from marginbench import catalogue
from marginbench.loss import Loss

from . import markdown_blocks, units
from .comparison import main_pass, ratio
from .markdown_blocks import table
from .overview import machine
from .paths import PUBLISHED, ROOT
from .quality import judging
from .quality.reading import read
from .reading import Measured, Records, load
from .site import sources
from .site.sources import Published

README = ROOT / "README.md"
PROGRAM = "python -m reports.headlines"
OURS = ("reference", "eager", "compiled", "tiled", "triton")
PEER = "pytorch-metric-learning"
HARD = "speed/triplet/batch-hard/B512-D128-C128/float32/cpu/drawn/s0"
ALL = "speed/triplet/batch-all/B512-D128-C128/float32/cpu/drawn/s0"
MANY_CLASSES = "speed/softmax/linear/B512-D128-C100000/float32/cpu/drawn/s0"


@dataclass(frozen=True)
class Headline:
    """``figure`` by itself, ``text`` that says of what, ``where`` it was measured."""

    figure: str
    text: str
    where: str


@dataclass(frozen=True)
class Run:
    """A published run of the suites, with its folder's name."""

    name: str
    records: Records

    @property
    def measured(self) -> str:
        return self.records.sessions[-1].started_at[:10]

    @property
    def where(self) -> str:
        return f"{machine(self.records)}; {self.measured}"

    def case(self, name: str) -> Measured | None:
        return next((one for one in self.records.cases if one.case.id == name), None)


def newest(runs: Sequence[Run], name: str) -> tuple[Run, Measured]:
    """The case as it was measured last; raises RecordError where no run has it."""
    found = [(run, case) for run in runs if (case := run.case(name)) is not None]
    if not found:
        raise RecordError(f"headlines: expected a committed record of {name}; there is none")
    return max(found, key=lambda one: one[0].measured)


def speed(runs: Sequence[Run]) -> Headline:
    """Eager triplet against pytorch-metric-learning's."""
    run, hard = newest(runs, HARD)
    whole = run.case(ALL)
    if whole is None:
        raise RecordError(f"headlines: expected {ALL} in {run.name}; it is not there")
    ratios = []
    for measured in (hard, whole):
        times = ratio(measured, main_pass(measured), PEER, "eager")
        if times is None:
            raise RecordError(f"headlines: {measured.case.id}: eager or {PEER} was not timed")
        ratios.append((units.digits3(times.estimate), units.bounds(times)))
    (few, few_within), (many, many_within) = ratios
    case = hard.case
    text = (
        f"as fast as {PEER}: our eager triplet loss, batch-hard {few_within} and batch-all "
        f"{many_within} (95% intervals), forward and backward on a CPU (B={case.batch}, "
        f"D={case.dim}, {case.dtype})"
    )
    return Headline(f"{few}× and {many}×", text, run.where)


def memory(runs: Sequence[Run]) -> Headline:
    """Tiled softmax against eager."""
    run, measured = newest(runs, MANY_CLASSES)
    peaks = {}
    for name in ("tiled", "eager"):
        found = measured.value(name, "peak_bytes")
        if found is None:
            raise RecordError(f"headlines: {MANY_CLASSES}: {name} has no peak_bytes")
        peaks[name] = units.size(found)
    case = measured.case
    text = (
        f"peak memory beyond the inputs, gradients included: tiled against eager softmax with "
        f"{case.classes:,} classes (B={case.batch}, D={case.dim}, {case.dtype})"
    )
    return Headline(f"{peaks['tiled']} instead of {peaks['eager']}", text, run.where)


def claims(published: Published) -> Headline:
    """How many of the papers' claims were reproduced, in the run that trained most for them."""
    best: tuple[int, Headline] | None = None
    for folder in published.quality:
        found = read(folder.path)
        tried = [one for one in judging.judge(found) if one.trainings]
        count = sum(len(one.trainings) for one in tried)
        if not tried or (best and best[0] >= count):
            continue
        outcomes = [one.verdict.outcome for one in tried]
        machines = dict.fromkeys(t.provenance.machine for t in found.trainings)
        text = (
            f"claims of the papers reproduced in {count:,} trainings of small networks; "
            f"{outcomes.count('not reproduced')} not reproduced, "
            f"{outcomes.count('inconclusive')} inconclusive"
        )
        where = f"{' and '.join(machines)}; {found.records.sessions[-1].started_at[:10]}"
        figure = f"{outcomes.count('reproduced')} of {len(tried)}"
        best = count, Headline(figure, text, where)
    if best is None:
        raise RecordError("headlines: expected a committed training of a claim; there is none")
    return best[1]


def headlines(published: Published) -> str:
    """The block of figures."""
    runs = [Run(one.name, load(one.records)) for one in published.machines]
    rows = [
        (f"**{one.figure}**", one.text, one.where)
        for one in (speed(runs), memory(runs), claims(published))
    ]
    made = table(("", "what", "machine; date"), rows)
    timed = {case.case.device for run in runs for case in run.records.cases}
    if "cuda" not in timed:
        made += (
            "\n\nNo GPU has been measured yet, so nothing here says how fast the Triton kernels "
            "are. They are checked against the reference in Triton's interpreter."
        )
    return made


def losses() -> str:
    """The block of losses and implementations; raises BrokenLoss where one would be missing."""
    rows = []
    for loss in catalogue.complete():
        ours, peers = implementations(loss)
        variants = ", ".join(variant.name for variant in loss.variants)
        name = f"[{loss.title}](docs/losses/{loss.name}.md)"
        rows.append((name, variants, ", ".join(ours), ", ".join(peers) or units.NOTHING))
    return table(("loss", "variants", "implementations", "compared with"), rows)


def implementations(loss: Loss) -> tuple[list[str], list[str]]:
    """The names of ours, in their usual order, and of other libraries'."""
    names = {c.name: None for variant in loss.variants for c in variant.contenders}
    return [name for name in OURS if name in names], [name for name in names if name not in OURS]


def filled(text: str, published: Path = PUBLISHED) -> str:
    """The README's text with both blocks as they should be."""
    made: dict[str, Callable[[], str]] = {
        "headlines": lambda: headlines(sources.find(published)), "losses": losses,
    }  # fmt: skip
    for name, make in made.items():
        text = markdown_blocks.put(text, name, make())
    return text


def main(words: Sequence[str]) -> int:
    def wanted() -> markdown_blocks.Wanted:
        return {README: filled(README.read_text(encoding="utf-8"))}

    return markdown_blocks.command(PROGRAM, __doc__, words, wanted)


if __name__ == "__main__":
    run(main)
