"""Reads compiled code: the instructions of a kernel, their classes and their hash.

NVIDIA's disassembler takes a third of a second to start and a hundredth for a kernel, so the code
of many kernels is handed to it in one file.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

# Bytes of an instruction, since Volta.
_SIZE = 16
_LINE = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", re.M)
_PREDICATE = re.compile(r"^@!?U?P\w+\s+")
_REGISTER = re.compile(r"\b(UR|R|UP|P)\d+\b(?:\.reuse)?")
_JUMP = re.compile(
    r"^(?:@\S+\s+)?(?:BRA|BRX|BSSY|CALL|JMP|JMX|RET|LEPC|BREAK|WARPSYNC\.COLLECTIVE)\b"
)
_PRODUCT = re.compile(r"^(?:[HIDQB]G?MMA|UTC\w*MMA)$")
_WIDTH = re.compile(r"\.(?:[US])?(256|128|64|16|8)\b")
_MEMORY = {"LDG": "load", "STG": "store", "LDGSTS": "async"}
_OTHER = {"LDL": "local.load", "STL": "local.store", "MUFU": "special", "BAR": "barrier",
          "SYNCS": "barrier", "UTMALDG": "async.tensor", "UTMASTG": "store.tensor"}  # fmt: skip
_AMD_MEMORY = re.compile(
    r"^(?:global|buffer)_(load|store)_(lds_)?(?:[us]?(byte|short)|dword(x\d)?)"
)
_AMD_SPECIAL = re.compile(r"^v_(?:exp|log|rcp|rsq|sqrt|sin|cos)_")
_AMD_LINE = re.compile(r"^\t([a-z]\w+.*?)\s*(?:;.*)?$", re.M)


def text_section(cubin: bytes) -> bytes:
    """The machine code of the one kernel in a cubin (ELF64, little-endian)."""
    (table,) = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", cubin, table + n * size) for n in range(count)]
    found = []
    for name, _, _, _, offset, length in heads:
        at = heads[names][4] + name
        if cubin[at : cubin.index(b"\0", at)].startswith(b".text."):
            found.append(cubin[offset : offset + length])
    if len(found) != 1:
        raise ValueError(f"cubin: expected the code of one kernel; got {len(found)}")
    return found[0]


def disassemble(codes: Sequence[bytes], tool: Path, architecture: str) -> list[list[str]]:
    """The instructions of each kernel's code, for an architecture such as ``SM90a``. A jump's
    target is counted from its kernel's start."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code"
        path.write_bytes(b"".join(codes))
        listing = subprocess.run(
            [tool, "--no-dataflow", "--binary", architecture, path],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    return split(listing, [len(code) for code in codes])


def split(listing: str, lengths: Sequence[int]) -> list[list[str]]:
    """The instructions of each kernel in a listing of several, one after the other."""
    starts = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
    found: list[list[str]] = [[] for _ in lengths]
    kernel = 0
    for address, instruction in _LINE.findall(listing):
        while int(address, 16) >= starts[kernel + 1]:
            kernel += 1
        found[kernel].append(_relative(instruction, starts[kernel]))
    for instructions, length in zip(found, lengths, strict=True):
        if len(instructions) != length // _SIZE:
            raise ValueError(
                f"listing: expected {length // _SIZE} instructions; got {len(instructions)}"
            )
    return found


def _relative(instruction: str, start: int) -> str:
    if start and _JUMP.match(instruction):
        # A target outside this kernel's range can't be one: it is kept, and changes the hash.
        return re.sub(r"0x[0-9a-f]+$", lambda m: hex(int(m[0], 16) - start), instruction)
    return instruction


def amd_instructions(assembly: str) -> list[str]:
    """The instructions of AMD's assembly text, without labels, comments and directives."""
    return _AMD_LINE.findall(assembly)


def code_hash(instructions: Sequence[str], *, registers: bool = True) -> str:
    """SHA-256 of the text, one instruction a line, single blanks.

    Without ``registers`` their numbers are left out and only their kinds kept: the assembler for
    Blackwell assigns some by addresses in its own memory, so the same input gives one of several
    codes.
    """
    lines = [" ".join(instruction.split()) for instruction in instructions]
    if not registers:
        lines = [_REGISTER.sub(r"\1", line) for line in lines]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def classes(instructions: Sequence[str]) -> dict[str, int]:
    """How many instructions there are of each class worth counting, by name.

    Products by their own name (``HGMMA``, ``v_mfma``); ``load``, ``store`` and ``async`` (global
    to shared memory) by the bits that a thread moves (``load.128``); ``async.tensor`` (a whole
    tile); ``local.load`` and ``local.store`` (spills and stack); ``special`` (exp, log, rsqrt);
    ``barrier``.
    """
    found = Counter(_class(_PREDICATE.sub("", instruction)) for instruction in instructions)
    return {name: found[name] for name in sorted(found) if name}


def _class(instruction: str) -> str:
    operation = instruction.split()[0]
    if operation[0].islower():
        return _amd_class(operation, instruction)
    name = operation.split(".")[0]
    if _PRODUCT.match(name):
        return name
    if name in _MEMORY:
        width = _WIDTH.search(operation)
        return f"{_MEMORY[name]}.{width[1] if width else 32}"
    return _OTHER.get(name, "")


def _amd_class(operation: str, instruction: str) -> str:
    if operation.startswith("v_mfma"):
        return "v_mfma"
    moved = _AMD_MEMORY.match(operation)
    if moved:
        to_shared = moved[2] or instruction.endswith(" lds")
        bits = {"byte": 8, "short": 16}.get(moved[3], 32 * int((moved[4] or "x1")[1:]))
        return f"{'async' if to_shared else moved[1]}.{bits}"
    if operation.startswith("scratch_"):
        return "local.load" if operation.startswith("scratch_load") else "local.store"
    if _AMD_SPECIAL.match(operation):
        return "special"
    return "barrier" if operation == "s_barrier" else ""
