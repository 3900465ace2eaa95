"""A real browser for page tests: Debian's Chromium, driven by Playwright, with no way outside.

Where either is missing the tests that ask for it are skipped, and say what to install.
"""

from __future__ import annotations

import functools
import http.server
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from reports import pdf

NEEDS_CHROMIUM = "needs Chromium: make chromium, or: apt-get install chromium"
NEEDS_PAGES = "needs the extra pages: make test, or: pip install -c requirements.lock -e '.[pages]'"
ARGUMENTS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-gpu",
]  # fmt: skip
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


@dataclass
class Opened:
    """A page with what it complained of and what it asked the outside for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


def chromium() -> str:
    """Its path; skips the test where there is none."""
    path = pdf.chromium()
    if path is None:
        pytest.skip(NEEDS_CHROMIUM)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = chromium()
    pytest.importorskip("playwright", reason=NEEDS_PAGES)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield launched
        launched.close()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing among the tests' own lines."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP on this machine; gives its address, which ends in a slash."""
    handler = functools.partial(_Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def opened(browser: Any, page: Path | str, **options: Any) -> Iterator[Opened]:
    """A file, or an address under what `served` gives, in a context of its own; every request but
    of files, or of that server, is refused."""
    address = page if isinstance(page, str) else page.resolve().as_uri()
    allowed = "file://" if address.startswith("file://") else urljoin(address, "/")
    context = browser.new_context(**{"viewport": DESK, **options})
    context.set_default_timeout(20_000)
    found = Opened(context.new_page())

    def answer(route: Any) -> None:
        url = route.request.url
        if url.startswith((allowed, "data:")):
            route.continue_()
            return
        found.outside.append(url)
        route.abort()

    context.route("**/*", answer)
    found.page.on("console", lambda said: found.complaints.append(f"{said.type}: {said.text}"))
    found.page.on("pageerror", lambda error: found.complaints.append(f"error: {error}"))
    found.page.on("requestfailed", lambda asked: found.complaints.append(f"failed: {asked.url}"))
    try:
        found.page.goto(address)
        yield found
    finally:
        context.close()


def violations(page: Any) -> list[str]:
    """What axe-core finds that is serious or critical, each with the first place of it."""
    pytest.importorskip("axe_playwright_python", reason=NEEDS_PAGES)
    from axe_playwright_python.sync_playwright import Axe

    found = (
        Axe()
        .run(page, options={"resultTypes": ["violations"], "preload": False})
        .response["violations"]
    )
    return [
        f"{one['impact']} {one['id']} x{len(one['nodes'])}: {one['nodes'][0]['html'][:200]} "
        f"{one['nodes'][0].get('failureSummary', '')[:300]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def pages_and_texts(content: bytes) -> tuple[int, int]:
    """Of a PDF that Chromium made: its pages, and how often text is shown on them."""
    assert content.startswith(b"%PDF-") and b"%%EOF" in content[-64:]
    shown = 0
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            shown += len(re.findall(rb"\bT[jJ]\b", zlib.decompress(stream)))
        except zlib.error:
            continue
    return len(re.findall(rb"/Type\s*/Page\b", content)), shown
