"""Where a dataset's images come from. Every source hands out the same: float32 in [0, 1].

Indexing touches no shared state, so several threads may ask one source at once (a prefetcher).
Shapes: N images, n rows asked for, C channels, H x W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from marginbench.checks import InputError

if TYPE_CHECKING:
    from PIL import Image

# Of the files at fault; the rest is only counted.
_NAMED = 10
# The tag of a TIFF that says how many bits a channel has.
_TIFF_BITS = 258


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


class DataError(InputError):
    """The user's own files are at fault, not the suite; its text says which and how."""


class Undecodable(DataError):
    """A picture among a dataset's files can't be decoded; others of them may be as bad."""


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
    kept: faces are taken to be aligned already), in RGB or grey. 16 bits are scaled to 8 by their
    full range, 0 to 65,535, whatever part of it a picture uses. A file that cannot be decoded is
    `Undecodable`: to pass over it would make batches of other sizes than stated.
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
        """One image as uint8, C x H x W; `Undecodable` names the file."""
        import numpy as np
        from PIL import Image

        height, width = self.size
        decoded = self._opened(self.files[row].path)
        if decoded.size != (width, height):
            decoded = decoded.resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(decoded))
        return pixels[None] if self.grey else pixels.permute(2, 0, 1)

    def _opened(self, path: Path) -> Image.Image:
        from PIL import Image

        try:
            with Image.open(path) as image:
                check_depth(path, image)
                return _in_bytes(image).convert("L" if self.grey else "RGB")
        except Undecodable:
            raise
        except Exception as error:  # Pillow's decoders raise whatever their format raises
            got = f"{type(error).__name__}: {error}"
            raise Undecodable(f"image {path}", "a file that Pillow can decode", got) from error

    def undecodable(self) -> str:
        """Decodes every file, and says in a sentence how many can't be and which, the first ten
        named; empty where all can."""
        found = []
        for file in self.files:
            try:
                self._opened(file.path)
            except Undecodable:
                found.append(str(file.path))
        if not found:
            return ""
        more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
        got = f"{len(found):,} of {len(self.files):,} that it can't"
        named = ", ".join(found[:_NAMED]) + more
        return f"images: expected files that Pillow can decode; got {got}: {named}"


def check_depth(path: Path, image: Image.Image) -> None:
    """Raises `Undecodable` for a picture of floats, or of integers of neither 8 nor 16 bits: its
    file does not say which value is white, and Pillow would clip all above 255 to it."""
    # Pillow reads 16 bits of a PGM, and its older versions those of a PNG, as 32.
    wide = image.mode == "I" and image.format not in ("PPM", "PNG")
    twelve = getattr(image, "tag_v2", {}).get(_TIFF_BITS) == (12,)
    if image.mode == "F" or wide or twelve:
        of = "12 bits" if twelve else "floats" if image.mode == "F" else "32 or signed 16 bits"
        expected = "8 or 16 bits a channel; convert it"
        raise Undecodable(f"image {path}", expected, f"Pillow's mode {image.mode} ({of})")


def _in_bytes(image: Image.Image) -> Image.Image:
    """The picture, if grey in 16 bits then in 8; colours of 16 bits Pillow reads so itself."""
    import numpy as np
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    wide = np.asarray(image).astype(np.int64)
    return Image.fromarray(((wide + 128) // 257).astype(np.uint8))


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
