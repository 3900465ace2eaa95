"""Without an NVIDIA GPU `make` takes torch's CPU build, or says what will be downloaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / ".ci" / "which_torch.py"
INDEX = "https://download.pytorch.org/whl/cpu"
# Stands in pip's place: writes down how it was called, and has the CPU build or has it not.
PIP = """
import json, os, sys
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + chr(10))
if "config" in sys.argv:
    print(os.environ["CONFIG"])
sys.exit(1 if "install" in sys.argv and os.environ["HAS"] == "no" else 0)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the default is large on Linux")


class Machine:
    """A machine without site-packages, where only this pip is found."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder / "calls"
        for name in ("pip", "bin"):
            (folder / name).mkdir()
        (folder / "pip" / "__init__.py").touch()
        (folder / "pip" / "__main__.py").write_text(PIP)

    def run(self, *arguments: str, has: bool, config: str = "") -> tuple[str, list[list[str]]]:
        """What is said, and how pip was called to install."""
        environment = {
            "PYTHONPATH": str(self.folder), "PATH": str(self.folder / "bin"), "CONFIG": config,
            "CALLS": str(self.calls), "HAS": "yes" if has else "no", "HOME": os.environ["HOME"],
        }  # fmt: skip
        made = subprocess.run(
            [sys.executable, "-S", str(SCRIPT), *arguments], env=environment, cwd=self.folder,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = self.calls.read_text().splitlines() if self.calls.is_file() else []
        calls = [json.loads(line) for line in lines]
        return made.stdout + made.stderr, [call for call in calls if "install" in call]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def pinned() -> str:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("torch==")]
    return line


def test_the_cpu_build_is_taken_where_the_index_has_it(machine: Machine):
    said, calls = machine.run("--extra-index-url", INDEX, has=True)
    assert "took the CPU build" in said and "GB" not in said
    [call] = calls
    assert call[-1] == f"{pinned()}+cpu" and "--no-deps" in call
    assert call[call.index("--extra-index-url") + 1] == INDEX


def test_otherwise_the_size_is_said_with_the_way_around_it(machine: Machine):
    said, calls = machine.run(has=False)
    assert len(calls) == 1 and len(said.splitlines()) == 3
    assert "2.5 GB" in said and f'make TARGET PIP_ARGS="--extra-index-url {INDEX}"' in said


def test_another_file_may_pin_the_version(machine: Machine):
    _, [call] = machine.run("--pinned", str(ROOT / "kernels" / "oldest.txt"), "--pre", has=True)
    assert call[-1] == "torch==2.11.0+cpu" and "--pre" in call and "--pinned" not in call


def test_with_an_nvidia_gpu_nothing_is_done(machine: Machine):
    found = machine.folder / "bin" / "nvidia-smi"
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    assert machine.run(has=True) == ("", [])


@pytest.mark.parametrize("of", ["pip's configuration", "the arguments"])
def test_another_build_that_was_chosen_is_left(machine: Machine, of: str):
    url = INDEX.replace("cpu", "rocm7.1")
    arguments = [] if of == "pip's configuration" else ["--index-url", url]
    config = "" if arguments else f"global.extra-index-url='{url}'"
    assert machine.run(*arguments, has=True, config=config) == ("", [])


@pytest.mark.parametrize(("there", "calls"), [("", 0), ("+cu130", 0), (None, 1)])
def test_what_is_installed_is_kept(machine: Machine, there: str | None, calls: int):
    """An older one is no reason: the pinned one is about to be downloaded."""
    version = "1.0" if there is None else pinned().partition("==")[2] + there
    facts = machine.folder / f"torch-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    assert len(machine.run(has=True)[1]) == calls


def test_every_target_that_installs_torch_asks_first():
    recipes = (ROOT / "Makefile").read_text().split("\n\n")
    installing = [recipe for recipe in recipes if "\t$(LIBRARY)\n" in recipe]
    assert len(installing) == 4
    for recipe in installing:
        assert recipe.index("\t$(TORCH_BUILD)\n") < recipe.index("\t$(LIBRARY)\n")
