"""A dataset is one file: it is found, planned for, listed and trained on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import library

ROOT = Path(__file__).resolve().parents[3]
FILE = """
from suites.jobs import Settings

from .declaration import Declaration, Recipe

RECIPE = Recipe(
    Settings(1, "mlp", dim=8, identities_per_batch=4, images_per_identity=4, evaluation_images=40),
    "eight identities drawn at random, for a step or two",
)
DATASETS = (Declaration("drawn", f"{__name__}:load", RECIPE, "drawn squares", epoch_s=0.25),)


def load():
    import torch

    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(64)
    return {
        "images": torch.rand(64, 1, 8, 8, generator=generator), "identities": rows // 8,
        "splits": {"train": rows[:32], "test": rows[32:]}, "facts": {"source": "drawn"},
    }
"""
USE = """
import json
import sys
from types import SimpleNamespace

from suites.quality import protocol

(job,) = protocol.closed("drawn", [0], losses=["softmax"])
planned_without_torch = "torch" not in sys.modules

from benchmarks.training import expected, listing, training
from commands.quality import names
from reports.quality import judging

names.known_dataset("drawn")
result = training.run(job)
print(json.dumps({
    "planned_without_torch": planned_without_torch,
    "seconds": expected.Expected().seconds(job),
    "listed": {one["name"]: one["missing"] for one in listing.everything()["datasets"]}["drawn"],
    "title": judging.scope([SimpleNamespace(dataset="drawn", job=job.plain())]),
    "trained": [result.status, result.reason, result.dataset, len(result.epochs)],
    "facts": result.settings["dataset_facts"]["source"],
}))
"""


def test_a_file_is_all_that_a_new_dataset_takes(tmp_path: Path):
    for name in ("suites", "kernels"):  # suites takes the library that lies beside it alone
        ignored = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (tmp_path / "suites" / "datasets" / "drawn.py").write_text(FILE)
    path = os.pathsep.join([*library.paths(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "planned_without_torch": True,
        "seconds": 0.25,
        "listed": "",
        "title": "drawn squares (MLP)",
        "trained": ["ok", "", "drawn", 2],
        "facts": "drawn",
    }
