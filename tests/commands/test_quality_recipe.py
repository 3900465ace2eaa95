"""``marginbench quality recipe``: shows a paper's training with its sources, and trains it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from commands.quality.group import quality
from suites import recipes


def _call(*words: str):
    return CliRunner().invoke(quality, ["recipe", *words])


@pytest.mark.parametrize("name", [one.name for one in recipes.recipes()])
def test_every_setting_is_shown_with_its_source(name: str):
    recipe, result = recipes.get(name), _call(name)
    assert result.exit_code == 0, result.output
    for key, setting in recipe.settings.items():
        where = f"  [{setting.status}: {setting.source}]" if setting.stated else ""
        assert f"  {key} = {setting.value}{where}\n" in result.output
    for limit in recipes.limits(recipe):
        assert limit in result.output


def test_recipes_are_listed_and_a_wrong_name_is_reported():
    assert "sphereface-released: SphereFace-20 as released" in _call().output
    wrong = _call("arcface")
    assert wrong.exit_code == 2 and "expected one of centerloss2016" in wrong.output
    missing = _call("hadsell2006", "--dataset", "folder:/nowhere/at/all")
    assert missing.exit_code == 3 and "is not a directory" in missing.output


def test_a_recipe_trains_on_a_folder_of_images(tmp_path: Path, seed: int):
    """Forty identities of four pictures: trained, recorded with the paper's settings, and drawn."""
    noise = np.random.default_rng(seed)
    for identity in range(40):
        folder = tmp_path / "faces" / f"person{identity}"
        folder.mkdir(parents=True)
        for number in range(4):
            pixels = noise.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    out = tmp_path / "out"
    result = _call("hermans2017", "--dataset", f"folder:{tmp_path / 'faces'}", "--backbone",
                 "mlp", "--epochs", "1", "--no-mlflow", "--out", str(out))  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    (made,) = [line for line in lines if line["kind"] == "training"]
    assert (made["status"], made["study"]) == ("ok", "recipes/hermans2017")
    settings = made["job"]["settings"]
    assert (settings["identities_per_batch"], settings["images_per_identity"]) == (18, 4)
    assert settings["learning_rate"] == 0.0003
    assert made["job"]["terms"][0]["variant"] == "batch-hard"
    assert (out / "index.html").is_file()
