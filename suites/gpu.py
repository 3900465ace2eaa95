"""What a session on a lent GPU measures, what matters most first: it may be cut short.

Agreement runs shape by shape over all variants and dtypes, so that a session that ends early has
looked at every kernel. Timed are the cases that decide a target, then every other variant at its
centre. A dry run goes through the same plan on a CPU, on sizes that take no time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from marginbench import catalogue
from marginbench.loss import Loss, Shape, Variant

from .cases import Case
from .gate import ours
from .presets import DEFAULT, FAST, RIGOROUS, Preset
from .selection import parse
from .shapes import shapes_of
from .targets import TARGETS

CHECKERS = ("overflow", "memcheck", "racecheck")
TILES = "tiles"
PRESET = replace(
    DEFAULT,
    name="gpu",
    summary="a session of minutes on a lent GPU: `python -m benchmarks.gpu_session`",
    agreement_shapes=RIGOROUS.agreement_shapes,
    seconds_per_case=2.0,
    min_rounds=10,
    max_rounds=200,
    budget_s=480,
    thorough=True,
)
DRY_RUN = replace(
    FAST,
    name="gpu-dry-run",
    summary="the same plan on a CPU with tiny shapes: no evidence of anything",
    agreement_dtypes=PRESET.agreement_dtypes,
    seconds_per_case=0.05,
    min_rounds=2,
    max_rounds=4,
    warmup_rounds=1,
    budget_s=480,
)
_TINY = {"head": (Shape(8, 16, 24),), "batch": (Shape(16, 16, 4),), "rows": (Shape(16, 16, 4),)}
# Many rows and few, which have tiles of their own, past as many classes.
_TILED = (Shape(1024, 512, 100_000), Shape(64, 512, 100_000))


@dataclass(frozen=True)
class Plan:
    """``agreement``, ``checks`` (the cases of each of `CHECKERS`), ``speed`` and ``tiles`` (heads
    whose tiles are timed one by one), each in the order in which it is measured; what does not fit
    is dropped from its end."""

    preset: Preset
    agreement: tuple[Case, ...]
    checks: tuple[Case, ...]
    speed: tuple[Case, ...]
    tiles: tuple[Case, ...] = ()

    @property
    def cases(self) -> tuple[Case, ...]:
        return (*self.agreement, *self.checks, *self.tiles, *self.speed)


def plan(*, dry_run: bool = False) -> Plan:
    """Every case of a session; raises nothing for a loss that fails to import: it has none."""
    if dry_run:
        agreement = tuple(_agreement(DRY_RUN, "cpu"))
        return Plan(DRY_RUN, agreement, tuple(_checks("cpu")), tuple(_tiny()),
                    tuple(_tiled("cpu")))  # fmt: skip
    agreement = tuple(_agreement(PRESET, "cuda"))
    return Plan(PRESET, agreement, tuple(_checks("cuda")), tuple(_speed()),
                tuple(_tiled("cuda")))  # fmt: skip


def checked(variant: Variant) -> list[str]:
    """The contenders that the checkers look at: Triton kernels of our own."""
    return [c.name for c in variant.contenders if ours(c) and "triton" in c.needs]


def _variants() -> Iterator[tuple[Loss, Variant]]:
    for loss in catalogue.losses():
        for variant in loss.variants:
            yield loss, variant


def _agreement(preset: Preset, device: str) -> Iterator[Case]:
    sizes = [
        (loss, variant, shapes_of(variant, preset.agreement_shapes, "agreement"))
        for loss, variant in _variants()
    ]
    for number in range(max((len(own) for _, _, own in sizes), default=0)):
        for dtype in preset.agreement_dtypes:
            for loss, variant, own in sizes:
                if number < len(own):
                    yield _case("agreement", loss, variant, own[number], dtype, device)


def _checks(device: str) -> Iterator[Case]:
    """Each checker over the smallest ragged shape; overflow over the timed sizes as well, for an
    offset overflows where a matrix is large."""
    small, large = (FAST.agreement_shapes, "agreement"), (PRESET.cuda_shapes, "cuda")
    for checker in CHECKERS:
        sizes = [(small, "float32"), (small, "bfloat16")]
        if checker == "overflow" and device == "cuda":
            sizes.insert(1, (large, "bfloat16"))
        for table, dtype in sizes:
            for loss, variant in _variants():
                if checked(variant):
                    yield _case(
                        checker, loss, variant, shapes_of(variant, *table)[0], dtype, device
                    )


def _speed() -> Iterator[Case]:
    """What decides a target first; then the centres, 16-bit inputs before float32."""
    decided = [parse(target.case) for target in TARGETS if target.device == "cuda"]
    centres = [
        _case(
            "speed", loss, variant, shapes_of(variant, PRESET.cuda_shapes, "cuda")[0], dtype, "cuda"
        )
        for dtype in PRESET.speed_dtypes("cuda")
        for loss, variant in _variants()
    ]
    yield from {case.id: case for case in (*decided, *centres)}.values()


def _tiled(device: str) -> Iterator[Case]:
    """A head with a bias and one whose class weights have unit length (cosines), those that most
    implementations have, with many rows and with few."""
    heads = [
        (loss, variant) for loss, variant in _variants()
        if variant.family == "head" and variant.sweep and checked(variant)
    ]  # fmt: skip
    kinds = (
        [one for one in heads if "bias" in one[1].differentiable],
        [one for one in heads if one[1].target_of_cosine is not None],
    )
    shapes = _TILED if device == "cuda" else _TINY["head"]
    for dtype in PRESET.speed_dtypes("cuda"):
        for shape in shapes:
            for kind in filter(None, kinds):
                loss, variant = max(kind, key=lambda one: len(one[1].contenders))
                yield _case(TILES, loss, variant, shape, dtype, device)


def _tiny() -> Iterator[Case]:
    for loss, variant in _variants():
        case = _case("speed", loss, variant, shapes_of(variant, _TINY)[0], "float32", "cpu")
        yield replace(case, compile=False)


def _case(suite: str, loss: Loss, variant: Variant, shape: Shape, dtype: str, device: str) -> Case:
    measures = {"agreement": ("agreement",), "speed": ("agreement", "speed", "memory")}
    return Case.of(
        suite, loss, variant, shape, dtype, device, "drawn", 0,
        measures=measures.get(suite, ()), compile=suite == "speed",
    )  # fmt: skip
