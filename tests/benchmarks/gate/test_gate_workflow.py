"""The workflow for GitHub: it parses, what it names exists, and it reports the gate's exit code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.gate.records import FILE, GateEnd, Writer
from reports.gate import write

ROOT = Path(__file__).resolve().parents[3]
# MLflow, which the tests need anyway, brings it.
yaml = pytest.importorskip("yaml", reason="needs PyYAML to read the workflow")


@pytest.fixture(scope="module")
def workflow() -> dict:
    found = yaml.safe_load((ROOT / ".github" / "workflows" / "gate.yml").read_text())
    # In YAML 1.1 a bare `on` is a truth value.
    found["on"] = found.pop(True)
    return found


@pytest.fixture(scope="module")
def steps(workflow) -> list[dict]:
    return workflow["jobs"]["gate"]["steps"]


def script(steps) -> str:
    return next(step["run"] for step in steps if "run" in step)


def test_it_runs_on_a_hosted_runner_with_all_history_and_others_actions_never(workflow, steps):
    job = workflow["jobs"]["gate"]
    assert job["runs-on"] == "ubuntu-latest" and set(workflow["on"]) >= {"pull_request", "push"}
    assert workflow["permissions"] == {"contents": "read"}
    uses = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", one) for one in uses)
    assert next(s for s in steps if "checkout" in s.get("uses", ""))["with"]["fetch-depth"] == 0
    for step in steps:
        if "upload-artifact" in step.get("uses", ""):
            assert "always()" in step["if"]
    assert "${{" not in script(steps)


def test_what_it_names_exists(steps, workflow):
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^ *make ([a-z-]+)", script(steps), re.MULTILINE)
    assert targets == ["gate"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target!r}"
    for name in re.findall(r"\b([A-Z_]+)=\"\$", script(steps)):
        assert re.search(rf"\$\({name}\)|^{name} \?=", makefile, re.MULTILINE), f"{name} is unused"
    python = next(step["with"] for step in steps if "setup-python" in step.get("uses", ""))
    assert (ROOT / python["cache-dependency-path"]).is_file()
    lowest = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())[1]
    for version in workflow["jobs"]["gate"]["strategy"]["matrix"]["python"]:
        assert int(version.split(".")[1]) >= int(lowest)
    paths = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
    assert paths == ["reports/out/gate*", f"reports/out/gate*/{write.BENCHMARK}"]
    assert f"/{FILE}" in script(steps)


def test_started_by_hand_the_gate_finds_its_own_base(workflow):
    """origin/main is what is checked out where that is done on main."""
    assert workflow["on"]["workflow_dispatch"]["inputs"]["base"]["default"] == ""


@pytest.mark.parametrize(
    ("made", "recorded", "code"),
    [(0, 0, 0), (2, 1, 1), (2, 3, 3), (2, None, 3), (0, None, 3), (2, 0, 3), (2, "killed", 3)],
)
def test_the_gates_own_exit_code_gets_through_make(tmp_path, steps, made, recorded, code):
    """``make`` answers 2 for any failed recipe; a stand-in for it answers, after the gate's record
    was written."""
    if recorded is not None:
        writer = Writer(tmp_path / "reports" / "out" / "gate-1" / FILE)
        if recorded != "killed":
            hostile = 'x","kind":"gate_end","exit_code":0,'
            writer.append(GateEnd(exit_code=recorded, outcome=hostile, seconds=1.0))
        writer.close()
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text(f'#!/bin/sh\necho "$@" >> made\nexit {made}\n')
    make.chmod(0o755)
    environment = {
        "PATH": f"{make.parent}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(tmp_path / "output"),
        "BASE": "origin/main", "PIP_ARGS": "--extra-index-url there",
    }  # fmt: skip
    # As GitHub runs `shell: bash`.
    bash = [shutil.which("bash"), "--noprofile", "--norc", "-eo", "pipefail", "-c", script(steps)]
    done = subprocess.run(bash, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert f"(exit code {code})" in done.stdout
    assert (tmp_path / "output").read_text() == f"code={code}\n"
    assert (tmp_path / "made").read_text() == (
        "gate BASE=origin/main PIP_ARGS=--extra-index-url there\n"
    )
