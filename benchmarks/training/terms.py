"""A term of the objective, resolved: the variant, the callable, its options over the run.

A term without a variant stands for the loss as it declares itself, its schedule included. A
named variant is taken as it is defined: its options stay as declared unless the term gives others.
Either follows the loss's update rules for the states that it reads.
"""

from __future__ import annotations

import importlib.util
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from marginbench import catalogue
from marginbench.checks import InputError
from marginbench.fields import STANDARD, Field, own
from marginbench.inputs import Batch, completed, random_batch
from marginbench.loss import Contender, Loss, Shape, Training, Variant
from suites.jobs import Anneal, Option, Term

# An option of every term, which the loss itself never sees.
UNIT = "unit_embeddings"


class NotRun(Exception):
    """Why a training can't be done here; its text goes into the result as the reason."""


def training_of(loss: Loss) -> Training:
    """`Loss.effective_training`, or NotRun if no variant of it is a loss."""
    found = loss.effective_training()
    if found is None:
        raise NotRun("no variant of it is a loss")
    return found


def why_not(contender: Contender, device: str) -> str | None:
    """What the contender lacks on this machine and device, or None."""
    if "cuda" in contender.needs and device != "cuda":
        return "needs CUDA"
    if device not in contender.devices:
        return f"needs one of the devices {', '.join(contender.devices)}; got {device}"
    if "float32" not in contender.dtypes:
        return "does not take float32"
    packages = [need.removeprefix("package:") for need in contender.needs if ":" in need]
    packages += ["triton"] * ("triton" in contender.needs)
    for package in packages:
        if importlib.util.find_spec(package) is None:
            return f"needs the package {package}"
    if "compiler" in contender.needs and device == "cpu" and not (_has("g++") or _has("clang++")):
        return "needs a C++ compiler"
    return None


def _has(program: str) -> bool:
    return shutil.which(program) is not None


class _Watched:
    """A batch that remembers which of its fields were read."""

    def __init__(self, batch: Any) -> None:
        self._batch, self._read = batch, set[str]()

    def __getattr__(self, name: str) -> Tensor:
        self._read.add(name)
        return getattr(self._batch, name)


def fields_of(variant: Variant) -> dict[str, Field]:
    """The fields that a variant reads, in the order that they are declared in."""
    watched = _Watched(_small_batch(variant))
    variant.arguments(watched)
    declared = {**STANDARD, **{field.name: field for field in own(variant)}}
    return {name: field for name, field in declared.items() if name in watched._read}


def _small_batch(variant: Variant) -> Batch:
    return completed(variant, random_batch(Shape(4, 3, 2), seed=0))


def learnt_fields(variant: Variant) -> tuple[str, ...]:
    """The states that are trained by gradient together with the network: a differentiable argument
    is made from them, which following gradients finds."""
    batch = _small_batch(variant)

    def learnt(name: str) -> bool:
        leaf = getattr(batch, name)
        if not leaf.is_floating_point():
            return False
        arguments = variant.arguments(batch.changed(**{name: leaf.clone().requires_grad_()}))
        made = {k for k, v in arguments.items() if isinstance(v, Tensor) and v.requires_grad}
        return bool(made & set(variant.differentiable))

    states = [name for name, field in fields_of(variant).items() if field.kind == "state"]
    return tuple(filter(learnt, states))


def partners_of(variant: Variant) -> tuple[str, ...]:
    """Which partners of each row it takes beside the labelled batch: ``second``, ``third``."""
    return tuple(name for name in ("second", "third") if name in fields_of(variant))


@dataclass(frozen=True)
class Update:
    """A rule that replaces a state after each step."""

    place: str
    variant: Variant
    function: Callable[..., Any]
    given: Mapping[str, Option]
    steps: int

    def options(self, progress: float) -> dict[str, Any]:
        own = {k: v for k, v in self.given.items() if k in self.variant.options}
        return {**self.variant.options, **_at(own, progress, self.steps)}


@dataclass(frozen=True)
class Declared:
    """A term with everything that its loss declares. ``own``: the fields of its own that it or one
    of its updates reads, each with the variant that says how large it is. ``learnt`` and
    `Update.place` name states by where a training keeps them (`place`)."""

    term: Term
    variant: Variant
    function: Callable[..., Any]
    schedule: Callable[[float], Mapping[str, Any]] | None
    steps: int
    updates: tuple[Update, ...]
    learnt: tuple[str, ...]
    partners: tuple[str, ...]
    own: tuple[tuple[Field, Variant], ...]

    @property
    def weight(self) -> float:
        return self.term.weight

    @property
    def unit(self) -> bool:
        """Whether it trains on the unit sphere: as the variant does, unless the term's option
        ``unit_embeddings`` (0 or 1) says otherwise."""
        return bool(dict(self.term.options).get(UNIT, self.variant.unit_embeddings))

    @property
    def norm_free(self) -> bool:
        """Declared as an invariant: the lengths of the class weights do not matter."""
        return any(i.entry.endswith(":weight_lengths") for i in self.variant.invariants)

    def counts(self, progress: float) -> bool:
        return self.term.since <= progress < self.term.until

    def options(self, progress: float) -> dict[str, Any]:
        """The variant's options when ``progress`` (0 to 1) of the steps are done: as declared,
        then by the loss's schedule, then as the term says."""
        own = {k: v for k, v in self.term.options if k in self.variant.options}
        scheduled = self.schedule(progress * self.steps) if self.schedule else {}
        return {**self.variant.options, **scheduled, **_at(own, progress, self.steps)}

    def description(self, last: float) -> dict[str, Any]:
        def options(progress: float) -> dict[str, Any]:
            of_rules = [update.options(progress) for update in self.updates]
            return dict(
                itertools.chain.from_iterable(
                    o.items() for o in (self.options(progress), *of_rules)
                )
            )

        term = self.term
        return {
            "loss": term.loss, "variant": self.variant.name, "weight": term.weight,
            "since": term.since, "until": term.until, "options_first": options(0.0),
            "options_last": options(last), "unit_embeddings": self.unit,
        }  # fmt: skip


def _at(options: Mapping[str, Option], progress: float, steps: int) -> dict[str, Any]:
    return {k: v(progress, steps) if isinstance(v, Anneal) else v for k, v in options.items()}


def declared(
    terms: Sequence[Term], contender: str, device: str, steps: int
) -> tuple[Declared, ...]:
    """The terms with what their losses declare, for a training of ``steps`` steps.

    Raises InputError for terms that make no objective (none at some step, two that replace one
    field at once, an option nobody knows), NotRun for one that can't be computed here."""
    found = tuple(_declared(term, contender, device, steps) for term in terms)
    for start in sorted({0.0, *(t.until for t in terms if 0 < t.until < 1)}):
        if not any(term.counts(start) for term in found):
            raise InputError("terms", "one that counts at every step", f"none from {start:g} on")
    for a, b in itertools.combinations(found, 2):
        both = {u.place for u in a.updates} & {u.place for u in b.updates}
        if both and a.term.since < b.term.until and b.term.since < a.term.until:
            got = f"{sorted(both)[0]} replaced by {a.term.loss} and {b.term.loss}"
            raise InputError("terms", "one rule for a field at a time", got)
    learnt = {place for term in found for place in term.learnt}
    for term in found:
        for place in sorted(learnt & {u.place for u in term.updates}):
            got = f"{place} trained by one term and replaced by {term.term.loss}"
            raise InputError("terms", "a field trained or replaced, not both", got)
    return found


def place(loss: str, name: str) -> str:
    """Under which name a training keeps a state: terms share the standard ones, and those of one
    loss its own."""
    return name if name in STANDARD else f"{loss}.{name}"


def _declared(term: Term, contender: str, device: str, steps: int) -> Declared:
    loss = catalogue.get(term.loss)
    training = training_of(loss)
    try:
        variant = loss.variant(term.variant or training.variant)
    except KeyError as error:
        raise InputError("variant", *_parts(error)) from None
    if variant.output != "loss":
        raise InputError("variant", f"one of {term.loss} with a loss", repr(variant.name))
    given = dict(term.options)
    reads = fields_of(variant)
    updates = tuple(
        Update(
            place(loss.name, field),
            loss.variant(name),
            _updater(loss, loss.variant(name), contender, device),
            given,
            steps,
        )
        for field, name in training.updates.items()
        if field in reads
    )
    known = list(
        dict.fromkeys([*variant.options, *(o for u in updates for o in u.variant.options)])
    )
    for name in given:
        if name not in (*known, UNIT):
            expected = f"one of {', '.join(known)} for {term.loss} {variant.name}"
            raise InputError("options", expected if known else f"none for {term.loss}", repr(name))
    learnt = tuple(place(loss.name, name) for name in learnt_fields(variant))
    owned: dict[str, tuple[Field, Variant]] = {}
    for one in (variant, *(update.variant for update in updates)):
        for field in fields_of(one).values():
            if field.name not in STANDARD:
                owned.setdefault(field.name, (field, one))
    return Declared(
        term, variant, _callable(loss, variant, contender, device),
        None if term.variant else training.schedule, steps, updates, learnt,
        partners_of(variant), tuple(owned.values()),
    )  # fmt: skip


def _parts(error: KeyError) -> tuple[str, str]:
    """An unknown name's message, in the two halves of an InputError."""
    expected, _, got = str(error.args[0]).removeprefix("variant: expected ").partition("; got ")
    return expected, got


def _callable(loss: Loss, variant: Variant, name: str, device: str) -> Callable[..., Any]:
    try:
        contender = variant.contender(name)
    except KeyError as error:
        raise NotRun(str(error.args[0])) from None
    reason = why_not(contender, device)
    if reason:
        raise NotRun(reason)
    function = loss.resolve(contender.entry)
    return torch.compile(function) if contender.compiled else function


def _updater(loss: Loss, variant: Variant, name: str, device: str) -> Callable[..., Any]:
    """The same contender's update rule; eager's where it has none of its own."""
    known = {contender.name for contender in variant.contenders}
    return _callable(loss, variant, name if name in known else "eager", device)
