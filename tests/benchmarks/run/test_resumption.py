"""A run that was killed, interrupted or cut off goes on, and measures nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from planted import TINY, case, run

from benchmarks.records.journal import Journal
from benchmarks.records.loading import RecordError, load
from benchmarks.run import session
from benchmarks.steps import Step
from suites.schema import CaseKey

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_interruption_ends_cleanly_and_resumes(tmp_path: Path):
    cases = [case(batch=b) for b in (5, 6, 7)]

    def interrupts(step: Step) -> None:
        if step.done == 1 and step.current and not step.finished:
            raise KeyboardInterrupt

    outcome = session.run(cases, TINY, tmp_path, contenders=["eager"], progress=interrupts)
    assert outcome.exit_code == 130
    assert len(load(outcome.records).ended) == 1 and not load(outcome.records).complete
    outcome, found, steps = run(cases, tmp_path, contenders=["eager"])
    assert outcome.exit_code == 0 and found.complete and len(found.sessions) == 2
    assert [s.current for s in steps if s.current and not s.finished] == [c.id for c in cases[1:]]


def test_a_complete_run_is_left_as_it_is(tmp_path: Path):
    run([case()], tmp_path, contenders=["eager"])
    before = (tmp_path / "records.jsonl").read_bytes()
    outcome, _, steps = run([case()], tmp_path, contenders=["eager"])
    assert outcome.exit_code == 0 and not steps
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_a_file_cut_off_in_a_line_is_gone_on_with(tmp_path: Path):
    cases = [case(batch=b) for b in (5, 6)]
    run(cases, tmp_path, contenders=["eager"])
    path = tmp_path / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    ends = [i for i, line in enumerate(lines) if json.loads(line)["kind"] == "case_end"]
    path.write_bytes(b"".join(lines[: ends[0] + 3]) + lines[ends[0] + 3][:40])
    _, found, steps = run(cases, tmp_path, contenders=["eager"])
    assert [s.current for s in steps if s.current and not s.finished] == [cases[1].id]
    assert found.complete and found.orphans == 2
    assert Counter(r.case.batch for r in found.results) == Counter(
        {5: len(found.results) // 2, 6: len(found.results) // 2}
    )


def test_two_processes_do_not_write_one_run(tmp_path: Path):
    journal = Journal(tmp_path)
    with pytest.raises(RecordError, match="another process"):
        run([case()], tmp_path)
    journal.close()


KILLED = """
import os, random, signal, sys, time
import torch
from dataclasses import replace
from pathlib import Path
from benchmarks import session
from suites.presets import FAST
from suites.selection import parse

torch.set_num_threads(1)
out, draw = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
preset = replace(FAST, seconds_per_case=0.5, min_rounds=2, max_rounds=2, warmup_rounds=1)
cases = [
    replace(parse(f"speed/softmax/linear/B{batch}-D5-C3/float32/cpu/drawn/s0"), compile=False)
    for batch in range(4, 24)
]
kills = 0
for attempt in range(40):
    child = os.fork()
    if child == 0:
        ended = session.run(cases, preset, out, contenders=["eager"], progress=lambda step: None)
        os._exit(ended.exit_code)
    # The last attempts are left to end.
    if attempt < 8:
        time.sleep(draw.uniform(0.05, 0.6))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    kills += os.WIFSIGNALED(status)
    if os.WIFEXITED(status):
        break
print(kills, os.waitstatus_to_exitcode(status))
"""


def test_kill_9_at_any_moment_loses_at_most_the_case_it_was_in(tmp_path: Path, seed: int):
    """A process without threads forks, so that each attempt is a process of its own and cheap."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(seed)],
        cwd=ROOT, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kills, exit_code = map(int, done.stdout.split())
    assert exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    ends = Counter(line["case"] for line in lines if line["kind"] == "case_end")
    assert len(ends) == 20 and set(ends.values()) == {1}, f"after {kills} kills"
    found = load(tmp_path / "records.jsonl")
    assert found.complete and len(found.sessions) <= kills + 1
    cells = Counter((r.case.id, r.contender, r.metric, *r.of.values()) for r in found.results)
    assert set(cells.values()) == {1}
    assert len({Counter(c[0] for c in cells)[case_id] for case_id in ends}) == 1
    # Each kill can have left one unfinished case behind, whose results do not count.
    starts = [i for i, line in enumerate(lines) if line["kind"] == "session"]
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        part = lines[start:stop]
        begun = {id_of(line) for line in part if line["kind"] == "result"}
        ended = {line["case"] for line in part if line["kind"] == "case_end"}
        assert len(begun - ended) <= 1


def id_of(line: dict) -> str:
    return CaseKey(**line["case"]).id
