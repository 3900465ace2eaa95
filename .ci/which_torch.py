"""Takes the CPU build of torch on a machine without an NVIDIA GPU, or says how to get it.

``python .ci/which_torch.py [--pinned FILE] [PIP ARGUMENTS]``, before `make` installs anything. On
Linux the default build of torch brings gigabytes of CUDA libraries, which a machine without an
NVIDIA GPU can't use. Where the package index at hand has the CPU build of the very version that
requirements.lock (or FILE) pins, it is installed here, and what follows keeps it. Otherwise it says
what is about to be downloaded.

Needs the standard library alone; always ends with exit code 0: whatever fails here, the
installation that follows says it better.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
INDEX = "https://download.pytorch.org/whl/cpu"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
MACHINES = ("x86_64", "aarch64")
# Another of PyTorch's indexes, such as ROCm's, is a choice that is left as it is.
CHOSEN = re.compile(r"download\.pytorch\.org/whl/(?!cpu\b)\w")
TAKEN = "No NVIDIA GPU was found: took the CPU build of torch ({version}+cpu)."
SAID = """\
No NVIDIA GPU was found, and the package index at hand has no CPU build of torch {version}.
The default build downloads about 2.5 GB of CUDA libraries. For the small build, stop and type:
  make TARGET PIP_ARGS="--extra-index-url {index}"
"""


def concerned() -> bool:
    """Whether the default build would bring what this machine can't use."""
    gpu = shutil.which("nvidia-smi") is not None
    return sys.platform == "linux" and platform.machine() in MACHINES and not gpu


def locked(path: Path = LOCK) -> str:
    """The version of torch that the lock pins; empty where it pins none."""
    found = re.search(r"^torch==([\w.]+)", path.read_text(encoding="utf-8"), re.M)
    return found[1] if found else ""


def installed(version: str) -> bool:
    """Whether that torch is there already, of whatever build: then nothing of it is downloaded."""
    try:
        return importlib.metadata.version("torch").partition("+")[0] == version
    except importlib.metadata.PackageNotFoundError:
        return False


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PIP, *arguments], capture_output=True, text=True)


def main(arguments: Sequence[str]) -> None:
    path = LOCK
    if list(arguments[:1]) == ["--pinned"]:
        path, arguments = Path(arguments[1]), arguments[2:]
    version = locked(path)
    if not version or not concerned() or installed(version):
        return
    configured = run("config", "list").stdout
    if CHOSEN.search(" ".join((*arguments, configured))):
        return
    made = run("install", "--quiet", "--no-deps", *arguments, f"torch=={version}+cpu")
    if made.returncode:
        print(SAID.format(version=version, index=INDEX), end="", file=sys.stderr, flush=True)
    else:
        print(TAKEN.format(version=version), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
