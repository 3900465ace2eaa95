"""One directory per identity of images: CASIA-WebFace, MS1M, anything laid out like that."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch

from .dataset import DISTINGUISHED, Dataset, Missing
from .images import DataError, File, FileImages, as_text

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
BY_FOLDER = "by the folders' names"
# Named in the facts, so that someone can look; the rest is only counted.
_EXAMPLES = 5


@dataclass(frozen=True)
class Address:
    """What stands behind ``folder:`` or ``lfw:``: a path and options, ``/path?size=112x96&grey=1``.

    ``size`` is height x width, or one number for both (default 112x96, as the papers align their
    faces); ``grey=1`` for one channel instead of three.
    """

    path: Path
    options: dict[str, str]

    @classmethod
    def parse(cls, address: str, known: tuple[str, ...] = ()) -> Address:
        """Raises DataError for an option that is not known, `Missing` if the path is no
        directory."""
        path, _, query = address.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        names = ("size", "grey", *known)
        for name in options:
            if name not in names:
                raise DataError("dataset option", f"one of {', '.join(names)}", repr(name))
        return cls(directory(path), options)

    def images(self, files: list[File]) -> FileImages:
        """The files as images, at the stated size and colours."""
        text, grey = self.options.get("size", "112x96"), self.options.get("grey", "0")
        sides = [int(side) if side.isdecimal() else 0 for side in text.split("x")]
        if len(sides) > 2 or min(sides) < 1:
            raise DataError("size", "height x width in pixels, such as 112x96", repr(text))
        if grey not in {"0", "1"}:
            raise DataError("grey", "0 or 1", repr(grey))
        return FileImages(tuple(files), (sides[0], sides[-1]), grey == "1")


def directory(path: str) -> Path:
    """The path as a directory that is there, else `Missing`."""
    found = Path(path).expanduser()
    if not path or not found.is_dir():
        raise Missing(f"{path or 'an empty path'} is not a directory: give one that has a "
                      "directory of images for each identity")  # fmt: skip
    return found


@dataclass
class Skips:
    """What was left out: counted by reason, the first few named."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        self.counts[reason] += 1
        named = self.examples.setdefault(reason, [])
        if len(named) < _EXAMPLES:
            named.append(as_text(name))

    def plain(self) -> dict[str, Any]:
        return {r: {"count": n, "first": self.examples[r]} for r, n in self.counts.items()}


def scan(root: Path, least: int, skips: Skips) -> dict[str, list[File]]:
    """The image files of each identity (a directory below ``root``) that has ``least`` or more,
    in order of their names.

    Each file is opened as far as its header: one that is empty or no image is skipped. What lies
    behind the header shows when it is decoded.
    """
    found: dict[str, list[File]] = {}
    with os.scandir(root) as entries:
        identities = sorted(entry.name for entry in entries if entry.is_dir())
    for identity in identities:
        files = []
        with os.scandir(root / identity) as entries:
            pictures = sorted((e for e in entries if e.is_file()), key=lambda e: e.name)
        for entry in pictures:
            if Path(entry.name).suffix.lower() not in ENDINGS:
                continue
            name = f"{identity}/{entry.name}"
            if _is_image(Path(entry.path)):
                files.append(File(root, name, entry.stat().st_size))
            else:
                skips.add("files without the header of an image", name)
        if len(files) >= least:
            found[identity] = files
        elif files:
            skips.add(f"identities with fewer than {least} pictures", identity)
        else:
            skips.add("identities without a picture", identity)
    return found


def _is_image(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path):
            return True
    except Exception:  # Pillow's readers raise whatever their format raises
        return False


def folder(address: str) -> Dataset:
    """Open-set over the identities below a path: half trained, half tested.

    Which half follows from a hash of the identity's name alone (in order of SHA-256, the first
    half is trained), so it does not move with the alphabet, nor much when identities are added.
    An identity with one picture cannot be tested or paired: skipped and counted in ``facts``.
    Raises `Missing` for a path that is not there, DataError for fewer than four identities.
    """
    where, skips = Address.parse(address), Skips()
    found = scan(where.path, 2, skips)
    if len(found) < 4:
        expected = "at least 4 directories with 2 images or more, to train on half of them"
        raise DataError("identities", expected, f"{len(found)} ({skips.plain()})")
    ordered = sorted(found, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    sizes = torch.tensor([len(found[name]) for name in ordered])
    identities = torch.arange(len(ordered)).repeat_interleave(sizes)
    trained = len(ordered) // 2
    images = where.images([file for name in ordered for file in found[name]])
    return Dataset(
        f"folder:{address}",
        images,
        identities,
        {
            "train": (identities < trained).nonzero()[:, 0],
            "test": (identities >= trained).nonzero()[:, 0],
        },
        facts={
            "identities": {"train": trained, "test": len(ordered) - trained},
            "skipped": skips.plain(),
            "preprocessing": preprocessing(images),
            "split": "identities in order of SHA-256 of their names, the first half trained",
            DISTINGUISHED: BY_FOLDER,
            "manifest covers": "names and sizes of the files, not their content",
        },
    )


def preprocessing(images: FileImages) -> str:
    height, width = images.size
    colours = "grey" if images.grey else "RGB"
    return f"{colours}, resized to {height} x {width} (bilinear), divided by 255"
