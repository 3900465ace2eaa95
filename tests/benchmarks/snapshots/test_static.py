"""What kernels compile to: the readers of compiled code, occupancy, and one real compilation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import library
from benchmarks.instruments import gpus
from benchmarks.snapshots.disassembly import amd_instructions, classes, code_hash, split
from benchmarks.snapshots.pins import broken

ROOT = Path(__file__).parents[3]

# Two kernels of three and four instructions, one behind the other.
LISTING = """
	.headerflags	@"EF_CUDA_64BIT_ADDRESS"
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDG.E.128 R4, desc[UR8][R4.64+0x40] ;
        /*0020*/                   BRA 0x20;
        /*0030*/                   LDGSTS.E.BYPASS.128 [R9], desc[UR8][R4.64] ;
        /*0040*/              @!P2 BRA 0x60 ;
        /*0050*/                   IMAD R1, R2, 0x60, RZ ;
        /*0060*/                   EXIT ;
"""


def test_the_listing_of_many_kernels_is_taken_apart():
    first, second = split(LISTING, [3 * 16, 4 * 16])
    assert first == [
        "LDC R1, c[0x0][0x28]", "@!P0 LDG.E.128 R4, desc[UR8][R4.64+0x40]", "BRA 0x20",
    ]  # fmt: skip
    # A jump is counted from its kernel's start; another number that looks alike is not.
    assert second[1:3] == ["@!P2 BRA 0x30", "IMAD R1, R2, 0x60, RZ"]


def test_a_listing_that_lacks_instructions_is_refused():
    with pytest.raises(ValueError, match="expected 5 instructions; got 4"):
        split(LISTING, [3 * 16, 5 * 16])


def test_instructions_are_counted_by_class():
    found = classes([
        "HGMMA.64x128x16.F32.BF16 R24, gdesc[UR4].tnspB, R24, gsb0",
        "@P0 HGMMA.64x128x16.F32.BF16 R24, gdesc[UR4], R24",
        "UTCHMMA gdesc[UR4], gdesc[UR6], tmem[UR8], tmem[UR10]",
        "LDG.E.128 R4, desc[UR8][R4.64]",
        "@!P0 LDG.E R4, desc[UR8][R4.64+0x40]",
        "LDG.E.U16 R4, desc[UR8][R4.64]",
        "LDG.E.64 R4, desc[UR8][R4.64]",
        "LDGSTS.E.BYPASS.LTC128B.128 [R9], desc[UR8][R4.64]",
        "UTMALDG.2D [UR8], [UR4]",
        "STG.E.64 desc[UR8][R4.64], R2",
        "STL.64 [R1+0x8], R2",
        "LDL R2, [R1]",
        "MUFU.EX2 R2, R2",
        "BAR.SYNC.DEFER_BLOCKING 0x0",
        "FFMA R1, R2, R3, R4",
    ])  # fmt: skip
    assert found == {
        "HGMMA": 2, "UTCHMMA": 1, "load.128": 1, "load.32": 1, "load.16": 1, "load.64": 1,
        "async.128": 1, "async.tensor": 1, "store.64": 1, "local.store": 1, "local.load": 1,
        "special": 1, "barrier": 1,
    }  # fmt: skip


AMD = """
	.text
row_sums:                               ; @row_sums
	.file	1 "/home/someone/kernels" "sums.py"
	.loc	1 109 0 prologue_end            ; sums.py:109:0
	s_load_dwordx2 s[2:3], s[0:1], 0x0
.LBB0_1:
	buffer_load_dwordx4 v[4:7], v3, s[40:43], 0 offen ; 16 bytes
	global_load_ushort v1, v[2:3], off
	global_store_dword v[2:3], v1, off
	buffer_load_dword v3, s[8:11], 0 offen lds
	v_mfma_f32_32x32x8_bf16_1k a[0:15], v[0:1], v[2:3], a[0:15]
	v_exp_f32_e32 v1, v1
	scratch_store_dword off, v1, s32
	s_barrier
	s_cbranch_scc1 .LBB0_1
"""


def test_amd_instructions_are_distinguished_from_the_rest():
    instructions = amd_instructions(AMD)
    assert len(instructions) == 10
    assert instructions[1] == "buffer_load_dwordx4 v[4:7], v3, s[40:43], 0 offen"
    assert classes(instructions) == {
        "load.128": 1, "load.16": 1, "store.32": 1, "async.32": 1, "v_mfma": 1, "special": 1,
        "local.store": 1, "barrier": 1,
    }  # fmt: skip


def test_the_hash_is_of_the_instructions_alone():
    moved = AMD.replace("/home/someone", "/srv").replace("row_sums", "sums").replace("109", "7")
    assert code_hash(amd_instructions(moved)) == code_hash(amd_instructions(AMD))
    other = AMD.replace("v_exp_f32_e32 v1, v1", "v_exp_f32_e32 v1, v2")
    assert code_hash(amd_instructions(other)) != code_hash(amd_instructions(AMD))


def test_the_hash_can_leave_out_which_registers_are_taken():
    code = ["@!P0 IMAD R1, R2.reuse, 0x60, RZ", "UIADD3 UR26, UR8, 0x2, URZ"]
    other = ["@!P1 IMAD R3, R4, 0x60, RZ", "UIADD3 UR28, UR8, 0x2, URZ"]
    assert code_hash(code, registers=False) == code_hash(other, registers=False)
    assert code_hash(code) != code_hash(other)
    for changed in ([code[1], code[0]], [code[0], "UIADD3 UR26, UR8, 0x4, URZ"]):
        assert code_hash(changed, registers=False) != code_hash(code, registers=False)


@pytest.mark.parametrize(
    ("target", "taken", "expected"),
    [
        # Nothing in the way but the number of warps, and of programs.
        ("sm_90", {"warps": 4, "registers": 32, "shared_bytes": 0}, 16),
        ("sm_90", {"warps": 1, "registers": 32, "shared_bytes": 0}, 32),
        # 128 registers: four warps in each quarter; 129 are handed out as 136, 168 fit thrice.
        ("sm_90", {"warps": 4, "registers": 128, "shared_bytes": 0}, 4),
        ("sm_90", {"warps": 4, "registers": 129, "shared_bytes": 0}, 3),
        ("sm_90", {"warps": 8, "registers": 168, "shared_bytes": 0}, 1),
        ("sm_80", {"warps": 8, "registers": 255, "shared_bytes": 0}, 1),
        # 96 KiB and 1 KiB of the system's: twice in 228 KiB, once in 164 KiB.
        ("sm_90", {"warps": 4, "registers": 32, "shared_bytes": 96 << 10}, 2),
        ("sm_80", {"warps": 4, "registers": 32, "shared_bytes": 96 << 10}, 1),
        ("sm_80", {"warps": 4, "registers": 32, "shared_bytes": 164 << 10}, 0),
        ("sm_100", {"warps": 4, "registers": 32, "shared_bytes": 0, "tensor_columns": 256}, 2),
        # 512 registers a SIMD; 8 waves are two on each of the four.
        ("gfx942", {"warps": 4, "registers": 128, "shared_bytes": 0}, 4),
        ("gfx942", {"warps": 8, "registers": 128, "shared_bytes": 0}, 2),
        ("gfx942", {"warps": 4, "registers": 64, "shared_bytes": 32 << 10}, 2),
        ("gfx942", {"warps": 1, "registers": 32, "shared_bytes": 0}, 16),
    ],
)
def test_occupancy(target: str, taken: dict[str, int], expected: int):
    assert gpus.programs(target, **taken) == expected


def _compiled(tree: Path, cache: Path) -> list[dict]:
    """A tiny kernel's facts, compiled in ``tree`` with an empty cache of Triton's, in a process of
    its own: an interpreted kernel can't be compiled."""
    path = os.pathsep.join(library.paths(tree))
    variables = {k: v for k, v in os.environ.items() if not k.startswith("TRITON_")}
    done = subprocess.run(
        [sys.executable, tree / "tests/support/tiny_kernel.py"], capture_output=True, text=True,
        env=variables | {"PYTHONPATH": path, "TRITON_CACHE_DIR": str(cache)}, cwd=tree,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_a_kernel_compiles_for_every_target_and_hashes_alike_anywhere(tmp_path: Path):
    """Rows that begin anywhere, and aligned ones; on each target's tensor cores."""
    here = _compiled(ROOT, tmp_path / "first")
    assert [row["target"] for row in here] == [target for target in gpus.TARGETS for _ in range(2)]
    for ragged, aligned in zip(here[::2], here[1::2], strict=True):
        for row in (ragged, aligned):
            assert row["products"] == ["bf16"] and row["product"] and not broken(row), row
            assert row["registers"] > 0 and row["shared_bytes"] > 0, row
        assert aligned["aligned"] and not ragged["aligned"]
        assert ragged["code"] != aligned["code"]
        # Loaded one by one, rows take more instructions.
        assert ragged["instructions"] > aligned["instructions"]
    tree = tmp_path / "elsewhere" / "tree"
    for folder in ("kernels", "suites", "benchmarks", "tests"):
        shutil.copytree(ROOT / folder, tree / folder)
    assert _compiled(tree, tmp_path / "second") == here
