"""Triton kernels without a GPU: compared in a process of their own, which may fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from planted import case, run

from benchmarks.instruments import machine
from benchmarks.run import interpreted

ECHO = """
import json, os, sys, time
for line in sys.stdin:
    batch = json.loads(line)["case"]["batch"]
    if batch == 5: os._exit(3)
    if batch == 6: time.sleep(60)
    row = {"contender": "triton", "metric": "relative_error", "of": {}, "status": "ok",
           "reason": "", "value": 0.0, "rounds": [], "protocol": {}}
    print(json.dumps({"rows": [row], "reason": "", "seconds": 0.1}), flush=True)
"""


def test_a_crash_or_a_hang_of_the_interpreter_takes_its_own_case():
    child = interpreted.Interpreter(timeout_s=3.0, command=(sys.executable, "-c", ECHO))
    for batch in (4, 5, 6, 7):
        child.submit(case(suite="agreement", batch=batch), ["triton"])
    answers = {}
    while child.busy:
        answers |= {a.case.shape.batch: a for a in child.collect(1.0)}
    child.close()
    assert [bool(answers[b].rows) for b in (4, 5, 6, 7)] == [True, False, False, True]
    assert "ended (exit code 3)" in answers[5].reason
    assert "no answer within 3 s" in answers[6].reason


@pytest.mark.skipif(machine.missing("triton") is not None, reason="needs Triton")
def test_kernels_are_compared_in_the_interpreter_and_never_timed_there(tmp_path: Path):
    asked = case(suite="agreement", measures=("agreement",), dtype="bfloat16")
    _, found, _ = run([asked, case()], tmp_path, contenders=["triton"])
    compared = [r for r in found.results if r.contender == "triton" and r.case.suite == "agreement"]
    assert {r.metric for r in compared} == {"relative_error", "error_over_eager"}
    assert {r.of["mode"] for r in compared} == {"interpreter"}
    assert {r.status for r in compared} == {"ok"} and all(r.value is not None for r in compared)
    timed = [r for r in found.results if r.contender == "triton" and r.case.suite == "speed"]
    if not torch.cuda.is_available():
        assert {r.status for r in timed} == {"not_run"}
    assert asked.key.id == asked.id
