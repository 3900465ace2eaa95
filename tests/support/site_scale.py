"""Does a site of 100,000 records build within its limits? Synthetic runs, published and timed.

``python tests/support/site_scale.py`` makes three runs of every declared variant and builds
their site in a process of its own: under 60 s, under 1 GB together on two cores, no page over
2 MB. Exit code 1 where a limit is missed. ``--machines 1`` puts all records into one folder, the
work of one process; ``--keep FOLDER`` leaves records and site there.
"""

from __future__ import annotations

import argparse
import lzma
import math
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from synthetic_run import BATCH, HEAD, Maker, texts

from benchmarks import library
from benchmarks.records.loading import Line
from marginbench import catalogue
from reports.fitting import MOST_BYTES

SECONDS, BYTES = 60, 10**9
DTYPES = ("float32", "bfloat16", "float16", "float64")
ROWS = ((16_384, 128, 128), (1_024, 128, 128), (65_536, 128, 128))
SIZES = {"head": HEAD, "batch": BATCH, "rows": ROWS}
BUILD = "import sys; from commands.root import cli; cli(sys.argv[1:])"


def write(root: Path, wanted: int, machines: int) -> dict[str, int]:
    """Runs of the same plan, each with its own noise; how many lines of each folder are results,
    together at least as many as wanted."""
    total: dict[str, int] = {}
    # Speed has a few sizes; what fills a large record is agreement, over more and more shapes.
    one, two = (sum(line.kind == "result" for line in _run(0, shapes)) for shapes in (1, 2))
    shapes = max(1, 1 + math.ceil((wanted / machines - one) / (two - one)))
    for number in range(machines):
        folder = root / f"machine-{number + 1}"
        folder.mkdir(parents=True)
        kept = 0
        with lzma.open(folder / "records.jsonl.xz", "wt", preset=0) as file:
            lines = list(_run(number, shapes))
            kept += sum(line.kind == "result" for line in lines)
            file.writelines(texts(lines))
        total[folder.name] = kept
    return total


def _run(seed: int, shapes: int) -> Iterator[Line]:
    """Every declared variant, its agreement over that many shapes."""
    losses = tuple(
        (loss.name, v.name, v.family, SIZES[v.family])
        for loss in catalogue.losses()
        for v in loss.variants
    )
    drawn = [(37 + n, 19 + n, 23 + n) for n in range(shapes)]
    made = Maker(seed, rounds=60, losses=losses, agreement_shapes=drawn, dtypes=DTYPES)
    return made.lines()


def built(root: Path) -> tuple[float, float, int, str]:
    """Seconds of wall and of all processors, peak bytes of all processes, what it said."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, "publish", "--records", str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=library.environment(),
    )  # fmt: skip
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peak))
    watcher.start()
    said, _ = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode:
        sys.exit(said)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, used.ru_utime + used.ru_stime, peak[0], said


def _watch(pid: int, peak: list[int]) -> None:
    """What the processes hold together; pages that they share are counted once, by USS."""
    parent = psutil.Process(pid)
    while True:
        try:
            family = [parent, *parent.children(recursive=True)]
            held = sum(one.memory_full_info().uss for one in family)
        except psutil.Error:
            if not parent.is_running() or parent.status() == psutil.STATUS_ZOMBIE:
                return
            continue
        peak[0] = max(peak[0], held)
        time.sleep(0.2)


def _held(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--records", type=int, default=100_000)
    asked.add_argument("--machines", type=int, default=3)
    asked.add_argument("--keep", type=Path)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="marginbench-scale-") as folder:
        root = options.keep or Path(folder)
        results = write(root, options.records, options.machines)
        seconds, cpu, peak, said = built(root)
        sizes = {path: path.stat().st_size for path in (root / "site").rglob("*.html")}
        largest = max(sizes, key=lambda path: sizes[path])
        print(said, end="")
        for name, number in results.items():
            pages, figures = (_held(root / "site" / kind / name) for kind in ("records", "figures"))
            print(f"{name}: {number:,} results, {pages:,} bytes of record pages, {figures:,} of "
                  "figures with their data")  # fmt: skip
        print(f"{sum(results.values()):,} results of {options.machines} machines: {seconds:.1f} s, "
              f"{cpu:.1f} s of processor, {peak / 1e6:.0f} MB at most; largest page "
              f"{largest.name}, {sizes[largest]:,} bytes; all pages "
              f"{sum(sizes.values()):,}")  # fmt: skip
        fits = seconds < SECONDS and peak < BYTES and sizes[largest] <= MOST_BYTES
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
