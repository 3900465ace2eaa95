"""One directory per identity of images: CASIA-WebFace, MS1M, anything laid out like that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import parse_qsl

import torch

from suites.datasets.folder import OPTIONS

from .copies import NO_COPIES, apart
from .dataset import ALSO_CHECKED, DISTINGUISHED, Dataset, Missing
from .images import DataError, File, FileImages
from .tree import Skips, is_utf8, printable, scan

BY_FOLDER = "by the folders' names"


@dataclass(frozen=True)
class Address:
    """What stands behind ``folder:`` or ``lfw:``: a path and options, ``/path?size=112x96&grey=1``.

    ``size`` is height x width, or one number for both (default 112x96, as the papers align their
    faces); ``grey=1`` for one channel instead of three.
    """

    path: str
    options: dict[str, str]
    size: tuple[int, int]
    grey: bool

    @classmethod
    def parse(cls, address: str, known: tuple[str, ...] = OPTIONS) -> Address:
        """Raises DataError for an option that is not in ``known`` or has no such value; whether
        there is anything at the path is not looked at."""
        if not is_utf8(address):
            raise DataError("path", "a name in UTF-8", printable(address))
        path, _, query = address.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        for name in options:
            if name not in known:
                raise DataError("option", f"one of {', '.join(known)}", repr(name))
        text, grey = options.get("size", "112x96"), options.get("grey", "0")
        sides = [int(side) if is_number(side) else 0 for side in text.split("x")]
        if len(sides) > 2 or min(sides) < 1:
            raise DataError("size", "height x width in pixels, such as 112x96", repr(text))
        if grey not in {"0", "1"}:
            raise DataError("grey", "0 or 1", repr(grey))
        return cls(path, options, (sides[0], sides[-1]), grey == "1")

    def images(self, files: list[File]) -> FileImages:
        """The files as images, at the stated size and colours."""
        return FileImages(tuple(files), self.size, self.grey)


def is_number(text: str) -> bool:
    """Whether it is a whole number; of more digits than any count or size has, it is a mistake."""
    return text.isdecimal() and len(text) < 10


def directory(path: str) -> Path:
    """The path as a directory that is there, else `Missing`."""
    found = Path(path).expanduser()
    if not path or not found.is_dir():
        raise Missing(f"{path or 'an empty path'} is not a directory: give one that has a "
                      "directory of images for each identity")  # fmt: skip
    return found


def folder(address: str) -> Dataset:
    """Open-set over the identities below a path: half trained, half tested.

    Which half follows from a hash of the identity's name alone (in order of SHA-256, the first
    half is trained), so it does not move with the alphabet, nor much when identities are added.
    No file is trained on that is, byte for byte, one of those tested: one person under two names.
    An identity with one picture cannot be tested or paired: skipped and counted in ``facts``.
    Raises `Missing` for a path that is not there, DataError for fewer than four identities.
    """
    where, skips = Address.parse(address), Skips()
    found = scan(directory(where.path), 2, skips)
    if len(found) < 4:
        expected = "at least 4 directories with 2 images or more, to train on half of them"
        raise DataError("identities", expected, f"{len(found)} ({skips.plain()})")
    ordered = sorted(found, key=lambda name: hashlib.sha256(name.encode()).digest())
    half = len(ordered) // 2
    tested = [found[name] for name in ordered[half:]]
    trained = apart({name: found[name] for name in ordered[:half]}, chain(*tested), skips)
    if len(trained) < 2:
        expected = "two identities to train on whose images are not those tested"
        raise DataError("identities", expected, f"{len(trained)} ({skips.plain()})")
    members = [*trained.values(), *tested]
    sizes = torch.tensor([len(files) for files in members])
    identities = torch.arange(len(members)).repeat_interleave(sizes)
    images = where.images(list(chain(*members)))
    return Dataset(
        f"folder:{address}",
        images,
        identities,
        {
            "train": (identities < len(trained)).nonzero()[:, 0],
            "test": (identities >= len(trained)).nonzero()[:, 0],
        },
        facts={
            "identities": {"train": len(trained), "test": len(tested)},
            "skipped": skips.plain(),
            "preprocessing": preprocessing(images),
            "split": "identities in order of SHA-256 of their names, the first half trained",
            DISTINGUISHED: BY_FOLDER,
            ALSO_CHECKED: NO_COPIES,
            "manifest covers": "names and sizes of the files, not their content",
        },
    )


def preprocessing(images: FileImages) -> str:
    height, width = images.size
    colours = "grey" if images.grey else "RGB"
    return f"{colours}, resized to {height} x {width} (bilinear), divided by 255"
