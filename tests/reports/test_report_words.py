"""The commands that a report suggests, and what it calls the parts of a machine."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

import pytest
from page_reader import Page
from synthetic_run import LOSSES, Maker, write

from reports.build import build
from reports.sections import machine_words

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("lies", "path"),
    [
        ("reports/published/half", "reports/published/half"),
        ("reports/out/half", "{root}/reports/out/half"),
        ("half", "{root}/half"),
    ],
)
def test_an_incomplete_packed_run_is_unpacked_where_it_lies_before_it_goes_on(
    tmp_path: Path, lies: str, path: str
):
    """A published one is named from the root of its clone, whichever that is."""
    folder = tmp_path / lies
    named = path.format(root=tmp_path)
    plain = write(folder, list(Maker(losses=LOSSES[1:2]).lines())[:12]) / "records.jsonl"
    (folder / "records.jsonl.xz").write_bytes(lzma.compress(plain.read_bytes()))
    plain.unlink()
    said = Page(build(folder).read_text()).seen
    assert (
        f"Complete it with: xz -d {named}/records.jsonl.xz && "
        f"marginbench run --resume {named}" in said
    )


def test_a_machine_is_reported_in_words_and_units():
    """No key that `benchmarks.instruments.machine` may write is shown raw or without a unit."""
    made = machine_words.identity(
        {"gpu": None, "memory_gib": 23.5, "gpu_memory_gib": 79, "versions": {"torch": "2.13.0"}}, ""
    )
    assert [(name.text, said.text) for name, said in made.rows] == [
        ("GPU", "not known"), ("memory", "23.5 GiB"), ("GPU memory", "79 GiB"),
        ("version of torch", "2.13.0"),
    ]  # fmt: skip
    rows = machine_words.state({"cpu_mhz": 2100, "environment": {"OMP_NUM_THREADS": "2"}})
    assert [(name.text, said.text) for name, said in rows.rows] == [
        ("CPU clock", "2100 MHz"), ("OMP_NUM_THREADS in the environment", "2"),
    ]  # fmt: skip
    assert all(made.columns) and all(rows.columns)
    source = (ROOT / "benchmarks/instruments/machine.py").read_text()
    keys = set(re.findall(r'facts\["(\w+)"\]|^        "(\w+)": ', source, re.M))
    written = {one for pair in keys for one in pair if "_" in one}
    assert {"memory_gib", "gpu_sm_mhz"} <= written
    assert written <= {*machine_words.WORDS, "transparent_huge_pages"}
