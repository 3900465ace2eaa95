"""What a page section and a claim take: one file each. A metric: its entry and its instrument."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import quality_cases
from compared_runs import call
from synthetic_quality import session, write
from synthetic_run import RUN, unprotected

from benchmarks import library
from benchmarks.instruments.metrics import METRICS, Metric, with_variants
from benchmarks.records.journal import provenance
from benchmarks.records.loading import Line, RecordError, RunEnd, Training, load
from benchmarks.training import training
from reports.build import build as build_run
from reports.quality.build import build as build_quality

ROOT = Path(__file__).parents[2]
SECTION = '''
"""A section that only this test has."""

from ..document import Section, Text
from .context import Context
from .place import Place


def section(context: Context) -> Section:
    return Section("thrown-away", "Thrown away", [Text(str(len(context.records.sessions)))])


PLACES = (Place(55, section, "loss"),)
'''
SHOW = """
import json
from types import SimpleNamespace
from reports import sections
from suites.claims import catalogue
there = [place.section.__module__.rpartition(".")[2] for place in sections.places()]
context = SimpleNamespace(records=SimpleNamespace(sessions=[1, 2]))
made = [place.section(context) for place in sections.places() if place.order == 55]
claims = [[one.number, one.name] for one in catalogue.claims()]
print(json.dumps([there, [one.title for one in made], claims]))
"""


def test_a_section_and_a_claim_are_one_file_each(tmp_path: Path):
    for name in ("kernels", "suites", "benchmarks", "reports"):
        ignore = shutil.ignore_patterns("__pycache__", "out", "published", "tests")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    (tmp_path / "reports" / "sections" / "throw_away.py").write_text(SECTION)
    claim = (tmp_path / "suites" / "claims" / "last_relu.py").read_text()
    claim = re.sub(r"number=\d+", "number=999", claim).replace('"last-relu"', '"throw-away"')
    (tmp_path / "suites" / "claims" / "throw_away.py").write_text(claim)
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=tmp_path, env=library.environment(tmp_path),
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    there, made, claims = json.loads(done.stdout)
    at = there.index("throw_away")
    assert there[at - 1 : at + 2] == ["agreement", "throw_away", "mining"]
    assert made == ["Thrown away"] and claims[-1] == [999, "throw-away"]


NEW = Metric(
    "embedding_lopsidedness", "1", "lower", "quality", "length of the mean direction",
    "lopsided", "more", "lopsided:measured",
)  # fmt: skip


@pytest.fixture
def _added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for metric in with_variants(NEW):
        monkeypatch.setitem(METRICS, metric.name, metric)
    instrument = SimpleNamespace(measured=lambda of: {NEW.name: float(of.u_ND.mean(0).norm())})
    monkeypatch.setitem(sys.modules, "benchmarks.training.lopsided", instrument)
    importlib.invalidate_caches()
    yield


def trained() -> list[Line]:
    jobs = [replace(quality_cases.job("softmax", seed), study="closed") for seed in (0, 1)]
    made = provenance("marginbench quality run")
    results = [training.run(job) for job in jobs]
    return [
        session([job.name for job in jobs]),
        *(Training(run=RUN, session="s1", provenance=made, **vars(one)) for one in results),
        RunEnd(run=RUN, session="s1", seconds=1.0),
    ]


@pytest.mark.usefixtures("_added")
def test_a_metric_is_its_entry_and_its_instrument(tmp_path: Path):
    run = write(tmp_path / "run", trained())
    for one in load(run / "records.jsonl").trainings:
        for name in (NEW.name, f"seen_{NEW.name}"):
            assert 0 < one.metrics[name] < 1 and all(name in row for row in one.epochs)
    page = build_quality(run, tmp_path / "quality").read_text()
    assert "lopsided ↓" in page
    page = build_run(run, tmp_path / "report").read_text()
    assert "embedding lopsidedness ↓" in page and "seen embedding lopsidedness ↓" in page
    code, _, compared = call(tmp_path / "compared", run, run)
    assert compared is not None and NEW.name in compared.seen, code
    record = run / "records.jsonl"
    start, found, *rest = unprotected(record.read_text()).splitlines()
    changed = json.loads(found)
    changed["metrics"][NEW.name] = 1e300
    record.write_text("\n".join([start, json.dumps(changed), *rest, ""]))
    with pytest.raises(RecordError, match=f"metrics: expected {NEW.name} from"):
        load(record)
