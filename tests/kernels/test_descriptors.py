"""Tensor descriptors in the forward pass of the heads: the same bits as by pointers, and pointers
where rows do not begin at multiples of 16 bytes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import bounds
import pytest
import torch

from benchmarks import library
from marginbench.inputs import random_batch
from marginbench.loss import Shape
from marginbench.shared import launching, linear_lse
from marginbench.shared.linear_lse_tiles import StreamTile, described, streams

CPU = torch.device("cpu")
TILE = StreamTile(16, 16, 16, warps=4, stages=2)
# What `stream` with a bias has to be on the main target, counted for 64 logits a thread.
EPILOGUE, LOGITS = 700, 64


@pytest.fixture(autouse=True)
def _inside_the_tensors():
    with bounds.watched():
        yield


def _terms(tile: StreamTile, shape: Shape, dtype: torch.dtype, seed: int) -> list[torch.Tensor]:
    batch = random_batch(shape, seed)
    given = (batch.embeddings.to(dtype), batch.labels, batch.class_weights.to(dtype))
    bias = torch.randn(shape.classes, generator=torch.Generator().manual_seed(seed)).to(dtype)
    found = []
    for bias_C in (bias, None):
        found += linear_lse._terms(*given, bias_C, None, None, None, None, 1, [], False, tile)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_they_load_the_same(dtype: torch.dtype, seed: int):
    """Rows, classes and depths that end within a tile."""
    shape = Shape(37, 24, 41)
    described_tile = replace(TILE, descriptors=True)
    for one, other in zip(
        _terms(described_tile, shape, dtype, seed), _terms(TILE, shape, dtype, seed), strict=True
    ):
        assert torch.equal(one, other)


def test_pointers_load_what_descriptors_cannot(monkeypatch: pytest.MonkeyPatch):
    tile, x = replace(TILE, descriptors=True), torch.zeros(8, 24, dtype=torch.bfloat16)
    assert described(tile, x)
    assert not described(TILE, x)
    assert not described(tile, x, torch.zeros(8, 20, dtype=torch.bfloat16))  # rows of 40 bytes
    assert not described(tile, x, x[:, 1:])  # begins at 2 bytes
    assert described(tile, x, x[:, 8:])
    assert described(tile, x[::2], torch.zeros(8, 20))


def test_only_gpus_that_have_them_get_them():
    for architecture, has in {
        "sm_80": 0,
        "sm_90": 1,
        "sm_100": 1,
        "gfx942": 0,
        "sm_120": 0,
    }.items():
        with launching.recorded(architecture):
            tiles = streams(CPU, torch.bfloat16, 1024, 512)
            assert any(tile.descriptors for tile in tiles) == bool(has), architecture
            # Either way of loading can be chosen by tuning.
            assert not all(tile.descriptors for tile in tiles)


_COMPILE = """
import json, sys
import torch
from benchmarks.snapshots import disassembly, static
from benchmarks.snapshots.specializations import specialization
from marginbench.shared import launching
from marginbench.softmax import fused
x, w = (torch.empty(n, 512, dtype=torch.bfloat16) for n in (1024, 10_000))
bias, y = torch.empty(10_000, dtype=torch.bfloat16), torch.zeros(1024, dtype=torch.int64)
with launching.recorded("sm_90") as launches:
    fused.head(x, y, w, bias)
(launch,) = (one for one in launches if one.kernel.__name__ == "stream")
made = static._compile(specialization(launch), "sm_90")
code = disassembly.text_section(made.asm["cubin"])
(instructions,) = disassembly.disassemble([code], static._TOOLS / "nvdisasm", "SM90a")
facts = static.compile_ahead(launch, "sm_90")
tile = [launch.arguments[f"BLOCK_{axis}"] for axis in "BC"]
print(json.dumps({"programs": facts.programs, "stack": facts.stack_bytes, "tile": tile,
                  "warps": launch.arguments["num_warps"], "code": instructions}))
"""


def test_two_programs_a_processor_and_a_short_epilogue():
    """Of `stream` with a bias, compiled for sm_90: what follows the products of a tile, up to the
    jump to the next one."""
    if not launching.INTERPRETED:
        pytest.skip("compiles in a process of its own, for this one has a GPU")
    environment = {**library.environment(), "TRITON_INTERPRET": "0"}
    child = subprocess.run(
        [sys.executable, "-c", _COMPILE], env=environment, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr[-2000:]
    found = json.loads(child.stdout.splitlines()[-1])
    rows, columns = found["tile"]
    assert found["stack"] == 0
    assert found["programs"] >= (2 if columns == 128 else 1) and rows == 128 <= columns
    jumps = [k for k, text in enumerate(found["code"]) if re.search(r"\bBRA\b", text)]
    last = max(k for k, text in enumerate(found["code"]) if "HGMMA" in text)
    inner, outer = [k for k in jumps if k > last][:2]
    logits = rows * columns / (32 * found["warps"])
    assert (outer - inner) * LOGITS / logits <= EPILOGUE
