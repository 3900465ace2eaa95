"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017) from its four IDX files."""

from __future__ import annotations

import functools
import gzip
import os
import zlib
from pathlib import Path

import torch
from torch import Tensor

from .dataset import SEEN, Dataset, Missing
from .images import ByteImages, DataError

PATH_VARIABLE = "MARGINBENCH_FASHION_MNIST"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Each side has two tops that are hard to distinguish and some footwear. The halves 0 to 4 and 5 to
# 9, or even and odd, would put (nearly) all clothing on one side and all shoes on the other, and
# so test on the easiest difference there is.
TRAINED = (0, 3, 4, 5, 9)  # T-shirt, dress, coat, sandal, ankle boot
TESTED = (1, 2, 6, 7, 8)  # trouser, pullover, shirt, sneaker, bag


def fashion() -> Dataset:
    """Open-set: 30,000 images of five classes trained; ``test`` are the official test images of
    the other five, ``seen`` those of the five trained. Raises `Missing` without the files."""
    return _fashion(_directory(), TRAINED, TESTED)


def fashion_closed() -> Dataset:
    """All ten classes trained; ``seen`` are the 10,000 official test images; no ``test``."""
    return _fashion(_directory(), tuple(range(10)), ())


def _directory() -> Path:
    given = os.environ.get(PATH_VARIABLE)
    directory = Path(given) if given else DEBIAN
    if not directory.is_dir():
        where = f"{PATH_VARIABLE}={given}" if given else str(DEBIAN)
        raise Missing(
            f"Fashion-MNIST is not there ({where} is not a directory): `make data` installs it "
            f"(Debian's dataset-fashion-mnist), or set {PATH_VARIABLE} to a directory with its "
            "four IDX files"
        )
    return directory


@functools.lru_cache(maxsize=2)
def _fashion(directory: Path, trained: tuple[int, ...], tested: tuple[int, ...]) -> Dataset:
    parts = {part: _pair(directory, *names) for part, names in FILES.items()}
    of_train, of_test = (tuple(parts[part][0].shape[1:]) for part in FILES)
    if of_train != of_test:
        names = " and ".join(images for images, _ in FILES.values())
        raise DataError(f"{directory}: {names}", "images of one size", f"{of_train} and {of_test}")
    identities = torch.cat([parts["train"][1], parts["test"][1]])
    official_test = torch.arange(len(identities)) >= len(parts["train"][1])
    known = torch.isin(identities, torch.tensor(trained))
    splits = {"train": known & ~official_test, SEEN: known & official_test}
    if tested:
        splits["test"] = torch.isin(identities, torch.tensor(tested)) & official_test
    return Dataset(
        "fashion" if tested else "fashion-closed",
        ByteImages(torch.cat([parts["train"][0], parts["test"][0]])[:, None]),
        identities,
        {name: chosen.nonzero()[:, 0] for name, chosen in splits.items()},
        facts={
            "source": "Fashion-MNIST, four IDX files",
            "preprocessing": "divided by 255",
            "split": f"classes {list(trained)} trained on the official training images, tested "
            f"as seen on the official test images; classes {list(tested)} tested on theirs",
        },
    )


def _pair(directory: Path, images_name: str, labels_name: str) -> tuple[Tensor, Tensor]:
    """Images (N x H x W, uint8) and labels (N, int64) of one part."""
    images_path, labels_path = _file(directory, images_name), _file(directory, labels_name)
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        got = f"shapes {tuple(images.shape)} and {tuple(labels.shape)}"
        raise DataError(f"{images_path} and its labels", "N x H x W images, N labels", got)
    if int(labels.max()) > 9:
        raise DataError(str(labels_path), "labels 0 to 9", int(labels.max()))
    counts = labels.to(torch.int64).bincount(minlength=10)
    if int(counts.min()) < 2:
        got = f"{int(counts.min())} of label {int(counts.argmin())}"
        raise DataError(str(labels_path), "two images or more of each label 0 to 9", got)
    return images, labels.to(torch.int64)


def _file(directory: Path, name: str) -> Path:
    for path in (directory / name, directory / f"{name}.gz"):
        if path.is_file():
            return path
    raise Missing(f"Fashion-MNIST is not whole: {directory} has neither {name} nor {name}.gz")


def read_idx(path: Path) -> Tensor:
    """The array of an IDX file of bytes, plain or gzipped: two zeros, the type (8: bytes), the
    number of dimensions, each dimension as a big-endian 32-bit number, the bytes.

    Raises DataError that names the file where it is anything else or has been cut short.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            got = f"{type(error).__name__}: {error}"
            raise DataError(str(path), "a whole gzip file", got) from error
    header = content[:4]
    if len(header) < 4 or header[:3] != b"\0\0\x08" or header[3] == 0:
        got = f"a file that begins with {header.hex(' ') or 'nothing'}"
        raise DataError(str(path), "an IDX file of bytes (00 00 08 and the dimensions)", got)
    begin = 4 + 4 * header[3]
    sides = content[4:begin]
    shape = [int.from_bytes(sides[i : i + 4], "big") for i in range(0, len(sides), 4)]
    expected = 1
    for side in shape:
        expected *= side
    if len(sides) == 4 * header[3] and 0 in shape:
        raise DataError(str(path), "an array that is not empty", f"sides {shape}")
    if len(sides) < 4 * header[3] or len(content) - begin != expected:
        got = f"{max(0, len(content) - begin):,}"
        raise DataError(str(path), f"{expected:,} bytes after the header, for {shape}", got)
    return torch.frombuffer(bytearray(content[begin:]), dtype=torch.uint8).reshape(shape)
