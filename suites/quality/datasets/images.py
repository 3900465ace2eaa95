"""Where a dataset's images come from. Every source hands out the same: float32 in [0, 1].

Indexing touches no shared state, so several threads may ask one source at once (a prefetcher).
Shapes: N images, n rows asked for, C channels, H x W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from kernels.checks import InputError


class Images(Protocol):
    """``images[rows]`` for a tensor of row numbers (n, int64): float32 of n x C x H x W in [0, 1].

    A float32 tensor is such a source as well.
    """

    @property
    def shape(self) -> Sequence[int]: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class ByteImages:
    """Images kept as bytes (uint8, N x C x H x W; a memory-mapped array stays on the disk), a
    quarter of what floats take, and turned into floats as they are asked for."""

    pixels: Tensor

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.dtype != torch.uint8:
            got = f"shape {tuple(self.pixels.shape)}, {self.pixels.dtype}"
            raise InputError("pixels", "N x channels x height x width in uint8", got)

    @property
    def shape(self) -> Sequence[int]:
        return self.pixels.shape

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self.pixels[rows].to(torch.float32).div_(255)


class File(NamedTuple):
    """A file of a tree: its name below the root, and its size in bytes."""

    root: Path
    name: str
    size: int

    @property
    def path(self) -> Path:
        return self.root / self.name


@dataclass(frozen=True)
class FileImages:
    """Images decoded from files as they are asked for: never more in memory than one batch.

    Resized to ``size`` (height, width) where they differ from it (bilinear, the aspect ratio not
    kept: faces are taken to be aligned already), in RGB or grey. A file that cannot be decoded is
    an InputError that names it: to pass over it would make batches of other sizes than stated.
    """

    files: tuple[File, ...]
    size: tuple[int, int] = (112, 96)
    grey: bool = False

    @property
    def shape(self) -> Sequence[int]:
        return (len(self.files), 1 if self.grey else 3, *self.size)

    def __getitem__(self, rows: Tensor) -> Tensor:
        wanted = [rows] if rows.ndim == 0 else rows
        pixels = torch.stack([self._decoded(int(row)) for row in wanted])
        images = pixels.to(torch.float32).div_(255)
        return images[0] if rows.ndim == 0 else images

    def _decoded(self, row: int) -> Tensor:
        """One image as uint8, C x H x W; InputError names the file that cannot be decoded."""
        import numpy as np
        from PIL import Image

        path = self.files[row].path
        height, width = self.size
        try:
            with Image.open(path) as image:
                decoded = image.convert("L" if self.grey else "RGB")
        except Exception as error:  # Pillow's decoders raise whatever their format raises
            got = f"{type(error).__name__}: {error}"
            raise InputError(f"image {path}", "a file that Pillow can decode", got) from error
        if decoded.size != (width, height):
            decoded = decoded.resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(decoded))
        return pixels[None] if self.grey else pixels.permute(2, 0, 1)


def fingerprint(images: Images) -> str:
    """SHA-256 of the pixels, or of the files' names and sizes where the pixels are on the disk:
    to read every file up front would cost more than the training of a small network."""
    digest = hashlib.sha256()
    if isinstance(images, FileImages):
        digest.update(f"files {tuple(images.shape)}\n".encode())
        for file in images.files:
            digest.update(f"{file.name}\0{file.size}\n".encode())
        return digest.hexdigest()
    array = (
        images.pixels if isinstance(images, ByteImages) else images[torch.arange(images.shape[0])]
    )
    digest.update(f"{tuple(array.shape)} {array.dtype}\n".encode())
    digest.update(array.contiguous().numpy().data)
    return digest.hexdigest()
