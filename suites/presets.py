"""How much is measured: three presets and nothing to tune beside them.

Sizes are chosen, not round: agreement runs on primes and tile neighbours, where masks and tails
go wrong; speed runs along one axis at a time from a common centre (the first of each list), so
that a growth exponent can be fitted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from marginbench import stress
from marginbench.loss import Shape

from .shapes import Shapes


@dataclass(frozen=True)
class Preset:
    """``seconds_per_case`` bounds the timed rounds of a case, between ``min_rounds`` and
    ``max_rounds``; ``budget_s`` bounds the run: cases past it are recorded as not run.
    ``stress`` names the kinds of `marginbench.stress` that agreement is compared on beside drawn
    data, at one small size, in ``stress_dtypes``.
    ``thorough`` affords on a CPU what takes seconds for each case: Triton's interpreter, sizes
    beside the central one, torch.compile's first call. Without, the interpreter runs the first
    variant of each loss on drawn data; the other two are for one variant of each family.
    ``auto_shapes``: what the suite ``auto`` is measured on where there is no GPU.
    ``small``: all that is timed is small."""

    name: str
    summary: str
    agreement_shapes: Shapes
    agreement_dtypes: tuple[str, ...]
    cpu_shapes: Shapes
    cuda_shapes: Shapes
    real_shape: Shape
    seconds_per_case: float
    min_rounds: int
    max_rounds: int
    warmup_rounds: int
    budget_s: float
    training_seeds: int
    training_epochs: int
    stress: tuple[str, ...] = tuple(stress.KINDS)
    stress_dtypes: tuple[str, ...] = ("float32",)
    thorough: bool = False
    auto_shapes: Shapes = field(default_factory=lambda: _BETWEEN)
    small: bool = False

    def table(self, name: str) -> str:
        """Which of a variant's own sizes take the place of these timed ones (`suites.shapes`)."""
        return "small" if self.small else name

    def speed_shapes(self, device: str) -> Shapes:
        return self.cuda_shapes if device == "cuda" else self.cpu_shapes

    def speed_dtypes(self, device: str) -> tuple[str, ...]:
        return ("bfloat16", "float32") if device == "cuda" else ("float32",)

    def automatic_shapes(self, device: str) -> Shapes:
        """Of the suite ``auto``; on a GPU no table says what auto takes, so any size will do."""
        return self.cuda_shapes if device == "cuda" else self.auto_shapes

    def automatic_dtypes(self, device: str) -> tuple[str, ...]:
        return ("bfloat16", "float32") if device == "cuda" else ("float32", "bfloat16", "float64")


# 1 is the smallest; 37 x 19 x 23 are primes below and above a tile of 16 and of 32; 64 is a tile.
_RAGGED: Shapes = {
    "head": (Shape(37, 19, 23), Shape(64, 32, 65)),
    "batch": (Shape(37, 19, 7), Shape(64, 32, 16)),
    "rows": (Shape(37, 19, 7), Shape(65, 32, 16)),
}
_RAGGED_MORE: Shapes = {
    "head": (*_RAGGED["head"], Shape(1, 16, 1), Shape(31, 128, 33), Shape(17, 64, 257)),
    "batch": (*_RAGGED["batch"], Shape(2, 16, 1), Shape(31, 128, 31), Shape(129, 64, 10)),
    "rows": (*_RAGGED["rows"], Shape(1, 16, 1), Shape(31, 128, 31), Shape(257, 64, 10)),
}
STRESSED: Shapes = {"head": (Shape(11, 5, 7),), "batch": (Shape(12, 5, 3),),
                    "rows": (Shape(11, 5, 3),)}  # fmt: skip
_CPU: Shapes = {
    "head": (Shape(512, 128, 10_000), Shape(512, 128, 1_000), Shape(512, 128, 100_000),
             Shape(128, 128, 10_000), Shape(2048, 128, 10_000),
             Shape(512, 64, 10_000), Shape(512, 512, 10_000)),
    "batch": (Shape(512, 128, 128), Shape(256, 128, 64), Shape(1024, 128, 256),
              Shape(2048, 128, 512), Shape(4096, 128, 1024), Shape(256, 128, 8),
              Shape(512, 64, 128), Shape(512, 512, 128)),
    "rows": (Shape(16_384, 128, 128), Shape(1_024, 128, 128), Shape(65_536, 128, 128),
             Shape(16_384, 64, 128), Shape(16_384, 512, 128)),
}  # fmt: skip
# Where auto's table for a CPU is judged: at none of the sizes above, which it was read from; B x C
# of 64 thousand, 3, 10 and 31 million, on both sides of every loss's place in it.
_BETWEEN: Shapes = {
    "head": (Shape(64, 128, 1_000), Shape(256, 128, 10_000), Shape(1024, 256, 10_000),
             Shape(512, 128, 60_000)),
    "batch": (Shape(384, 128, 96),),
    "rows": (Shape(4_096, 128, 128),),
}  # fmt: skip
_CUDA: Shapes = {
    "head": (Shape(1024, 512, 100_000), Shape(1024, 512, 10_000), Shape(1024, 512, 1_000_000),
             Shape(64, 512, 100_000), Shape(4096, 512, 100_000),
             Shape(1024, 128, 100_000), Shape(1024, 256, 100_000)),
    "batch": (Shape(4096, 512, 1024), Shape(512, 512, 128), Shape(1024, 512, 256),
              Shape(2048, 512, 512), Shape(8192, 512, 2048), Shape(4096, 512, 16),
              Shape(4096, 128, 1024), Shape(4096, 256, 1024)),
    "rows": (Shape(1_048_576, 128, 1024), Shape(16_384, 128, 128), Shape(262_144, 128, 1024),
             Shape(1_048_576, 64, 1024), Shape(1_048_576, 256, 1024)),
}  # fmt: skip
_DTYPES = ("float32", "bfloat16", "float16")
# One for each way of going wrong.
_ONE_EACH = ("confident", "equal-logits", "offset-100", "tight-clusters", "exact-ties",
             "duplicates", "length-1e-20", "length-1e20")  # fmt: skip


def _centres(shapes: Shapes) -> Shapes:
    return {family: sizes[:1] for family, sizes in shapes.items()}


FAST = Preset(
    name="fast",
    summary="every variant once on small sizes: does it run, is it right (about a minute)",
    agreement_shapes=_centres(_RAGGED),
    agreement_dtypes=("float32",),
    cpu_shapes={
        "head": (Shape(64, 64, 1_000),), "batch": (Shape(128, 64, 32),),
        "rows": (Shape(1024, 64, 32),)
    },
    cuda_shapes={
        "head": (Shape(256, 128, 10_000),), "batch": (Shape(512, 128, 128),),
        "rows": (Shape(16_384, 128, 128),)
    },
    real_shape=Shape(128, 64, 10),
    seconds_per_case=0.3,
    min_rounds=5,
    max_rounds=20,
    warmup_rounds=1,
    budget_s=120,
    training_seeds=1,
    training_epochs=2,
    stress=_ONE_EACH,
    small=True,
    auto_shapes={
        "head": (Shape(96, 64, 1_000),), "batch": (Shape(96, 64, 32),),
        "rows": (Shape(512, 64, 32),)
    },
)  # fmt: skip
DEFAULT = Preset(
    name="default",
    summary="what `make bench` runs: at most eight minutes on two cores without a GPU",
    agreement_shapes=_centres(_RAGGED),
    agreement_dtypes=_DTYPES,
    cpu_shapes=_CPU,
    cuda_shapes=_CUDA,
    real_shape=Shape(256, 64, 10),
    seconds_per_case=0.6,
    min_rounds=5,
    max_rounds=60,
    warmup_rounds=2,
    budget_s=390,
    training_seeds=1,
    training_epochs=20,
)
RIGOROUS = Preset(
    name="rigorous",
    summary="what a published record rests on: more shapes, more rounds, compiled everywhere",
    agreement_shapes=_RAGGED_MORE,
    agreement_dtypes=(*_DTYPES, "float64"),
    cpu_shapes=_CPU,
    cuda_shapes=_CUDA,
    real_shape=Shape(512, 64, 10),
    seconds_per_case=10,
    min_rounds=20,
    max_rounds=400,
    warmup_rounds=3,
    budget_s=7200,
    training_seeds=5,
    training_epochs=40,
    stress_dtypes=(*_DTYPES, "float64"),
    thorough=True,
)
PRESETS = {preset.name: preset for preset in (FAST, DEFAULT, RIGOROUS)}
