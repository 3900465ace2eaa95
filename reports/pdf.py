"""A page on paper or as a picture, by a headless Chromium, where one is installed.

``python -m reports.pdf PAGE.html OUT.png`` takes the picture of a page's top that the README shows;
a name that ends in .pdf prints it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
VARIABLE = "MARGINBENCH_CHROMIUM"
MEND = f"make chromium (Debian: apt-get install chromium), or name one in {VARIABLE}"
TIMEOUT_S = 180
PICTURE = "1200,860"


class NoPdf(Exception):
    """No browser is there, or it did not print; says what to do."""


def chromium() -> str | None:
    """The path of a Chromium; None where there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        return shutil.which(named)
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def write(page: Path, out: Path) -> Path:
    """Prints an HTML file as PDF and returns where; raises NoPdf with the reason."""
    return _made(page, out, "--no-pdf-header-footer", "--print-to-pdf={made}")


def picture(page: Path, out: Path) -> Path:
    """The top of an HTML file as PNG; raises NoPdf with the reason."""
    return _made(page, out, f"--window-size={PICTURE}", "--hide-scrollbars", "--screenshot={made}")


def _made(page: Path, out: Path, *arguments: str) -> Path:
    """Nothing reaches a network: the page asks for nothing, and the browser's own requests are
    switched off. It runs with a profile of its own, which is deleted."""
    browser = chromium()
    if browser is None:
        raise NoPdf(f"{out.name} needs Chromium, and none is found: {MEND}")
    with tempfile.TemporaryDirectory(prefix="marginbench-page-") as folder:
        made = Path(folder) / out.name
        command = [
            browser, "--headless", "--disable-gpu", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-first-run",
            f"--user-data-dir={folder}/profile", *(["--no-sandbox"] if os.geteuid() == 0 else []),
            *(argument.format(made=made) for argument in arguments), page.resolve().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoPdf(f"{browser} did not print {page}: {error}") from None
        # One that fails may leave a file behind: cut short, or empty.
        if done.returncode or not made.is_file() or not made.stat().st_size:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise NoPdf(f"{browser} did not print {page} (exit code {done.returncode}): {said[-1]}")
        from benchmarks import files

        files.write(out, made.read_bytes())
    return out


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:3])
    print((picture if target.suffix == ".png" else write)(source, target))
