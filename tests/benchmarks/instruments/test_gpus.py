"""A GPU that kernels are compiled for is one entry: all that lists them has it then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.instruments import gpus
from benchmarks.snapshots import launches, pin_files, pins, static_check, static_matrix
from benchmarks.snapshots.pin_files import STATIC
from commands.static import static
from marginbench import catalogue
from marginbench.shared import architectures, linear_lse
from reports.sections import targets
from reports.site import static_facts

NEW = "sm_89"
CARD = gpus.Card("A card", 1e12, {"bfloat16": 1e14, "float16": 1e14, "float32": 1e13}, "its sheet")


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> gpus.Target:
    like = gpus.TARGETS["sm_80"]
    limits = replace(like.limits, shared_bytes=99 << 10)
    new = replace(like, processors=77, compiler=("cuda", 89, 32), product="NEWMMA", limits=limits,
                  cards=(CARD,))  # fmt: skip
    monkeypatch.setitem(gpus.TARGETS, NEW, new)
    return new


def test_all_of_the_library_s_tables_of_tiles_are_compiled_for():
    assert set(architectures.KNOWN) <= set(gpus.TARGETS)
    assert gpus.MAIN in gpus.TARGETS
    assert all(target.disassembler or target.is_amd for target in gpus.TARGETS.values())


def test_a_new_target_is_compiled_for(entry: gpus.Target, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def compile_matrix(targets: Any, kernels: Any, **_: Any) -> list[pins.Row]:
        asked.extend(targets)
        return []

    monkeypatch.setattr(static_matrix, "compile_matrix", compile_matrix)
    static_check.examine(pin=False, whole=True)
    assert asked[-1] == NEW
    option = next(one for one in static.params if one.name == "targets")
    assert list(gpus.TARGETS)[:-1] == list(option.type.choices), "made when the command is imported"


def test_a_new_target_is_recorded_with_its_processors(
    entry: gpus.Target, monkeypatch: pytest.MonkeyPatch
):
    seen: list[int] = []
    real = linear_lse.processors
    monkeypatch.setattr(
        linear_lse, "processors", lambda device: seen.append(real(device)) or seen[-1]
    )
    origins = [next(launches.origins(["softmax"]))]
    assert len(list(launches.recordings(NEW, origins))) == 1
    assert set(seen) == {77}


def test_a_new_target_has_an_occupancy(entry: gpus.Target):
    """Of its own shared memory: 99 KiB, and one of them is the system's."""
    taken = {"warps": 4, "registers": 32, "shared_bytes": 49 << 10}
    assert gpus.programs(NEW, **taken) == 2
    assert gpus.programs("sm_80", **taken) == 3


def test_a_new_target_has_rules_and_rows_on_the_pages(
    entry: gpus.Target, monkeypatch: pytest.MonkeyPatch
):
    row = next(
        row for row in map(pins.row_of, (p for p in pin_files.read() if p.kind == STATIC))
        if (row["target"] == "sm_80" and "bf16" in row["products"] and "softmax" in row["kernel"])
        or (row["kernel"].startswith("shared.linear_lse") and row["target"] == "sm_80"
        and "bf16" in row["products"])
    )  # fmt: skip
    row = {**row, "target": NEW, "folder": "softmax"}
    assert "no NEWMMA" in pins.broken(row)
    pinned = {STATIC: (pins.pin_of(row, "triton 9.9"),)}
    monkeypatch.setattr(static_facts, "_newest", lambda kind: pinned.get(kind, ()))
    said = str(static_facts.section(catalogue.get("softmax")))
    assert f"'{NEW}'" in said and "NEWMMA in 0 of 1" in said and "for five targets" in said


def test_a_new_card_has_least_times(entry: gpus.Target):
    assert f"{CARD.name}, predicted" in targets._headings(gpus.cards())
    assert CARD.source in targets._predicted()
