"""Child processes are heard to the end, and none outlives what it works for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from benchmarks import library, processes

DEADLINE_S = 60.0
# Answers, chatters, starts a process of its own, dies or hangs as it is asked.
TALKER = """
import os, subprocess, sys, time
from benchmarks import processes

def handle(message):
    print("a library's greeting")
    print("a complaint", file=sys.stderr, flush=True)
    if message["do"] == "die":
        os._exit(7)
    if message["do"] == "start":
        yield {"pids": [os.getpid(), subprocess.Popen(["sleep", "600"]).pid]}
    if message["do"] == "hang":
        yield {"pids": [os.getpid()]}
        time.sleep(600)
    yield {"asked": message["do"]}

processes.answer(handle)
"""
COMMAND = (sys.executable, "-c", TALKER)
# A parent of such a program, that says who it is and is gone.
PARENT = f"""
import os, sys
from benchmarks import library, processes
child = processes.Program((sys.executable, "-c", {TALKER!r}), library.environment())
child.send({{"do": "hang"}})
print(child.receive(60)["pids"][0], flush=True)
os.kill(os.getpid(), 9)
"""


def there(pid: int) -> bool:
    """Whether the process is, and has not ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until(reached: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < until, what
        time.sleep(0.02)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[processes.Program]:
    found = processes.Program(COMMAND, library.environment(), tmp_path / "logs" / "its.err")
    yield found
    found.kill()


def test_a_program_is_heard_past_what_a_library_prints(program: processes.Program):
    assert program.receive() is None
    program.send({"do": "this"})
    assert program.receive(DEADLINE_S) == {"asked": "this"}
    assert program.said.splitlines() == ["a library's greeting", "a complaint"]
    program.send({"do": "that"})
    assert program.receive(DEADLINE_S) == {"asked": "that"}
    assert program.said.count("a complaint") == 1, "what was said to an earlier message"
    program.leave(DEADLINE_S)
    with pytest.raises(processes.Ended) as ended:
        program.receive()
    assert ended.value.code == 0


def test_a_program_that_died_says_how_to_whoever_asks(program: processes.Program):
    program.send({"do": "die"})
    for _ in range(2):
        with pytest.raises(processes.Ended, match="exit code 7"):
            program.receive(DEADLINE_S)
    program.send({"do": "this"})  # the pipe is broken, which `receive` tells
    assert "a complaint" not in program.said


def test_a_program_is_killed_with_all_that_it_started(program: processes.Program):
    program.send({"do": "start"})
    found = program.receive(DEADLINE_S)
    assert found and all(map(there, found["pids"]))
    program.kill()
    wait_until(lambda: not any(map(there, found["pids"])), "one is left")


def test_a_program_in_a_hang_ends_with_its_parent():
    done = subprocess.run(
        [sys.executable, "-c", PARENT], env=library.environment(), capture_output=True, text=True,
        timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: not there(int(done.stdout)), "it hangs for ever")


def talks(given: str, pipe: Connection) -> None:
    pipe.send(os.environ.get("GIVEN"))
    if given == "die":
        os._exit(7)
    pipe.send(pipe.recv())
    time.sleep(600)


@pytest.mark.parametrize("preload", [(), ("json",)], ids=["spawned", "forked from a server"])
def test_a_worker_is_heard_to_the_end(preload: tuple[str, ...]):
    with processes.Worker(talks, "die", preload) as worker:
        assert worker.receive(DEADLINE_S) is None  # what it sent
        with pytest.raises(processes.Ended) as ended:
            worker.receive(DEADLINE_S)
    assert ended.value.code == 7


def test_a_worker_inherits_what_is_changed_for_it_and_nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("TAKEN", "away")
    before: dict[str, Any] = dict(os.environ)
    with processes.inheriting({"GIVEN": "to it", "TAKEN": None}):
        assert "TAKEN" not in os.environ
        with processes.Worker(talks, "live") as worker:
            assert worker.receive(DEADLINE_S) == "to it"
            os.kill(worker.pid, signal.SIGINT)  # as Ctrl-C reaches the whole group
            worker.send("hello")
            assert worker.receive(DEADLINE_S) == "hello"
    assert dict(os.environ) == before
    assert not there(worker.pid)
