"""Labelled Faces in the Wild: Name/Name_0001.jpg and pairs.txt (Huang et al. 2007)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from suites.datasets.lfw import OPTIONS

from ..metrics import Pairs
from .copies import NO_COPIES, apart
from .dataset import ALSO_CHECKED, DISTINGUISHED, Dataset, Missing
from .folder import BY_FOLDER, Address, directory, is_number, preprocessing
from .images import DataError, File
from .tree import Skips, scan


class Pair(NamedTuple):
    """Two pictures, each as ``Name/Name_0001`` without its ending, and the pair's fold."""

    first: str
    second: str
    same: bool
    fold: int


def lfw(address: str) -> Dataset:
    """The given pairs, with their folds, as the test; LFW has no training images of its own.

    ``lfw:/lfw`` trains on LFW's identities that no pair names and that have two pictures or more;
    ``lfw:/lfw?train=/faces`` on a folder with one directory per identity, without those that are
    called as one in the pairs. Names say nothing where the folder's are numbers: so no file is
    trained on that is, byte for byte, one of those tested.
    ``pairs=/elsewhere/pairs.txt`` if it is not in the folder. ``test`` are the pictures that the
    pairs name. A pair of which a picture is missing or no image is left out and counted. Raises
    `Missing` without the folder or the pairs file, `DataError` for what can't be used.
    """
    where, skips = Address.parse(address, OPTIONS), Skips()
    root = directory(where.path)
    path = Path(where.options.get("pairs", root / "pairs.txt")).expanduser()
    if not path.is_file():
        raise Missing(f"LFW's pairs are not there: {path} is no file; it comes with LFW (10 folds "
                      "of pairs); put it there or give ?pairs=/path/pairs.txt")  # fmt: skip
    pairs = list(read_pairs(path))
    tested = {picture.partition("/")[0] for p in pairs for picture in (p.first, p.second)}
    own = scan(root, 1, skips)
    trained = own
    if "train" in where.options:
        trained = scan(directory(where.options["train"]), 2, skips)
    pictures = _found(own, tested)
    usable = _usable(pairs, pictures, skips)
    untested = {name: files for name, files in trained.items()
                if not _tested(name, tested, skips, own=trained is own)}  # fmt: skip
    training = apart(untested, [pictures[name] for name in _shown(usable)], skips)
    if len(training) < 2:
        expected = "two identities to train on that no pair names; ?train=/folder gives others"
        raise DataError("identities", expected, f"{len(training)} ({skips.plain()})")
    return _assembled(address, where, training, pictures, usable, skips)


def _tested(name: str, tested: set[str], skips: Skips, own: bool) -> bool:
    if name in tested and not own:
        skips.add("training identities called as one in the pairs", name)
    return name in tested


def _found(own: dict[str, list[File]], tested: set[str]) -> dict[str, File]:
    """The pictures that pairs may name, by their names without the ending."""
    return {
        file.name.rpartition(".")[0]: file
        for name in sorted(tested & own.keys())
        for file in own[name]
    }


def _usable(pairs: list[Pair], pictures: dict[str, File], skips: Skips) -> list[Pair]:
    usable = []
    for pair in pairs:
        absent = [picture for picture in (pair.first, pair.second) if picture not in pictures]
        if absent:
            skips.add("pairs without one of their pictures", absent[0])
        else:
            usable.append(pair)
    if not usable:
        raise DataError("pairs", "pairs whose pictures are there", skips.plain())
    return usable


def _shown(pairs: list[Pair]) -> list[str]:
    return sorted({picture for pair in pairs for picture in (pair.first, pair.second)})


def _assembled(
    address: str, where: Address, training: dict[str, list[File]], pictures: dict[str, File],
    usable: list[Pair], skips: Skips,
) -> Dataset:  # fmt: skip
    shown = _shown(usable)
    position = {picture: row for row, picture in enumerate(shown)}
    owners = {name: len(training) + i for i, name in enumerate(_names(shown))}
    identities = [i for i, files in enumerate(training.values()) for _ in files]
    count = len(identities)
    identities += [owners[picture.partition("/")[0]] for picture in shown]
    files = [file for listed in training.values() for file in listed]
    images = where.images(files + [pictures[picture] for picture in shown])
    return Dataset(
        f"lfw:{address}",
        images,
        torch.tensor(identities),
        {"train": torch.arange(count), "test": torch.arange(count, len(identities))},
        pairs=Pairs(
            torch.tensor([[position[p.first], position[p.second]] for p in usable]),
            torch.tensor([p.same for p in usable]),
            torch.tensor([p.fold for p in usable]),
        ),
        facts={
            "identities": {"train": len(training), "test": len(owners)},
            "pairs": {"same": sum(p.same for p in usable), "all": len(usable),
                      "folds": len({p.fold for p in usable})},
            "skipped": skips.plain(),
            "preprocessing": preprocessing(images),
            "split": "tested on the given pairs; trained on "
            + ("the folder given" if "train" in where.options else "identities that no pair names"),
            DISTINGUISHED: BY_FOLDER,
            ALSO_CHECKED: NO_COPIES,
            "manifest covers": "names and sizes of the files, not their content",
        },
    )  # fmt: skip


def _names(pictures: list[str]) -> list[str]:
    return sorted({picture.partition("/")[0] for picture in pictures})


def read_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of a file in LFW's format, in order.

    First line: folds and pairs of each kind in a fold (view 2), or the latter alone (one fold,
    view 1). Then for each fold the pairs of one identity (name, number, number) and as many of
    two (name, number, name, number). Between them are tabs, so that a name may have spaces; a line
    without a tab is read by its spaces. Raises DataError with the number of the line at fault,
    also for a picture paired with itself and for a pair of two that is of one.
    """
    # An editor's byte order mark is no part of the first number.
    content = path.read_bytes()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        got = repr(content.splitlines()[number - 1])
        raise DataError(f"{path}, line {number}", "text in UTF-8", got) from None
    header = _words(lines[0]) if lines else []
    if len(header) not in (1, 2) or not all(is_number(word) for word in header):
        raise DataError(f"{path}, line 1", "the numbers of folds and pairs", header)
    folds, kind = (int(header[0]), int(header[1])) if len(header) == 2 else (1, int(header[0]))
    body = [(number, _words(line)) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if len(body) != 2 * folds * kind:
        expected = f"{2 * folds * kind:,} pairs ({folds} folds of {kind} and {kind})"
        raise DataError(f"{path}", expected, f"{len(body):,}")
    for index, (number, words) in enumerate(body):
        same = index // kind % 2 == 0
        numbers = words[1:3] if same else words[1::2]
        if len(words) != (3 if same else 4) or not all(is_number(word) for word in numbers):
            expected = "name, number, number" if same else "name, number, name, number"
            raise DataError(f"{path}, line {number}", expected, " ".join(words))
        other = words[0] if same else words[2]
        first, second = _picture(words[0], numbers[0]), _picture(other, numbers[1])
        if same and first == second:
            raise DataError(f"{path}, line {number}", "two pictures", f"{first} twice")
        if not same and words[0] == other:
            raise DataError(f"{path}, line {number}", "pictures of two people", f"{other} twice")
        yield Pair(first, second, same, index // (2 * kind))


def _words(line: str) -> list[str]:
    words = line.split("\t") if "\t" in line.strip() else line.split()
    return [word.strip() for word in words if word.strip()]


def _picture(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"
