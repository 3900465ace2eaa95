"""The tensors that a loss takes and the sizes that they have, as data; torch is not imported.

Every batch holds the fields of `STANDARD`. A variant declares what else it takes in
`marginbench.loss.Variant.fields`: a `Field` of its own, or one of `MEMORY` and `MEMORY_LABELS`.

Sizes go by letter: B batch, D dimension of an embedding, C classes, and whatever a variant
declares in ``sizes``, such as K centers a class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# Which of B, D and C matter to a variant: suites choose their sizes by it.
FAMILIES: Mapping[str, str] = {
    "head": "embeddings (B x D) against class weights (C x D)",
    "batch": "the labelled embeddings of one batch (B x D)",
    "rows": "N independent rows",
}


@dataclass(frozen=True)
class Shape:
    """The size of one case.

    ``batch``: embeddings, pairs or triplets (B or N). ``dim``: D. ``classes``: rows of the class
    weights for a head; identities present in the batch for a loss over pairs or triplets.
    ``more``: the variant's own sizes, each with its letter.
    """

    batch: int
    dim: int
    classes: int
    more: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        # JSON gives lists.
        object.__setattr__(self, "more", tuple((letter, size) for letter, size in self.more))

    def __str__(self) -> str:
        own = "".join(f"-{letter}{size}" for letter, size in self.more)
        return f"B{self.batch}-D{self.dim}-C{self.classes}{own}"

    def __getitem__(self, letter: str) -> int:
        return {"B": self.batch, "D": self.dim, "C": self.classes, **dict(self.more)}[letter]

    def of(self, letters: Sequence[str]) -> tuple[int, ...]:
        """The sizes that these letters stand for."""
        return tuple(self[letter] for letter in letters)


Size = int | Callable[[Shape], int]
Make = Callable[[Any], Any]


@dataclass(frozen=True)
class Field:
    """A tensor that a loss reads from a batch.

    ``sizes`` are letters: ``("C", "K", "D")``, or ``()`` for a single number. ``dtype``: "float"
    is the case's own. ``kind`` says where a training takes it from:

    - ``"images"``: the step's images give it (embeddings and labels);
    - ``"partners"``: other images do, one for each row (see `STANDARD`);
    - ``"input"``: it is made anew for each step;
    - ``"state"``: it is made once and kept. Where a differentiable argument is made from it, it is
      trained by gradient beside the network; `marginbench.loss.Training.updates` may name the
      variant that replaces it after each step; else it stays as it is;
    - ``"memory"``: it holds what past steps embedded, up to M rows of it.

    ``draw`` makes it for a random case (without: standard normal), ``train`` for a training
    (without: as it is drawn). Both take a `marginbench.inputs.Maker`.
    """

    name: str
    sizes: tuple[str, ...]
    summary: str = ""
    dtype: Literal["float", "int64", "bool"] = "float"
    kind: Literal["images", "partners", "input", "state", "memory"] = "input"
    draw: Make | None = None
    train: Make | None = None

    def dtype_in(self, case: str) -> str:
        """The name of its dtype where float tensors have the ``case``'s."""
        return case if self.dtype == "float" else self.dtype


def _zeros(make: Any) -> Any:
    return make.full(0)


# `marginbench.inputs.random_batch` draws these together: rows scatter around their classes.
STANDARD: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field("embeddings", ("B", "D"), kind="images"),
        Field("labels", ("B",), "below C", "int64", kind="images"),
        Field(
            "class_weights", ("C", "D"), kind="state",
            train=lambda make: make.normal() / make.shape.dim**0.5,
        ),
        Field("bias", ("C",), kind="state", train=_zeros),
        Field("centers", ("C", "D"), kind="state", train=_zeros),
        Field("second", ("B", "D"), "of each row's label", kind="partners"),
        Field("third", ("B", "D"), "of another label than each row's", kind="partners"),
        Field("different", ("B",), "whether a pair takes the third", "bool", kind="partners"),
    )
}  # fmt: skip
# A loss that takes a memory lists both, and M among its sizes. In a training M grows from 0.
MEMORY = Field(
    "memory", ("M", "D"), "embeddings of past steps", kind="memory",
    draw=lambda make: make.memory(),
)  # fmt: skip
MEMORY_LABELS = Field(
    "memory_labels", ("M",), "their labels", "int64", kind="memory",
    draw=lambda make: make.memory_labels(),
)  # fmt: skip


def own(variant: Any) -> tuple[Field, ...]:
    """The fields that a variant declares; none for one of a tree from before there were any."""
    return getattr(variant, "fields", ())


def sized(variant: Any, shape: Shape) -> Shape:
    """The shape with the sizes that the variant declares and no others, of any tree; what the
    shape says of them already stays."""
    known = dict(shape.more)
    declared: Mapping[str, Size] = getattr(variant, "sizes", {})
    found = {
        letter: known.get(letter, size(shape) if callable(size) else size)
        for letter, size in declared.items()
    }
    return Shape(shape.batch, shape.dim, shape.classes, tuple(found.items()))
