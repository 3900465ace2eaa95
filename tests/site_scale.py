"""Does a site of 100,000 records build within its limits? Synthetic runs, published and timed.

``python -m tests.site_scale`` makes three runs of every declared variant and builds their site in a
process of its own: under 60 s, under 1 GB together on two cores, no page over 2 MB. Exit code 1
where a limit is missed. ``--keep FOLDER`` leaves records and site there.
"""

from __future__ import annotations

import argparse
import lzma
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from kernels import catalogue
from reports.fitting import MOST_BYTES
from tests.synthetic_run import BATCH, HEAD, Maker

SECONDS, BYTES = 60, 10**9
SHAPES = ((37, 19, 23), (64, 32, 65), (1, 16, 1), (31, 128, 33), (17, 64, 257), (2, 16, 1))
DTYPES = ("float32", "bfloat16", "float16", "float64")
ROWS = ((16_384, 128, 128), (1_024, 128, 128), (65_536, 128, 128))
SIZES = {"head": HEAD, "batch": BATCH, "rows": ROWS}
BUILD = "import sys; from marginbench import cli; cli(sys.argv[1:])"


def write(root: Path, wanted: int, machines: int) -> int:
    """Runs of the same plan, each with its own noise; returns how many lines are results."""
    losses = tuple(
        (loss.name, v.name, v.family, SIZES[v.family])
        for loss in catalogue.losses()
        for v in loss.variants
    )
    total = 0
    for number in range(machines):
        folder = root / f"machine-{number + 1}"
        folder.mkdir(parents=True)
        kept = 0
        left = (wanted - total) // (machines - number)
        maker = Maker(number, rounds=60, losses=losses, agreement_shapes=SHAPES, dtypes=DTYPES)
        with lzma.open(folder / "records.jsonl.xz", "wt", preset=0) as file:
            for line in maker.lines():
                if line.kind == "result":
                    # The rest of the last run is cut: results of a case that did not end.
                    if kept >= left and line.case.suite != "agreement":
                        break
                    kept += 1
                file.write(line.model_dump_json() + "\n")
        total += kept
    return total


def built(root: Path) -> tuple[float, float, int, str]:
    """Seconds of wall and of all processors, peak bytes of all processes, what it said."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, "publish", "--records", str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
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
        print(f"{results:,} results of {options.machines} machines: {seconds:.1f} s, {cpu:.1f} s "
              f"of processor, {peak / 1e6:.0f} MB at most; largest page {largest.name}, "
              f"{sizes[largest]:,} bytes; {sum(sizes.values()):,} bytes of pages")  # fmt: skip
        fits = seconds < SECONDS and peak < BYTES and sizes[largest] <= MOST_BYTES
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
