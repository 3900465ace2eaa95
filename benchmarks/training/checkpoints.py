"""The state of a training, kept after each epoch, so that a killed one goes on where it was.

A file is a SHA-256 over the rest, a line end, and the state as torch.save writes it. It appears
whole or not at all; one that is damaged, or of another training, is reported and left unused.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path
from typing import Any

import torch

_DIGEST = 64


def safe_name(name: str) -> str:
    """A file's name for a job's: no two jobs share one, whatever folder a dataset lies in."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{re.sub(r'[^A-Za-z0-9._+-]+', '_', name)[:120]}-{digest}"


def model_path(out_dir: Path, name: str) -> Path:
    """Where the trained network of a job's name is kept."""
    return out_dir / "models" / f"{safe_name(name)}.pt"


class Unusable(Exception):
    """Why a checkpoint can't be gone on from."""


class Checkpoint:
    """One training's file in ``folder``. ``identity`` is what a state must have been saved under
    to be used again: the job, the dataset's hash, the versions that numbers depend on."""

    def __init__(self, folder: Path, name: str, identity: dict[str, Any]) -> None:
        self.path = folder / f"{safe_name(name)}.pt"
        self._identity = identity

    def save(self, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save({"identity": self._identity, "state": state}, buffer)
        content = buffer.getvalue()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        part.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        part.replace(self.path)

    def load(self) -> dict[str, Any] | None:
        """The state, on the CPU; None where there is no file. Raises Unusable."""
        try:
            whole = self.path.read_bytes()
        except FileNotFoundError:
            return None
        content = whole[_DIGEST + 1 :]
        if hashlib.sha256(content).hexdigest().encode() != whole[:_DIGEST]:
            raise Unusable("the checkpoint is damaged")
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        for what, value in self._identity.items():
            if saved["identity"].get(what) != value:
                raise Unusable(f"the checkpoint is of another {what}")
        return saved["state"]

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
