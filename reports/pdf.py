"""A page on paper or as a picture, by a headless Chromium, where one is installed.

``python -m reports.pdf PAGE.html OUT.png`` takes the picture of a page's top that the README shows;
a name that ends in .pdf prints it. OUT is a new file: one that is there is left as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FILE = "report.pdf"
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


def printed(page: Path, name: str = FILE) -> bytes:
    """An HTML file as PDF; ``name`` is what it will be called. Raises NoPdf with the reason."""
    return _made(page, name, "--no-pdf-header-footer", "--print-to-pdf={made}")


def picture(page: Path, name: str) -> bytes:
    """The top of an HTML file as PNG; raises NoPdf with the reason."""
    return _made(page, name, f"--window-size={PICTURE}", "--hide-scrollbars", "--screenshot={made}")


def _made(page: Path, name: str, *arguments: str) -> bytes:
    """Nothing reaches a network: the page asks for nothing, and the browser's own requests are
    switched off. It runs with a profile of its own, which is deleted."""
    browser = chromium()
    if browser is None:
        raise NoPdf(f"{name} needs Chromium, and none is found: {MEND}")
    with tempfile.TemporaryDirectory(prefix="marginbench-page-") as folder:
        made = Path(folder) / name
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
        return made.read_bytes()


def main(source: Path, target: Path) -> int:
    """Exit code 2 where the file is there already: nothing says that it is ours."""
    if os.path.lexists(target):
        print(f"error: OUT: expected a new file; {target} is there, and is left as it is",
              file=sys.stderr)  # fmt: skip
        return 2
    content = (picture if target.suffix == ".png" else printed)(source, target.name)
    with target.open("xb") as file:
        file.write(content)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
