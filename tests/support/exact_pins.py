"""Exact rows of one loss, and where they are pinned in a tree; for the tests of the exact check."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.snapshots import pin_files
from benchmarks.snapshots.exact import rows
from benchmarks.snapshots.exact.rows import ExactRow

CASE = "exact/softmax/linear/B37-D19-C23/float32/cpu"
ROWS = [
    ExactRow(CASE, "tiled", "peak_bytes", 1000),
    ExactRow(CASE, "tiled", "operators", 12),
    ExactRow(CASE, "tiled", "agreement", "ok"),
    ExactRow(CASE, "tiled", "growth_share", 0.001),
    ExactRow(CASE, "eager", "growth_share", "exempt", "it may"),
]
TORCH = pin_files.version_of("torch", torch.__version__)


def file_of(tree: Path) -> Path:
    return tree / pin_files.LIBRARY / "softmax" / pin_files.FILE


def pinned_in(tree: Path) -> list[ExactRow]:
    return [rows.row_of(one) for one in pin_files.read(tree) if rows.is_of(one, TORCH)]
