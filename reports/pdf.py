"""A page on paper or as a picture, by a headless Chromium, where one is installed.

    python -m reports.pdf PAGE.html OUT.png    the picture of its top, such as the README shows
    python -m reports.pdf PAGE.html OUT.pdf    the whole page, printed

Exit codes: 0 made; 2 bad usage, such as an OUT that is there, which is left as it is; 3 there is no
Chromium, it failed, or OUT can't be written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.module_commands import Parser, run

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


def main(words: Sequence[str]) -> int:
    parser = Parser("python -m reports.pdf", __doc__)
    parser.add_argument("source", metavar="PAGE", type=Path, help="an HTML file")
    parser.add_argument("target", metavar="OUT", type=Path, help="a new file, .png or .pdf")
    given = parser.parse_args(words)
    if not given.source.is_file():
        parser.error(f"PAGE: expected an HTML file; got {given.source}")
    if given.target.suffix not in (".png", ".pdf"):
        parser.error(f"OUT: expected a name that ends in .png or .pdf; got {given.target}")
    if os.path.lexists(given.target):  # nothing says that it is ours
        parser.error(f"OUT: expected a new file; {given.target} is there, and is left as it is")
    make = picture if given.target.suffix == ".png" else printed
    try:
        content = make(given.source, given.target.name)
        with given.target.open("xb") as file:
            file.write(content)
    except (NoPdf, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    print(given.target)
    return 0


if __name__ == "__main__":
    run(main)
