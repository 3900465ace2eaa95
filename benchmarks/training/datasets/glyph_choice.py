"""Which characters become identities, and which faces draw them."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from .fonts import Face, Pen

SEED = 20_150_617
# Two faces are copies if they draw all of these alike, of the characters that most faces have.
_PROBES = 64
_WELL_COVERED = 1_000
# So few common probes could agree by chance: a face that has only these is kept.
_FEWEST_PROBES = 8


class Chooser:
    """``faces`` without copies, and the candidate characters in the ``order`` they are tried.

    A candidate has at least ``pictures`` faces; those that most designs have come first, shuffled
    by a fixed seed among equals. Its faces are tried in a shuffled order of its
    own (seeded by its code point), every design once before any design twice, so that the weights
    of one large family are not all that an identity gets. A picture is left out, and counted, if
    it is blank or .notdef, if its glyph raises, or if it equals one that is there: of the same
    character (a face that borrows it from another) or of another (a placeholder, or two
    characters that a face does not distinguish).
    """

    def __init__(
        self, faces: Sequence[Face], characters: np.ndarray, size: int, em: int, pictures: int,
        counts: Counter[str],
    ) -> None:  # fmt: skip
        self.characters, self.pictures, self.counts = characters, pictures, counts
        self.pens = _without_copies([Pen(face, size, em) for face in faces], characters, counts)
        self.faces = [pen.face for pen in self.pens]
        counts["faces used"] = len(self.pens)
        has = np.array([face.has for face in self.faces]).reshape(len(self.pens), len(characters))
        self._has = has
        self.order = np.flatnonzero(has.sum(0) >= pictures).tolist()
        random.Random(SEED).shuffle(self.order)
        self.order.sort(key=self._designs().__getitem__, reverse=True)
        counts["characters that enough faces have"] = len(self.order)

    def _designs(self) -> list[int]:
        """How many designs have each character: weights of one family are near copies, so these
        are the pictures that really differ."""
        names = np.array([face.design for face in self.faces])
        by_design = [self._has[names == name].any(0) for name in np.unique(names)]
        designs = np.sum(by_design, axis=0) if by_design else np.zeros(len(self.characters))
        return [int(count) for count in designs]

    def identities(self) -> Iterator[tuple[int, list[bytes]]]:
        """Code point and pictures of each candidate that has enough of them, in order."""
        drawn: set[bytes] = set()
        for column in self.order:
            code = int(self.characters[column])
            pictures: dict[bytes, bytes] = {}
            for pen in self._in_turn(column, code):
                picture = pen.picture(code, self.counts)
                if picture is None:
                    continue
                digest = _digest(picture)
                if digest in pictures:
                    self.counts["pictures equal to another face's of the character"] += 1
                elif digest in drawn:
                    self.counts["pictures equal to another character's"] += 1
                else:
                    pictures[digest] = picture
                if len(pictures) == self.pictures:
                    break
            if len(pictures) < self.pictures:
                self.counts["characters with too few pictures after all"] += 1
                continue
            drawn |= pictures.keys()
            yield code, list(pictures.values())

    def _in_turn(self, column: int, code: int) -> list[Pen]:
        """The faces that say they have the character, designs in turns."""
        pens = [self.pens[i] for i in np.flatnonzero(self._has[:, column])]
        random.Random(SEED + code).shuffle(pens)
        turns: Counter[str] = Counter()
        ranked = []
        for pen in pens:
            ranked.append((turns[pen.face.design], pen))
            turns[pen.face.design] += 1
        return [pen for _, pen in sorted(ranked, key=lambda item: item[0])]


def _without_copies(pens: Sequence[Pen], characters: np.ndarray, counts: Counter[str]) -> list[Pen]:
    """Those whose probes no earlier face draws alike; the others are counted."""
    coverage = np.sum([pen.face.has for pen in pens], axis=0) if pens else np.zeros(0)
    best = np.argsort(-coverage, kind="stable")[:_WELL_COVERED].tolist()
    probes = sorted(random.Random(SEED).sample(best, min(_PROBES, len(best))))
    kept, drawn = [], set()
    for pen in pens:
        had = [int(characters[p]) for p in probes if pen.face.has[p]]
        # What fails here is counted where it would have been used.
        pictures = [(code, pen.picture(code, Counter())) for code in had]
        shown = tuple((code, _digest(p)) for code, p in pictures if p is not None)
        if not shown and pictures:
            counts["faces that draw none of the probes"] += 1
        elif len(shown) >= _FEWEST_PROBES and shown in drawn:
            counts["faces that are copies of another"] += 1
        else:
            kept.append(pen)
            drawn.add(shown)
    return kept


def _digest(picture: bytes) -> bytes:
    return hashlib.blake2b(picture, digest_size=16).digest()
