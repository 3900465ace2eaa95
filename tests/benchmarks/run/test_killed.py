"""``kill -9`` at 200 random points: no record lost but the one being measured, none doubled."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks import library
from benchmarks.records.loading import load
from reports.build import build

ROOT = Path(__file__).resolve().parents[3]
KILLS = 200
ENVIRONMENT = library.environment()


def said(run: Path) -> dict[str, str]:
    """What the report says, without the declared fields: times of day, and what is said once for
    each session (a resumption is one more)."""
    build(run)
    texts = {
        str(path.relative_to(run)): path.read_text()
        for path in (run / "report.md", run / "results.csv", *run.glob("figures/*.svg"))
    }
    for name, text in texts.items():
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
        text = re.sub(r"\*\*State of the machine,.*?(?=\n\n(?!\|))", "", text, flags=re.S)
        text = re.sub(r"(\| TIME \|.*\n)\1+", r"\1", text)
        texts[name] = re.sub(r"\n{2,}", "\n\n", text)
    return texts


def test_200_kills_lose_nothing_and_double_nothing(tmp_path: Path, seed: int):
    """The checks after each kill and each resumption stand in `killed_run`; here the reports."""
    done = subprocess.run(
        [sys.executable, "tests/support/killed_run.py", str(tmp_path), str(seed), str(KILLS)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    counts = json.loads(done.stdout)
    assert counts["kills"] >= KILLS and counts["orphans"] > 0
    sessions = {run: len(load(run / "records.jsonl").sessions) for run in tmp_path.glob("run*")}
    most = sorted(sessions, key=lambda run: sessions[run])[-2:]
    assert sessions[most[0]] > 1
    expected = said(tmp_path / "unkilled")
    assert any(name.startswith("figures/") for name in expected)
    for run in most:
        assert said(run) == expected, f"seed {seed}: {run.name}"


def test_a_killed_command_is_resumed_to_the_same_records(tmp_path: Path):
    """The command itself, as a user kills it and goes on."""
    command = [sys.executable, "-m", "commands", "run"]
    fresh = ["--fast", "--loss", "center", "--suite", "agreement", "--contender", "eager"]
    out = tmp_path / "run"
    path = out / "records.jsonl"
    process = subprocess.Popen(
        [*command, *fresh, "--out", str(out)], cwd=ROOT, env=ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not (path.exists() and b'"result"' in path.read_bytes()):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = path.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    resumed = subprocess.run(
        [*command, "--resume", str(out)], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr
    assert path.read_bytes().startswith(before)
    found = load(path)
    assert found.complete and found.ended == set(found.sessions[0].plan)
    cells = Counter((r.case.id, r.contender, r.metric, *r.of.values()) for r in found.results)
    assert set(cells.values()) == {1}
    assert (out / "index.html").exists()
