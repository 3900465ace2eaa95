"""What a machine reaches at most: written beside its records, with the command that measures it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import rates
from benchmarks.instruments import ceilings, machine


@pytest.mark.parametrize(
    ("lies", "named"),
    [
        ("clone/reports/published/a box", "'reports/published/a box'"),
        ("clone/reports/published/box", "reports/published/box"),
        ("elsewhere/box", "{root}/elsewhere/box"),
    ],
)
def test_the_command_names_the_folder_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lies: str, named: str
):
    monkeypatch.setattr(machine, "ROOT", tmp_path / "clone")
    monkeypatch.setattr(machine, "versions", dict)
    found = {"rates": {"x": 1.0}, "rounds": {}, "failed": {}}
    monkeypatch.setattr(ceilings, "measure", lambda *_: found)
    folder = tmp_path / lies
    folder.mkdir(parents=True)
    (folder / rates.FILE).write_text('{"title": "A box"}')
    facts = json.loads(rates.write(folder, "cpu").read_text())
    assert facts["title"] == "A box" and facts["rates"] == {"x": 1.0}
    assert facts["measured"]["command"] == f"python -m benchmarks.rates {named}".format(
        root=tmp_path
    )


def test_a_rate_that_fails_leaves_the_others_and_ends_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def refuses(device: str, side: int, dtype: str):
        if dtype == "float16":
            raise RuntimeError("no such product")
        return lambda: None

    before = torch.backends.cuda.matmul.fp32_precision
    monkeypatch.setattr(ceilings, "multiplying", refuses)
    found = ceilings.measure("cpu", ceilings.Sizes(1 << 12, 8))
    assert found["failed"] == {"flops_per_s_float16": "RuntimeError: no such product"}
    named = {"bytes_per_s", *(f"flops_per_s_{name}" for name in ("bfloat16", "tf32", "float32"))}
    assert set(found["rates"]) == set(found["rounds"]) == named
    assert torch.backends.cuda.matmul.fp32_precision == before
    monkeypatch.setattr(ceilings, "measure", lambda *_: found)
    assert rates.main([str(tmp_path)]) == 3 and not list(tmp_path.iterdir())
    assert capsys.readouterr().err == "error: flops_per_s_float16: RuntimeError: no such product\n"
