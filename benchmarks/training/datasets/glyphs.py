"""Characters as identities, typefaces as their pictures: open-set, fine-grained, as large as the
fonts of the machine allow, with true look-alikes (已 己 巳)."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import cache, fonts
from .dataset import Dataset, Missing
from .glyph_choice import Chooser
from .images import ByteImages
from .progress import Progress, shown

# Anything that changes a pixel or a choice must change this, or an old cache would be taken for it.
RENDERING = 1
# The unified Han ideographs and their extension A. The compatibility ideographs are left out: they
# look like a unified one, so the same picture would have two identities.
HAN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF))


@dataclass(frozen=True)
class GlyphSet:
    """How many identities of how many pictures each, drawn how, from which code points."""

    name: str
    identities: int
    pictures: int
    size: int = 32
    em: int = 28
    ranges: tuple[tuple[int, int], ...] = HAN
    least: int = 1_000  # characters of the ranges that a face must have to be of use

    def characters(self) -> np.ndarray:
        return np.concatenate([np.arange(first, last + 1) for first, last in self.ranges])


STANDARD = GlyphSet("glyphs", 2_000, 20)
LARGE = GlyphSet("glyphs-large", 10_000, 40)


def glyphs() -> Dataset:
    """2,000 Han characters x 20 typefaces, 32 x 32 pixels: half of the characters trained, half
    tested. Raises `Missing` where the machine has too few fonts; see `rendered`."""
    return rendered(STANDARD)


def glyphs_large() -> Dataset:
    """10,000 Han characters x 40 typefaces, otherwise as `glyphs`."""
    return rendered(LARGE)


def rendered(
    wanted: GlyphSet, directory: Path | None = None, progress: Progress | None = None
) -> Dataset:
    """The dataset from the fonts of the machine, or of ``directory`` alone; from the
    cache where these same fonts were rendered before.

    The characters that most designs have are taken, those that equally many have in an order
    shuffled by a fixed seed; one that falls short of its pictures is left out (`Chooser` has the
    rules). Every second identity is trained, the others tested. All of it follows from the fonts.
    """
    files = tuple(fonts.font_files(directory))
    stamps = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    place = _known(wanted, stamps) or _surveyed(wanted, files, stamps, progress or shown)
    return _loaded(wanted, place)


def _stamp(wanted: GlyphSet, stamps: tuple[tuple[str, int, int], ...]) -> Path:
    """Where it is written which entry these files led to: to read every font's characters and
    content again at each start would take longer than many a training."""
    key = repr((RENDERING, _libraries(), wanted, stamps))
    return cache.root() / f"{wanted.name}-{_short(key)}.stamp"


def _known(wanted: GlyphSet, stamps: tuple[tuple[str, int, int], ...]) -> Path | None:
    try:
        place = cache.root() / _stamp(wanted, stamps).read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return place if place.parent == cache.root() and _whole(place) else None


def _surveyed(
    wanted: GlyphSet, files: tuple[Path, ...], stamps: tuple[tuple[str, int, int], ...],
    progress: Progress,
) -> Path:  # fmt: skip
    """The cache's entry for what is in these files, rendered if it is not there."""
    counts: Counter[str] = Counter()
    faces = fonts.faces(files, wanted.characters(), wanted.least, counts)
    chooser = Chooser(faces, wanted.characters(), wanted.size, wanted.em, wanted.pictures, counts)
    if len(chooser.order) < wanted.identities:
        raise _too_few(wanted, len(chooser.order), len(faces))
    manifest = {
        "rendering": RENDERING, "recipe": _plain(wanted), "libraries": _libraries(),
        "fonts": [face.plain() for face in faces],
    }  # fmt: skip
    name = f"{wanted.name}-{_short(json.dumps(manifest))}"
    place = cache.entry(
        name, lambda made: _render(wanted, chooser, manifest, made, progress), _whole
    )
    _stamp(wanted, stamps).write_text(name)
    return place


def _too_few(wanted: GlyphSet, characters: int, faces: int) -> Missing:
    return Missing(
        f"{wanted.name} needs {wanted.identities:,} characters in {wanted.pictures} typefaces "
        f"that differ; the {faces} usable faces on this machine give {characters:,}: `make data` "
        "installs the fonts (Debian packages)"
    )


def _render(
    wanted: GlyphSet, chooser: Chooser, manifest: dict[str, Any], made: Path, progress: Progress
) -> None:
    """Fills an entry: ``images.npy`` (uint8, written as it is drawn) and ``facts.json``."""
    shape = (wanted.identities * wanted.pictures, 1, wanted.size, wanted.size)
    images = np.lib.format.open_memmap(made / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    characters: list[int] = []
    with progress(f"rendering {wanted.name}", wanted.identities) as advance:
        for code, pictures in chooser.identities():
            first = len(characters) * wanted.pictures
            block = np.frombuffer(b"".join(pictures), dtype=np.uint8)
            images[first : first + wanted.pictures] = block.reshape(-1, *shape[1:])
            characters.append(code)
            advance(len(characters))
            if len(characters) == wanted.identities:
                break
    if len(characters) < wanted.identities:
        raise _too_few(wanted, len(characters), len(chooser.faces))
    images.flush()
    del images
    facts = {
        **manifest,
        "counts": dict(sorted(chooser.counts.items())),
        "characters": "".join(map(chr, characters)),
        "images_sha256": cache.sha256(made / "images.npy"),
    }
    (made / "facts.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")


def _whole(place: Path) -> bool:
    """Whether an entry is what was written: its facts are readable and its images match them."""
    try:
        facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
        return bool(facts["images_sha256"] == cache.sha256(place / "images.npy"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


@functools.lru_cache(maxsize=2)
def _loaded(wanted: GlyphSet, place: Path) -> Dataset:
    facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
    # Memory-mapped, so that processes share the pages; copy-on-write, so that none can change it.
    pixels = torch.from_numpy(np.load(place / "images.npy", mmap_mode="c"))
    identities = torch.arange(wanted.identities).repeat_interleave(wanted.pictures)
    # Alternating, because the later a character comes, the fewer designs have it.
    trained = identities % 2 == 0
    return Dataset(
        wanted.name,
        ByteImages(pixels),
        identities,
        {
            "train": trained.nonzero()[:, 0],
            "test": (~trained).nonzero()[:, 0],
        },
        facts={
            **facts,
            "preprocessing": f"{wanted.em} pixels an em on {wanted.size} x {wanted.size}, ink "
            "centred, white on black, divided by 255",
            "split": "every second character trained, beginning with the first, the others tested",
        },
    )


def _plain(wanted: GlyphSet) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(wanted)))
    return plain


def _libraries() -> dict[str, str | None]:
    """What draws: another version may draw another pixel."""
    import PIL
    from PIL import features

    return {"pillow": PIL.__version__, "freetype": features.version("freetype2")}


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
