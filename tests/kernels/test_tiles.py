"""Tiles: the table has one for every case, and what is launched says which."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.agreement import comparison
from benchmarks.instruments import contenders
from benchmarks.instruments.rows import Subject
from marginbench import catalogue
from marginbench.contrastive import fused_all_pairs
from marginbench.inputs import random_inputs
from marginbench.loss import Shape
from marginbench.shared import architectures, launching, linear_lse_tiles, pairwise_tiles, tuning
from marginbench.shared.architectures import KNOWN, nearest

ARCHITECTURES = (*KNOWN, "sm_86", "sm_120", "gfx90a", "something_else")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
CPU = torch.device("cpu")


def _shared_bytes(rows: int, columns: int, depth: int, stages: int, itemsize: int) -> int:
    """What the operands of a product take at least: one copy a stage, less the one in use."""
    return (rows + columns) * depth * itemsize * max(1, stages - 1)


def _fits(tile: launching.Tile, architecture: str, dtype: torch.dtype) -> None:
    for size in (tile.rows, tile.columns, tile.depth, tile.warps):
        assert size & (size - 1) == 0, tile
    assert min(tile.rows, tile.columns, tile.depth) >= 16 and tile.stages >= 1
    needed = _shared_bytes(tile.rows, tile.columns, tile.depth, tile.stages, dtype.itemsize)
    known = architectures.ARCHITECTURES.get(architecture)
    has = known.shared_bytes if known else 64 << 10
    assert needed <= has, (tile, architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_head_has_its_tiles(architecture: str, dtype: torch.dtype):
    with launching.recorded(architecture):
        for batch, dim in ((1, 1), (64, 512), (65, 16), (1024, 100), (4096, 512)):
            tiles = linear_lse_tiles.tiles(CPU, dtype, batch, dim)
            backward = tiles.backward
            for tile in (
                tiles.stream,
                backward.coefficients,
                backward.embeddings,
                backward.weights,
            ):
                _fits(tile, architecture, dtype)
            assert linear_lse_tiles.streams(CPU, dtype, batch, dim)[0] == tiles.stream
            assert linear_lse_tiles.backwards(CPU, dtype, batch, dim)[0] == backward


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["reduce", "exact", "slots", "gradient", "product"])
def test_every_pairwise_kernel_has_its_tile(architecture: str, dtype: torch.dtype, kind: str):
    with launching.recorded(architecture):
        for dim in (512, 100):
            candidates = pairwise_tiles.tiles_for(kind, torch.zeros(1, dim, dtype=dtype))
            assert len(candidates) == len(set(candidates)) > 1
            for tile in candidates:
                assert tile.slots or kind != "slots"
                assert tile.output >= 16 or kind not in ("gradient", "product")
            _fits(candidates[0], architecture, dtype)


def test_the_architecture_decides():
    """A recording that pretends to be another GPU gets that one's tiles."""
    chosen = {}
    for architecture in ("sm_90", "gfx942"):
        with launching.recorded(architecture):
            chosen[architecture] = (
                linear_lse_tiles.tiles(CPU, torch.bfloat16, 1024, 512),
                pairwise_tiles.tile_for("gradient", torch.zeros(8, 64, dtype=torch.bfloat16)),
            )
    assert chosen["sm_90"][0] != chosen["gfx942"][0]
    assert chosen["sm_90"][1] != chosen["gfx942"][1]


@pytest.mark.parametrize(
    ("architecture", "stand_in"),
    [("sm_80", "sm_80"), ("sm_75", "sm_80"), ("sm_86", "sm_80"), ("sm_89", "sm_80"),
     ("sm_90", "sm_90"), ("sm_100", "sm_100"), ("sm_103", "sm_100"), ("sm_120", "sm_80"),
     ("gfx942", "gfx942"), ("gfx90a", "gfx942"), ("gfx1100", "gfx942"), ("tpu", "sm_80")],
)  # fmt: skip
def test_nearest_architecture(architecture: str, stand_in: str):
    assert nearest(architecture) == stand_in


def test_an_operator_reports_its_tiles():
    """What `watched` sees is what is launched."""
    x, y = torch.zeros(70, 64, dtype=torch.bfloat16), torch.arange(70) % 7
    with launching.recorded("sm_80") as launches, tuning.watched() as choices:
        fused_all_pairs.all_pairs_terms(x, y, 1.0)
        fused_all_pairs.all_pairs_gradient(x, y, torch.ones(70), 1.0)
    tiles = {choice["kind"].split(":")[0]: choice["tile"] for choice in choices()}
    launched = [launch.arguments for launch in launches if "num_warps" in launch.arguments]
    assert [(a["M"], a["N"], a["num_warps"]) for a in launched] == [
        (tiles[kind]["rows"], tiles[kind]["columns"], tiles[kind]["warps"])
        for kind in ("pairs exact", "pairs gradient")
    ]
    assert {choice["source"] for choice in choices()} == {"table"}


@pytest.mark.skipif(not launching.INTERPRETED, reason="the case is on the CPU")
def test_rows_of_a_fused_contender_record_its_tiles(seed: int):
    loss = catalogue.get("softmax")
    subject = Subject(loss, loss.variants[0], Shape(5, 17, 3), "float32", "cpu")
    found = contenders.candidates(subject, compile=False, only=["triton"], interpreted=True)
    inputs = random_inputs(loss.variants[0], subject.shape, "float32", "cpu", seed)
    rows = {"eager": [], "triton": []}
    for row in comparison.measure(subject, found, inputs, seed, every=False):
        rows[row.contender].append(row.protocol.get("tiles"))
    assert set(map(str, rows["eager"])) == {"None"}
    for tiles in rows["triton"]:
        assert [tile["kind"] for tile in tiles] == ["heads softmax forward", "heads backward"]
        assert {tile["source"] for tile in tiles} == {"table"}
        json.dumps(tiles)
