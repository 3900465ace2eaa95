"""Is the training step the bottleneck, or the loader? For each kind of dataset, measured.

    python -m benchmarks.training.loading_speed         what this machine has, and a made-up folder
    python -m benchmarks.training.loading_speed glyphs folder:/faces

Every training's record has the same share per epoch (``data_wait_share``).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

STEPS = 30


@dataclass(frozen=True)
class Measured:
    """Images a second that the training took and that one reader alone gives, and the share of
    the training's time that its steps waited for images."""

    dataset: str
    trained_per_second: float
    read_per_second: float
    waited_share: float


def measured(name: str, steps: int = STEPS) -> Measured:
    """By the dataset's recipe with softmax on one thread, after a step that warms up. Raises
    `Missing` for a dataset that is not on this machine, `DataError` for one that is damaged."""
    from benchmarks.training import datasets
    from benchmarks.training.loop import Run, cpu_threads
    from suites.quality.protocol import closed

    data = datasets.load(name)
    job = closed(name, [0], losses=["softmax"])[0]
    p, k = job.settings.identities_per_batch, job.settings.images_per_identity
    data = replace(data, splits={**data.splits, "train": data.rows("train")[: steps * p * k]})
    settings = replace(job.settings, epochs=2, evaluation_images=1)
    run = Run(replace(job, settings=settings), data)
    with cpu_threads(settings.threads):
        run.train_epoch()
        row = run.train_epoch()
        rows = run.rows[: run.settings.batch * 4]
        began = time.perf_counter()
        data.images[rows]
        read = len(rows) / (time.perf_counter() - began)
    return Measured(name, row["samples_per_second"] or 0.0, read, row["data_wait_share"] or 0.0)


def made_up_folder(root: Path, identities: int = 40, pictures: int = 30) -> str:
    """A tree of JPEG files of 112 x 96 pixels, as aligned faces are kept; its dataset's name."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for identity in range(identities):
        (root / f"{identity:04d}").mkdir(parents=True)
        for picture in range(pictures):
            # Smooth, as a photograph is: noise would take longer to decode than any face does.
            small = random.integers(0, 256, (14, 12, 3), dtype=np.uint8)
            image = Image.fromarray(small).resize((96, 112), Image.Resampling.BICUBIC)
            image.save(root / f"{identity:04d}" / f"{picture:03d}.jpg", quality=90)
    return f"folder:{root}"


def main(names: Sequence[str]) -> None:
    from benchmarks.training.datasets import DataError, Missing

    with tempfile.TemporaryDirectory() as folder:
        for name in names or ("digits", "fashion", "glyphs", made_up_folder(Path(folder))):
            try:
                got = measured(name)
            except (Missing, DataError) as why:
                print(f"{name}: not measured: {why}")
                continue
            print(
                f"{got.dataset}: {got.trained_per_second:,.0f} images a second trained, "
                f"{got.read_per_second:,.0f} read by one reader, "
                f"steps waited {got.waited_share:.1%} of the time"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
