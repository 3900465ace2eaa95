"""Runs tests over a changed copy of the tree, each run in a fork of one process.

Importing torch and Triton takes seconds, most tests take less. So `prepare` imports in the parent
what is nobody's to change, and runs nothing there (threads do not survive a fork); a run forks,
enters its copy of the tree, imports that, and says in a file what went red.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# A mutant may loop for ever. A run of a few tests takes seconds, one of whole files minutes; both
# several times that where a machine is shared.
TIMEOUT_S, WIDER_TIMEOUT_S = 300.0, 1500.0
NOT_IMPORTED = 64


@dataclass(frozen=True)
class Ran:
    """``failed`` is the id of the first test that went red, ``error`` the exception's name and
    message there, ``asserted`` whether it was an assertion's; ``code`` is pytest's exit code, or
    None for a run that took too long."""

    code: int | None
    failed: str
    error: str
    asserted: bool
    passed: int
    seconds: float
    cpu_s: float
    output: str


def prepare() -> None:
    """Import what every run needs of others' packages; kernels are to be interpreted."""
    os.environ["TRITON_INTERPRET"] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import hypothesis  # noqa: F401
    import numpy  # noqa: F401
    import pytest  # noqa: F401
    import torch._dynamo  # noqa: F401
    import triton.language
    import triton.runtime.interpreter  # noqa: F401


def copy_tree(root: Path, into: Path) -> None:
    """The files that git tracks or would, as they lie; records of runs are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source, target = root / name, into / name
        if source.is_file() and not name.startswith("reports/out/"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


class Run:
    """One run under way: forked when made, over the tree at ``folder``."""

    def __init__(
        self, root: Path, folder: Path, tests: Sequence[str], seed: int, *, module: str = "",
        stop_at_first: bool = True, timeout_s: float = TIMEOUT_S,
    ) -> None:  # fmt: skip
        """``module`` is imported first: a mutant that cannot be imported is no wrong kernel."""
        self._answer = folder.with_suffix(".json")
        self._log = folder.with_suffix(".log")
        self._answer.unlink(missing_ok=True)
        self._began, self._timeout_s = time.monotonic(), timeout_s
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            code = 70
            try:
                os.setsid()
                code = self._inside(root, folder, tests, seed, module, stop_at_first)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def poll(self) -> Ran | None:
        """What came of it, or None while it runs; ends what runs too long."""
        pid, status, usage = os.wait4(self._pid, os.WNOHANG)
        late = time.monotonic() - self._began > self._timeout_s
        if pid == 0 and late:
            os.killpg(self._pid, signal.SIGKILL)
            pid, status, usage = os.wait4(self._pid, 0)
        if pid == 0:
            return None
        late = late and os.WIFSIGNALED(status)
        answer = json.loads(self._answer.read_text()) if self._answer.exists() else {}
        return Ran(
            code=None if late else os.waitstatus_to_exitcode(status),
            failed=answer.get("failed", ""),
            error=answer.get("error", ""),
            asserted=answer.get("asserted", False),
            passed=answer.get("passed", 0),
            seconds=time.monotonic() - self._began,
            cpu_s=usage.ru_utime + usage.ru_stime,
            output=self._log.read_text(errors="replace"),
        )

    def _inside(
        self, root: Path, folder: Path, tests: Sequence[str], seed: int, module: str, stop: bool
    ) -> int:
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        # Bytecode is matched to its source by the second: two mutants can follow faster.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os.environ["MARGINBENCH_TEST_SEED"] = str(seed)
        # By hand: of this project nothing is imported before the copy is first on the path.
        original = {root, root / "kernels"}
        elsewhere = [one for one in sys.path if one and Path(one).resolve() not in original]
        sys.path[:] = [str(folder), str(folder / "kernels"), *elsewhere]
        import importlib

        import pytest
        import torch

        torch.set_num_threads(1)
        if module:
            try:
                importlib.import_module(module)
            except Exception:
                traceback.print_exc()
                return NOT_IMPORTED
        witness = _Witness()
        options = ["-q", "-p", "no:cacheprovider", "--timeout=0", "--tb=short"]
        if stop:
            options.append("-x")
        code = pytest.main([*options, *tests], plugins=[witness])
        self._answer.write_text(json.dumps(witness.answer))
        return int(code)


class _Witness:
    """A pytest plugin that notes the first test to go red, and why."""

    def __init__(self) -> None:
        self.answer: dict[str, object] = {"passed": 0}

    def pytest_exception_interact(self, node, call, report) -> None:
        if "failed" in self.answer or not hasattr(report, "when"):
            return
        import pytest
        from torch.testing._internal.optests import OpCheckError

        expected = (AssertionError, pytest.fail.Exception, OpCheckError)
        chain = list(_chain(call.excinfo.value))
        text = str(chain[-1]).strip().splitlines()
        self.answer |= {
            "failed": report.nodeid,
            "error": f"{type(chain[-1]).__name__}: {text[0] if text else ''}"[:200],
            "asserted": any(isinstance(error, expected) for error in chain),
        }

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call" and report.passed:
            self.answer["passed"] += 1  # type: ignore[operator]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what caused it: Triton's interpreter wraps what a kernel raises."""
    while error is not None:
        yield error
        error = error.__cause__
