"""A GPU session from its command to its records, dry, with its real children, on a bare machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import library
from benchmarks.gpu.session import FINE
from benchmarks.records.loading import RecordError, arrange, load, read_lines

SUPPORT = Path(__file__).parents[2] / "support"
# Everything but torch, triton and numpy (for the interpreter) is hidden from it and its children.
_HIDDEN = ("pydantic", "click", "rich", "jinja2", "mlflow", "psutil", "scipy", "sklearn",
           "matplotlib", "pynvml", "optuna", "pytest")  # fmt: skip
_BARE = """
import sys
from dataclasses import replace
from suites import gpu
full = gpu.plan(dry_run=True)
take = lambda cases, suite: [c for c in cases if c.suite == suite and c.loss == "contrastive"
                             and c.variant == "pairs" and c.dtype == "float32"]
plan = replace(full, agreement=tuple(take(full.agreement, "agreement")),
               speed=tuple(take(full.speed, "speed")),
               checks=tuple(c for s in gpu.CHECKERS for c in take(full.checks, s)))
gpu.plan = lambda dry_run: plan
from benchmarks.gpu_session import main
sys.exit(main(["--dry-run", "--out", sys.argv[1]]))
"""


def test_a_dry_run_on_a_bare_machine_goes_through_everything_and_is_no_evidence(tmp_path: Path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in _HIDDEN:
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r})\n")
    path = os.pathsep.join([str(hidden), *library.paths()])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", _BARE, str(tmp_path / "run")],
        env=environment, cwd=SUPPORT.parents[1], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == FINE, done.stdout + done.stderr
    run = arrange(read_lines(tmp_path / "run" / "records.jsonl"))
    cells_ = {(r.case.suite, r.contender, r.metric): r for r in run.results}
    assert cells_["agreement", "triton", "relative_error"].status == "ok"
    assert cells_["speed", "eager", "both_time_s"].value
    assert cells_["speed", "eager", "warm_both_time_s"].value
    assert cells_["speed", "eager", "graph_both_time_s"].reason.startswith("needs CUDA")
    assert cells_["speed", "triton", "both_time_s"].reason.startswith("needs CUDA")
    checked = cells_["overflow", "triton", "checker_errors"]
    # Triton's check, on in the interpreter, found the overflow that was planted.
    assert (checked.value, checked.protocol["control"]) == (0, "found")
    assert cells_["memcheck", "triton", "checker_errors"].reason.startswith("needs CUDA")
    assert run.sessions[0].information["rates"]["bytes_per_s"] > 0
    assert run.complete and set(run.sessions[0].plan) == run.ended
    assert all(r.protocol["dry_run"] is True for r in run.results)
    with pytest.raises(RecordError, match="no evidence"):
        load(tmp_path / "run" / "records.jsonl")
    first = json.loads((tmp_path / "run" / "records.jsonl").read_text().splitlines()[0])
    assert first["preset"] == "gpu-dry-run" and first["information"]["dry_run"] is True
