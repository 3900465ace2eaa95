"""Every command that writes into a folder that its user names, with stand-ins for all that takes
long: what is measured, trained, drawn and asked of MLflow."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import quality_fakes
import synthetic_quality
import synthetic_run
from click.testing import CliRunner

from benchmarks import gpu_session
from benchmarks.gate import timing, trees, trust
from benchmarks.gate.decision import Judgement, Sample
from benchmarks.gate.timing import CaseRun, Timed
from benchmarks.gpu.session import Session
from benchmarks.instruments import machine
from benchmarks.records import files, kinds
from benchmarks.records.journal import Journal
from benchmarks.records.kinds import KEY, Kind
from benchmarks.run import session
from benchmarks.training import datasets, planning, running, tracking
from benchmarks.training.journal import Journal as QualityJournal
from benchmarks.training.tracking import Outcome
from commands.root import cli
from suites.interval import Interval

CASE = "agreement/softmax/linear/B2-D2-C2/float32/cpu/drawn/s0"
RECIPE = ("quality", "recipe", "hermans2017", "--dataset", "digits", "--no-mlflow", "--out", "{}")
LOSSES = (("triplet", "batch-hard", "batch", ((256, 64, 32), (512, 64, 32))),)


@dataclass(frozen=True)
class Writer:
    """``words`` of the command line, in which {} is the folder; a bare module's begin with -m.
    ``made`` is what it makes of a new folder (None: it goes on with one, or draws in it);
    ``takes``: the writers whose folders it takes as they left them."""

    words: Sequence[str]
    made: Kind | None = None
    takes: Sequence[str] = ()
    option: str = "--out"


# By the command and its parameter, as the command line declares them.
WRITERS: Mapping[tuple[str, str], Writer] = {
    ("run", "out"): Writer(("run", "--case", CASE, "--out", "{}"), kinds.RUN),
    ("run", "resume"): Writer(("run", "--resume", "{}"), takes=("run",), option="--resume"),
    ("report", "run_dir"): Writer(("report", "{}"), takes=("run", "gpu"), option="RUN_DIR"),
    ("compare", "out"): Writer(
        ("compare", "RUN", "--contender", "eager", "--contender", "compiled", "--out", "{}"),
        kinds.COMPARISON, ("compare",),
    ),
    ("history", "out"): Writer(("history", "RUN", "--out", "{}"), kinds.HISTORY, ("history",)),
    ("gate", "out"): Writer(("gate", "--timed", "--suite", "smoke", "--out", "{}"), kinds.GATE),
    ("gate-trust", "out"): Writer(("gate-trust", "--out", "{}"), kinds.TRIAL, ("gate-trust",)),
    ("publish", "out"): Writer(("publish", "--records", "STORE", "--out", "{}"), kinds.SITE,
                               ("publish",)),
    ("quality run", "out"): Writer(("quality", "run", "--out", "{}"), kinds.QUALITY),
    ("quality run", "resume"): Writer(("quality", "run", "--resume", "{}"), option="--resume",
                                      takes=("quality run",)),
    ("quality recipe", "out"): Writer(RECIPE, kinds.QUALITY, ("quality recipe",)),
    ("quality report", "run_dir"): Writer(
        ("quality", "report", "{}"), option="RUN_DIR",
        takes=("quality run", "quality recipe", "quality publish"),
    ),
    ("quality sync", "run_dir"): Writer(
        ("quality", "sync", "{}"), option="RUN_DIR",
        takes=("quality run", "quality recipe", "quality publish"),
    ),
    ("quality export", "target"): Writer(("quality", "export", "QUALITY", "{}"), kinds.EXPORT,
                                         ("quality export",), "TARGET"),
    ("quality publish", "target"): Writer(("quality", "publish", "QUALITY", "{}"), kinds.QUALITY,
                                          ("quality publish",), "TARGET"),
    ("gpu", "out"): Writer(("-m", "--out", "{}"), kinds.GPU, ("gpu",)),
}  # fmt: skip
# What these name is read; where a command writes then, it does by its own default.
READERS = {
    ("compare", "files"), ("compare", "base"), ("compare", "candidate"), ("gate", "show"),
    ("history", "folders"), ("publish", "records"), ("verify", "folders"),
    ("quality again", "records"), ("quality export", "run_dir"), ("quality import", "source"),
    ("quality publish", "run_dir"), ("quality ui", "run_dir"),
}  # fmt: skip
# Commands that name no folder: they print, or write files of their own in the clone.
WITHOUT = {"check-log", "doctor", "list", "sanitize", "static", "quality list", "which"}
MAKERS = {command: writer for (command, _), writer in WRITERS.items() if writer.made}


# What the stand-ins were asked for: a refusal comes before any of it.
WORK: list[str] = []


@dataclass
class Said:
    code: int
    output: str
    worked: Sequence[str] = ()


@dataclass
class Bench:
    """Where commands run, with what they read: RUN, QUALITY and STORE of their words."""

    root: Path
    places: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        run = synthetic_run.write(self.root / "a-run", run_lines())
        quality = synthetic_quality.write(self.root / "a-quality-run", quality_lines())
        synthetic_run.write(self.root / "store" / "box", run_lines())
        self.places = {"RUN": run, "QUALITY": quality, "STORE": self.root / "store"}

    def call(self, writer: Writer, folder: str) -> Said:
        WORK.clear()
        words = [str(self.places.get(word, word)).format(folder) for word in writer.words]
        if words[0] != "-m":
            done = CliRunner().invoke(cli, words)
            unexpected = done.exception and not isinstance(done.exception, SystemExit)
            assert not unexpected, done.exception
            return Said(done.exit_code, done.output, tuple(WORK))
        output = io.StringIO()
        with (
            contextlib.redirect_stdout(output), contextlib.redirect_stderr(output),
            pytest.MonkeyPatch.context() as patch,
        ):  # fmt: skip
            patch.setattr(machine, "missing", lambda need: None)
            try:
                code = gpu_session.main(words[1:])
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Said(code, output.getvalue(), tuple(WORK))


def run_lines() -> list[Any]:
    maker = synthetic_run.Maker(rounds=3, losses=LOSSES, agreement_shapes=((37, 19, 7),))
    first, *rest = maker.lines()
    return [replace(first, command=f"marginbench run --case {CASE}"), *rest]


def quality_lines(command: str = "marginbench quality run") -> list[Any]:
    maker = synthetic_quality.Maker()
    first, *rest = maker.lines([maker.training("closed", "softmax/linear", 0, 0.5)])
    return [replace(first, command=command), *rest]


def stand_ins(patch: Any) -> None:
    """Everything but what the commands do with folders."""
    patch.setattr(session, "run", _measured)
    patch.setattr(planning, "plan", lambda asked: quality_fakes.plan("fine"))
    patch.setattr(running, "run", _trained)
    patch.setattr(datasets, "load", lambda name: SimpleNamespace(rows=lambda split: range(400)))
    patch.setattr(tracking, "sync", lambda *_, **__: Outcome(1, 0))
    patch.setattr(tracking, "export", _exported)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    _no_gate(patch)
    _no_drawing(patch)
    patch.setattr(gpu_session, "unmet", lambda dry_run: "")
    patch.setattr(Session, "run", _gpu)


def _append(journal: Journal, lines: Sequence[Any]) -> None:
    """What a run measured; nothing, where all was measured before."""
    if not journal.path.stat().st_size:
        for line in lines:
            journal._writer.append(line)


def _measured(cases: Any, preset: Any, out_dir: Path, **rest: Any) -> session.Outcome:
    WORK.append("measured")
    with contextlib.closing(Journal(out_dir)) as journal:
        _append(journal, run_lines())
    return session.Outcome(0, journal.path, 1, 1, 0)


def _trained(plan: Any, asked: Any, out_dir: Path, *, command: str, **rest: Any) -> running.Outcome:
    WORK.append("trained")
    with contextlib.closing(QualityJournal(out_dir)) as journal:
        _append(journal, quality_lines(command))
    return running.Outcome(0, journal.path, 1, 1, 0, {})


def _gpu(self: Session) -> int:
    WORK.append("measured")
    if not self.journal.path.stat().st_size:
        self.journal.begin("python -m benchmarks.gpu_session", "gpu", [], {})
    return 0


def _exported(out_dir: Path, target: Path, *_: Any, **__: Any) -> int:
    WORK.append("exported")
    files = {"tags": {KEY: "k1"}, "files": ["job.json"]}
    (target / "artifacts" / "k1").mkdir(parents=True)
    (target / "artifacts" / "k1" / "job.json").write_text("{}")
    lines = [{"format": "marginbench-mlflow-1", "runs": 1}, files]
    (target / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return 1


def _no_gate(patch: Any) -> None:
    root = Path(__file__).resolve().parents[2]
    both = trees.Trees(root, root, "c0ffee", "c0ffee", False, "c0ffee")

    def checked_out(base: str) -> contextlib.nullcontext[trees.Trees]:
        WORK.append("checked out")
        return contextlib.nullcontext(both)

    patch.setattr(trees, "checked_out", checked_out)
    patch.setattr(trees, "alone", contextlib.nullcontext)

    def compare(trees: Any, cases: Any, rule: Any, **rest: Any) -> list[Timed]:
        WORK.append("timed")
        judgement = Judgement("EQUIVALENT", "because", Interval(1.0, 0.99, 1.01, 20))
        return [Timed(case, judgement, CaseRun(case, Sample(rule, "screen", 1))) for case in cases]

    patch.setattr(timing, "compare", compare)
    patch.setattr(trust, "load", lambda tree, name: None)
    patch.setattr(trust, "plan", lambda suite, device, name: [])
    trial = {"kind": "trial", "trial": "quiet/0/0", "verdicts": [], "seconds": 1.0}
    patch.setattr(trust, "trials", lambda amount, load: [trust.Trial(0, "quiet", 0.0)])
    patch.setattr(trust, "_one", lambda *_: WORK.append("tried") or [trial])
    patch.setattr(trust, "_busy", lambda state: contextlib.nullcontext())


def _no_drawing(patch: Any) -> None:
    """A page of one figure, whose name a test can change: ``drawn``."""
    from reports import build, output, tables
    from reports.compare import page as compare
    from reports.gate.trust import page as trial
    from reports.history import page as history
    from reports.quality import build as quality
    from reports.site import building
    from reports.site.writing import Output

    def title(text: str, work: str = "") -> Callable[..., Any]:
        def document(*_: Any, **__: Any) -> SimpleNamespace:
            WORK.extend([work] if work else [])
            return SimpleNamespace(title=text)

        return document

    def drawn(made: Any, styles: Any, beside: Mapping[str, str], *_: Any) -> dict[str, str]:
        name = f"figures/{os.environ.get('DRAWN', 'drawn')}.svg"
        return {name: "<svg/>", **beside, "report.md": f"# {made.title}\n\n![One]({name})\n",
                "index.html": f"<title>{made.title}</title>"}  # fmt: skip

    def site(published: Any, root: Path, report: Any) -> dict[str, str]:
        WORK.append("built")
        made = Output(root)
        made.write("index.html", "<title>MarginBench</title>")
        made.write(f"figures/{os.environ.get('DRAWN', 'drawn')}.svg", "<svg/>")
        files.write(root / building.MANIFEST, building._manifest(published, made.written))
        return {**made.written, building.MANIFEST: ""}

    patch.setattr(output, "drawn", drawn)
    patch.setattr(build, "document", title("MarginBench"))
    patch.setattr(tables, "results_csv", lambda records: "suite,loss,variant\n")
    patch.setattr(compare, "draw", title("MarginBench: comparison", "compared"))
    patch.setattr(history, "_document", title("MarginBench: history", "gathered"))
    patch.setattr(quality, "document", title("MarginBench: training quality"))
    patch.setattr(quality, "summary", lambda *_: {"version": 1})
    patch.setattr(quality.judging, "judge", lambda quality: None)
    patch.setattr(trial, "document", title("MarginBench: the gate on trial"))
    patch.setattr(trial, "summary_json", lambda found: '{"schema_version": 1}\n')
    patch.setattr(trial.trials, "read", lambda path: None)
    patch.setattr(trial, "findings", lambda *_, **__: None)
    patch.setattr(building, "_write", site)
