"""What a machine reaches at most: written beside its records, with the command that measures it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import machine, rates


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
    monkeypatch.setattr(rates, "measure", lambda device: {"rates": {"x": 1.0}, "rounds": {}})
    folder = tmp_path / lies
    folder.mkdir(parents=True)
    (folder / rates.FILE).write_text('{"title": "A box"}')
    facts = json.loads(rates.write(folder, "cpu").read_text())
    assert facts["title"] == "A box" and facts["rates"] == {"x": 1.0}
    assert facts["measured"]["command"] == f"python -m benchmarks.rates {named}".format(
        root=tmp_path
    )
