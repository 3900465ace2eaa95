"""Signals and closed pipes, as a shell sends them: a code for each, and no process left behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from benchmarks import library, processes

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = library.environment(PYTHONDONTWRITEBYTECODE="1")
# For what takes some seconds; a machine that is busy takes longer.
DEADLINE_S = 120
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The entry, sent a signal as it imports click, which is before any command is known.
AT_THE_FIRST_IMPORT = """
import os, sys
from commands import entry

class Finder:
    def find_spec(self, name, *_):
        if name == "click":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(sys.argv.pop()))

sys.meta_path.insert(0, Finder())
entry.main()
"""
# A command, sent a signal in code that is run from text, as what a dataclass is made of.
IN_TEXT = """
import os, sys
from commands import entry, root

root.cli = lambda **_: exec("os.kill(os.getpid(), int(sys.argv.pop()))")
entry.main()
"""


def python(*words: str, **given: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, text=True, timeout=60, stderr=subprocess.PIPE,
        **{"env": ENVIRONMENT, **given},
    )  # fmt: skip


def wait_until(reached: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < until, f"{what}: not within {DEADLINE_S} s"
        time.sleep(0.01)


def command(process: Path) -> str:
    """Empty of one that has ended since."""
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_text()
    return ""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_imports_has_its_code(number: signal.Signals):
    done = python(
        "-c", AT_THE_FIRST_IMPORT, "list", str(int(number)), stdout=subprocess.DEVNULL,
        # What is started in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == 128 + number and done.stderr == "interrupted\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_code_from_text_has_its_code(number: signal.Signals, tmp_path: Path):
    """After which Python would end ``python -m`` as killed by SIGINT, whichever it was."""
    (tmp_path / "stopped.py").write_text(IN_TEXT)
    done = python(
        "-m", "stopped", "list", str(int(number)), stdout=subprocess.DEVNULL,
        env={**ENVIRONMENT, "PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}{os.pathsep}{tmp_path}"},
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == 128 + number and done.stderr == "interrupted\n"


def test_a_signal_that_the_caller_ignores_stays_ignored():
    """As nohup asks for a run that is to outlive its terminal."""
    done = python(
        "-c", AT_THE_FIRST_IMPORT, "list", str(int(signal.SIGHUP)), stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    assert done.returncode == 0 and "softmax" in done.stdout


@pytest.mark.parametrize("words", [["list"], ["--help"], ["list", "--json"]], ids=" ".join)
def test_a_closed_pipe_is_141_and_silent(words: list[str]):
    """rich and click end with 1 by themselves."""
    command = f'"{sys.executable}" -m commands {" ".join(words)} | true; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 128 + signal.SIGPIPE and done.stderr == ""


def test_kill_ends_a_run_with_its_interpreter_and_says_how_to_go_on(tmp_path: Path):
    out = tmp_path / "run"
    words = ["--fast", "--suite", "agreement", "--loss", "center", "--contender", "triton"]
    run = subprocess.Popen(
        [sys.executable, "-m", "commands", "run", *words, "--out", str(out)], cwd=ROOT,
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    begun: list[Path] = []

    def interpreted() -> bool:
        assert run.poll() is None
        begun[:] = [Path(f"/proc/{pid}") for pid in children.read_text().split()]
        return any("benchmarks.run.interpreted" in command(one) for one in begun)

    wait_until(interpreted, "an interpreter begins")
    run.terminate()
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM, errors
    assert f"marginbench run --resume {out}" in errors and "Traceback" not in errors
    # The system may take a moment to end what was killed.
    wait_until(lambda: not any(map(command, begun)), "its processes are gone")


def test_an_interrupt_kills_what_works_side_by_side():
    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt), processes.side_by_side(2) as pool:
        jobs = [pool.submit(time.sleep, 600) for _ in range(4)]
        wait_until(lambda: any(job.running() for job in jobs), "a job begins")
        begun = set(multiprocessing.active_children()) - before
        raise KeyboardInterrupt
    assert begun and all(wait([child.sentinel], 0) for child in begun)


def test_a_process_that_is_started_deaf_outlives_an_interrupt_of_its_first_moment():
    """Ctrl-C reaches the whole group, also who has just begun to import."""
    child = multiprocessing.get_context("spawn").Process(target=str)
    with processes.deaf_to_interrupts():
        child.start()
    os.kill(int(child.pid or 0), signal.SIGINT)
    child.join(DEADLINE_S)
    assert child.exitcode == 0
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
