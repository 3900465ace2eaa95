"""What sampling does to a loss: the measurement, its record, and the guide that shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import sampled_loss
from benchmarks.instruments import machine
from benchmarks.sampled_loss import Bias, Step
from marginbench.loss import Shape
from reports.paths import PUBLISHED

RECORD = PUBLISHED / "sampled-loss.json"
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "train.md"


def test_a_correction_takes_the_bias_off_and_all_classes_have_none(monkeypatch):
    monkeypatch.setattr(sampled_loss, "RATES", (0.1, 1.0))
    found = list(sampled_loss.biases(Shape(4, 512, 300), draws=10))
    for plain, corrected, whole in (found[:3], found[3:]):
        assert (plain.corrected, corrected.corrected, whole.rate) == (False, True, 1)
        assert whole.embeddings == whole.class_weights == 1
        assert plain.loss < corrected.loss < 1.2 * whole.loss
    # Where the target leads, a class counts about as often as it is sampled.
    assert plain.embeddings < 0.5 < corrected.embeddings


def test_a_step_at_a_lower_rate_holds_less():
    whole, sampled = sampled_loss.steps(Shape(8, 16, 5_000), rounds=1)
    assert 4 * sampled.peak_bytes < whole.peak_bytes


def test_the_guide_shows_the_record_of_a_commit():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert record["schema_version"] == sampled_loss.SCHEMA_VERSION
    assert not record["measured"]["changed"]
    found = [Bias(**one) for one in record["biases"]]
    stepped = [Step(**one) for one in record["steps"]]
    assert {(one.cosine, one.rate) for one in found} == {
        (cosine, rate) for cosine in sampled_loss.COSINES for rate in sampled_loss.RATES
    }
    for table in sampled_loss.tables(found, stepped).split("\n\n"):
        assert table in GUIDE.read_text(encoding="utf-8")


def test_the_command_writes_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    bias, step = Bias(0.5, 0.1, False, 1.5, 0.1, 0.25, 0.125), Step(0.1, 12.0, 10.0, 3_000_000)
    monkeypatch.setattr(sampled_loss, "biases", lambda: iter([bias]))
    monkeypatch.setattr(sampled_loss, "steps", lambda: iter([step]))
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert sampled_loss.main([str(tmp_path / "one.json")]) == 0
    said = capsys.readouterr().out
    assert "| 0.5 | 0.1 | 1.50 | 1.50 | 0.25 | 0.25 | 0.12 | 0.12 |" in said
    assert "| 0.1 | 12 ms | 3 MB |" in said
    record = json.loads((tmp_path / "one.json").read_text())
    assert Bias(**record["biases"][0]) == bias and Step(**record["steps"][0]) == step
    assert record["measured"]["command"] == "python -m benchmarks.sampled_loss one.json"
