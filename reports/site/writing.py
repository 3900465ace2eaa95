"""Files of the site: written once, each with its hash."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import files
from benchmarks.records import RecordError


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
