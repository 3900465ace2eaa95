"""The contract that every loss folder fills in.

Nothing here imports torch or triton: listing the losses only reads declarations. Callables are
named as ``"module:function"`` relative to the loss's folder and imported when they are used.

A contender is called with keyword arguments only::

    value = contender(**inputs.tensors, **variant.options, reduction="mean")

Shapes: B batch, D dimension of an embedding, C classes, N pairs or triplets.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .fields import Field, Shape, Size

DTYPES = ("float32", "bfloat16", "float16", "float64")
REDUCTIONS = ("none", "sum", "mean")


@dataclass(frozen=True)
class Cost:
    """A lower bound on the work of a case, whatever the implementation: the roofline's.

    Bytes count each input read once and each output written once; operations count a
    multiply-add as two. Units: bytes and floating-point operations.
    """

    forward_bytes: int
    backward_bytes: int
    forward_flops: int
    backward_flops: int


@dataclass(frozen=True)
class Inputs:
    """Arguments of one call: ``tensors`` by argument name, and which of them take a gradient."""

    tensors: Mapping[str, Any]
    differentiable: tuple[str, ...]


@dataclass(frozen=True)
class Contender:
    """One implementation of a variant, as data.

    ``entry`` names the callable. ``needs`` holds what must be there: ``"cuda"``, ``"hopper"`` (a
    GPU of compute capability 9.0 or newer), ``"triton"``, ``"compiler"`` (a C++ compiler, for
    torch.compile on CPU) or ``"package:NAME"``, of a release or newer with
    ``"package:NAME>=RELEASE"``. ``limit``
    takes a Shape and a dtype name and returns why the contender can't do it, or None. ``note``
    says in a sentence what a reader must know, such as a peer's other defaults. ``unfit`` gives,
    for kinds of data (`marginbench.stress`), why its formulation can't be right there.
    ``quadratic`` says why it may keep a number for each row and class (of a head) or for each two
    rows; without it, memory that grows like that fails the exact check.
    """

    name: str
    entry: str
    needs: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "float16", "float64")
    devices: tuple[str, ...] = ("cpu", "cuda")
    compiled: bool = False
    interpretable: bool = False
    limit: Callable[[Shape, str], str | None] | None = None
    note: str = ""
    unfit: Mapping[str, str] = field(default_factory=dict)
    quadratic: str = ""


@dataclass(frozen=True)
class Invariant:
    """A property that holds for every contender: ``check(function, inputs, options)`` raises
    AssertionError where it does not. ``entry`` names it relative to the loss's folder."""

    name: str
    entry: str


@dataclass(frozen=True)
class Variant:
    """One exact definition that a loss's name can mean, with its own reference.

    ``family``, of `marginbench.fields.FAMILIES`, says which of B, D and C matter, so that suites
    can choose shapes without knowing the loss. ``sizes`` declares further ones, each a number or a
    function of the Shape; ``shapes`` takes the place of the family's in a suite, by its name
    (`suites.shapes`).

    ``arguments`` maps a drawn `marginbench.inputs.Batch` to the call's tensors by name; ``fields``
    declares what it reads there beside `marginbench.fields.STANDARD`.
    ``output``: ``"loss"`` (has reductions and gradients), ``"tensor"`` (an update, compared as it
    is) or ``"indices"`` (a mining rule: integer tensors).
    ``reference_elements`` gives how many float64 elements the reference handles for a shape: a
    suite checks against the reference where that is affordable. ``unit_embeddings`` draws inputs
    on the unit sphere; ``excused`` gives the reason for each usual contender that is missing (of
    triton "no fused form", if none is given); ``sweep`` is off where one size is enough because a
    sibling variant does the same work.
    ``selection`` names how a variant that mines, or that cuts off at a hinge, decides: it takes the
    tensors, the options and ``within``, the rounding of what it compares, and returns a
    `marginbench.selections.Selection`, whose ``taken`` the reference then takes as ``selected``.
    Without one, a variant is smooth: no difference of its results is due to a tie.
    ``surrogate_gradient`` says, where the gradient is on purpose not the derivative of the value,
    what it is ("the margin counts as a constant"): the reference's, by autograd of what that
    detaches. Tests then ask no finite differences, and refuse it where they would agree.
    ``target_of_cosine``, of a head over cosines, is the target's logit over the scale at a cosine,
    with the options beside ``scale``: its first loss follows (`marginbench.first_loss`). Where that
    goes by the embedding's length, it takes ``length`` too, and ``added_at_length`` is what a row
    of that length has beside the cross-entropy, with the same options. ``drawn_margins``, of a head
    whose ``margins`` are drawn for each row, are the mean and the standard deviation that its paper
    draws them with: its target takes ``margin`` and ``deviation`` too, and is the one expected.
    Where it goes by states of a single number, it takes these too, by default as a training starts
    them.
    ``public`` names what people call for it, a key of the loss's ``public``, and
    ``public_options`` with which options; its own without.
    """

    name: str
    summary: str
    equation: str
    source: str
    family: str
    arguments: Callable[[Any], Mapping[str, Any]]
    contenders: tuple[Contender, ...]
    cost: Callable[[Shape, int], Cost]
    reference_elements: Callable[[Shape], int]
    differentiable: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    sizes: Mapping[str, Size] = field(default_factory=dict)
    shapes: Mapping[str, tuple[Shape, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    output: str = "loss"
    reductions: tuple[str, ...] = REDUCTIONS
    unit_embeddings: bool = False
    sweep: bool = True
    selection: str = ""
    surrogate_gradient: str = ""
    target_of_cosine: Callable[..., float] | None = None
    added_at_length: Callable[..., float] | None = None
    drawn_margins: tuple[float, float] | None = None
    excused: Mapping[str, str] = field(default_factory=dict)
    invariants: tuple[Invariant, ...] = ()
    version: int = 1
    public: str = ""
    public_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if "triton" not in {contender.name for contender in self.contenders}:
            excused = {"triton": "no fused form", **self.excused}
            object.__setattr__(self, "excused", excused)

    def contender(self, name: str) -> Contender:
        for contender in self.contenders:
            if contender.name == name:
                return contender
        known = ", ".join(c.name for c in self.contenders)
        raise KeyError(f"contender: expected one of {known}; got {name!r}")


@dataclass(frozen=True)
class Range:
    """Where an option is searched for: evenly between ``low`` and ``high``, or evenly in its
    logarithm. ``falling`` is for an option that falls over the run, max(floor, base (1 + gamma
    t)^-power) after t steps: it gives base, gamma and power, and the floor is what is searched."""

    low: float
    high: float
    log: bool = False
    falling: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Training:
    """How a network is trained with a loss, as data; optimiser, budget and sizes are the suite's.

    ``variant`` names the definition that stands for the loss. ``updates`` maps a state that no
    gradient reaches (such as ``centers``) to the variant with output ``"tensor"`` whose value
    replaces it after each step. ``schedule`` gives the options
    that change on the way, by the number of steps done. ``source`` says where schedule and
    updates come from. ``search`` names the options, of the variant or of an update, that the open
    division tunes, and where; the declared value is always tried first. ``amounts_to`` says in
    words what options that a schedule came to are worth ("the margin has a tenth of the weight").
    """

    variant: str
    updates: Mapping[str, str] = field(default_factory=dict)
    schedule: Callable[[float], Mapping[str, Any]] | None = None
    source: str = ""
    search: Mapping[str, Range] = field(default_factory=dict)
    amounts_to: Callable[[Mapping[str, Any]], str] | None = None


@dataclass(frozen=True)
class Loss:
    """One loss: its name, where it comes from, and its variants.

    ``training`` says how a network is trained with it; without, a suite takes the first variant
    that is a loss over class weights or a labelled batch. ``package`` is filled in by the
    catalogue with the name that the folder was imported under, so that two versions of the tree
    can live in one process under two names.
    ``cross_entropy_options`` is for a loss over class weights that adds a term to the cross-entropy
    of its logits, the target's with its margin: options of its module that make that term 0.
    ``public`` maps what people import to where it is in the folder: ``"SoftmaxLoss"`` from
    marginbench, ``"functional.softmax"`` from its functional forms, ``"miners.SemiHardMiner"``
    from its miners.
    """

    name: str
    title: str
    source: str
    variants: tuple[Variant, ...]
    training: Training | None = None
    package: str = ""
    cross_entropy_options: Mapping[str, Any] = field(default_factory=dict)
    public: Mapping[str, str] = field(default_factory=dict)

    def variant(self, name: str) -> Variant:
        for variant in self.variants:
            if variant.name == name:
                return variant
        known = ", ".join(v.name for v in self.variants)
        raise KeyError(f"variant: expected one of {known} for {self.name}; got {name!r}")

    def effective_training(self) -> Training | None:
        """How a network is trained with it: what it declares; else its first variant over class
        weights or a labelled batch, and failing that its first with a loss at all, if any."""
        if self.training is not None:
            return self.training
        losses = [v for v in self.variants if v.output == "loss"]
        preferred = [v for v in losses if v.family in ("head", "batch")] or losses
        return Training(variant=preferred[0].name) if preferred else None

    def within(self, package: str) -> Loss:
        return replace(self, package=package)

    def resolve(self, entry: str) -> Callable[..., Any]:
        """The callable that ``entry`` (``"module:function"``) names inside this loss's folder;
        ``"auto:function"`` is the implementation that auto takes for each call."""
        module, _, function = entry.partition(":")
        if module == "auto":
            files = importlib.import_module(".functional", self.package).FILES
            choice = importlib.import_module("..implementations", self.package)
            return choice.automatic(files, function)
        return getattr(importlib.import_module(f".{module}", self.package), function)


_PLAIN = "the plain algorithm, which may keep its logits or distances whole"


def standard_contenders(
    function: str,
    *,
    compiled: bool = True,
    fused: bool = True,
    tiled: bool = False,
    fused_limit: Callable[[Shape, str], str | None] | None = None,
    fused_quadratic: str = "",
    eager_note: str = "",
    eager_unfit: Mapping[str, str] | None = None,
) -> tuple[Contender, ...]:
    """Reference, eager, compiled eager and Triton, each named ``function`` in its own file;
    ``tiled`` adds eager in chunks of its largest matrix, which is never whole.
    ``fused_quadratic`` is the Triton contender's `Contender.quadratic`, ``eager_unfit`` eager's
    `Contender.unfit`, compiled or not."""
    unfit = eager_unfit or {}
    contenders = [
        Contender(
            "reference",
            f"reference:{function}",
            note="float64, the definition",
            quadratic=_PLAIN,
        ),
        Contender("eager", f"eager:{function}", note=eager_note, unfit=unfit, quadratic=_PLAIN),
    ]
    if compiled:
        contenders.append(
            Contender(
                "compiled",
                f"eager:{function}",
                needs=("compiler",),
                compiled=True,
                note="torch.compile of eager",
                unfit=unfit,
                quadratic=_PLAIN,
            )
        )
    if tiled:
        contenders.append(
            Contender(
                "tiled",
                f"tiled:{function}",
                devices=("cpu",),
                note="eager PyTorch over chunks of the classes, a thread each; no B x C matrix",
            )
        )
    if fused:
        contenders.append(
            Contender(
                "triton",
                f"fused:{function}",
                needs=("triton", "cuda"),
                dtypes=("float32", "bfloat16", "float16"),
                interpretable=True,
                limit=fused_limit,
                quadratic=fused_quadratic,
            )
        )
    return tuple(contenders)
