"""Files of the site: written once, each with its hash."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.records import files
from benchmarks.records.loading import RecordError

from .. import output, pages
from ..document import Document, Figure
from ..pages import Page


@dataclass
class Output:
    """A folder that pages are written into; ``written`` holds hashes by path from its root."""

    root: Path
    written: dict[str, str] = field(default_factory=dict)

    def write(self, path: str, text: str) -> None:
        content = files.encoded(text)
        target = self._place(path)
        with files.naming(target):
            target.write_bytes(content)
        self.written[path] = hashlib.sha256(content).hexdigest()

    def figures(
        self, figures: Iterable[Figure], folder: str, data: Callable[[Figure], str]
    ) -> None:
        """``data``: what is written of each beside its drawing."""
        for path, text in output.figure_files(figures, folder, data).items():
            self.write(path, text)

    def page(self, made: Document, page: Page, data: Callable[[Figure], str]) -> None:
        """A page, and the files of the figures on it."""
        self.figures(made.figures(), page.figures, data)
        self.write(page.path, pages.render(made, page))

    def copy(self, path: str, source: Path) -> None:
        target = self._place(path)
        shutil.copyfile(source, target)
        self.written[path] = digest(target)

    def _place(self, path: str) -> Path:
        target = self.root / path
        if path in self.written:
            raise RecordError(
                f"site: expected a file of its own for each name in the records; two come to {path}"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
