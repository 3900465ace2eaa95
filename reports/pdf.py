"""A page on paper: PDF by a headless Chromium, where one is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
VARIABLE = "MARGINBENCH_CHROMIUM"
MEND = f"install one (Debian: apt-get install chromium) or name it in {VARIABLE}"
TIMEOUT_S = 180


class NoPdf(Exception):
    """No browser is there, or it did not print; says what to do."""


def chromium() -> str | None:
    """The path of a Chromium; None where there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        return shutil.which(named)
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def write(page: Path, out: Path) -> Path:
    """Prints an HTML file as PDF and returns where; raises NoPdf with the reason.

    Nothing of the page reaches a network: it asks for nothing, and the browser's own requests are
    switched off. The browser runs with a profile of its own, which is deleted.
    """
    browser = chromium()
    if browser is None:
        raise NoPdf(f"a PDF needs Chromium, and none is found: {MEND}")
    with tempfile.TemporaryDirectory(prefix="marginbench-pdf-") as profile:
        made = Path(profile) / "page.pdf"
        command = [
            browser, "--headless", "--disable-gpu", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-first-run",
            "--no-pdf-header-footer", f"--user-data-dir={profile}/profile",
            f"--print-to-pdf={made}", *(["--no-sandbox"] if os.geteuid() == 0 else []),
            page.resolve().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoPdf(f"{browser} did not print {page}: {error}") from None
        if not made.is_file():
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise NoPdf(f"{browser} did not print {page} (exit code {done.returncode}): {said[-1]}")
        from benchmarks import files

        files.write_bytes(out, made.read_bytes())
    return out
