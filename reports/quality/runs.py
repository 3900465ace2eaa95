"""Every training with its log and its command; what was not run; what it all was made on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.records.loading import Training
from benchmarks.records.record_files import PACKED
from suites.schema import TRAINING_WORDS

from .. import units
from ..document import Block, Cell, Details, Section, Text, table
from ..sections import machine_words
from ..sections.flat import flat
from .divisions import outcome
from .reading import Quality

FEW = 12
# Settings whose names begin so describe the data, the same for all trainings of a dataset.
_FACTS = ("dataset", "manifest", "data", "images", "preprocess", "split")


def section(quality: Quality) -> Section:
    """The row of each training, which every table links to."""
    if not quality.trainings:
        return Section("runs", "Runs", [Text("No network was trained in this run.")])
    rows, anchors = [], []
    for one in quality.trainings:
        logged = ", ".join(f"{key} {value}" for key, value in sorted(one.mlflow.items()))
        rows.append((Cell(one.name, code=True), outcome([one]),
                     Cell(logged or "not logged", code=bool(logged)),
                     Cell(command(quality, one), code=True)))  # fmt: skip
        anchors.append(quality.anchor(one))
    text = (
        "The record has everything needed to repeat each training. The command does so and prints "
        "the new figures beside the old. On the same machine and versions a CPU gives the same "
        "numbers bit for bit. make installs the command; . .venv/bin/activate puts it on the "
        "path. Paths are relative to the root of the clone, or to the folder of this page where "
        f"the record file is named without a folder. {_mlflow(quality)}"
    )
    columns = ("training", "outcome", "MLflow", "command to train it again")
    return Section("runs", "Runs", [Text(text), table(columns, rows, anchors=anchors)])


def _mlflow(quality: Quality) -> str:
    """How MLflow's side is opened; what is published has it as files."""
    where = Path(quality.where)
    if where.name != PACKED:
        return "MLflow's runs open with: make ui."
    words = ["marginbench", "quality", "import", str(where.parent / "mlflow"), "--store"]
    return ("MLflow's runs are beside the record as files; import them into a store with: "
            f"{shlex.join(words)} sqlite:////path/mlflow.db")  # fmt: skip


def command(quality: Quality, training: Training) -> str:
    """What to type to train this network again."""
    return shlex.join(["marginbench", "quality", "again", quality.where, training.name])


def missing(quality: Quality) -> Section:
    """What was not run, what diverged, what was planned and never reached: each with its why."""
    failed = [one for one in quality.trainings if one.status != "ok"]
    left = quality.records.missing
    if not failed and not left:
        text = "Every planned training completed."
        return Section("missing", "Not run, and diverged", [Text(text)])
    blocks: list[Block] = []
    if failed:
        rows = [(Cell(one.name, href=quality.link(one)), TRAINING_WORDS[one.status], one.reason)
                for one in failed]  # fmt: skip
        blocks.append(table(("training", "", "why"), rows))
    if left:
        unreached = [(Cell(name, code=True), "the run was stopped before it") for name in left]
        made = table(("training", "why"), unreached)
        title = f"Planned and not reached ({len(left)})"
        blocks.append(Details(title, [made], open=len(left) <= FEW))
    return Section("missing", "Not run, and diverged", blocks)


def provenance(quality: Quality) -> Section:
    """Machine, versions, commit; what the data were."""
    blocks: list[Block] = [machine_words.began(quality.records.sessions)]
    blocks.append(machine_words.protection(quality.records.protected))
    for number, identity in enumerate(quality.records.machines, start=1):
        blocks.append(machine_words.identity(identity, f"Machine {number}"))
    blocks += _circumstances(quality)
    blocks += _data(quality.trainings)
    return Section("provenance", "Provenance", blocks)


def _circumstances(quality: Quality) -> list[Block]:
    blocks: list[Block] = [*machine_words.circumstances(quality.records.sessions)]
    made_by: dict[tuple, int] = {}
    for one in quality.trainings:
        p = one.provenance
        key = (p.machine, p.commit, "dirty" if p.dirty else "clean",
               ", ".join(f"{n} {v}" for n, v in sorted(p.versions.items())))  # fmt: skip
        made_by[key] = made_by.get(key, 0) + 1
    rows = [(*key[:1], Cell(key[1] or "unknown", code=True), *key[2:], f"{count:,}")
            for key, count in made_by.items()]  # fmt: skip
    columns = ("machine", "commit", "tree", "versions", "trainings")
    if rows:
        caption = "Machine, commit and versions of the trainings"
        blocks.append(table(columns, rows, caption, numeric=("trainings",)))
    return blocks


def _data(trainings: Sequence[Training]) -> list[Block]:
    """Facts of each dataset, once where its trainings agree."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in trainings:
        about = found.setdefault(one.dataset, {})
        for key, value in flat(_facts(one.settings)):
            values = about.setdefault(key, [])
            if value not in values:
                values.append(value)
    blocks: list[Block] = []
    for dataset, about in found.items():
        rows = [(key, value) for key, values in about.items() for value in values]
        if rows:
            count = units.plural(len(rows), "fact")
            made = table(("", "as it was read"), rows)
            blocks.append(Details(f"Dataset {dataset}: {count}", [made], open=len(rows) <= FEW))
    return blocks


def _facts(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name.startswith(_FACTS)}
