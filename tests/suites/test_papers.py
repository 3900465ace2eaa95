"""The papers' recipes and tables: nothing without status and source, nothing from memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.training.terms import declared
from marginbench import catalogue
from suites import published, recipes
from suites.jobs import Anneal, Job
from suites.recipes import loading

NAMES = ["centerloss2016", "facenet2015", "hadsell2006", "hermans2017", "sphereface-released",
         "sphereface2017"]  # fmt: skip


def test_recipes_are_found_with_status_and_source():
    found = recipes.recipes()
    assert [recipe.name for recipe in found] == NAMES
    for recipe in found:
        for name, setting in recipe.settings.items():
            assert not setting.stated or (
                setting.status in ("V", "V2", "REPO") and setting.source
            ), name
    with pytest.raises(KeyError, match="got 'arcface'"):
        recipes.get("arcface")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_makes_a_job(name: str):
    job = recipes.job(recipes.get(name), "folder:/faces", 490_000)
    assert Job.from_plain(json.loads(json.dumps(job.plain()))) == job
    (term,) = job.terms
    variant = catalogue.get(term.loss).variant(term.variant)
    known = {*variant.options, "alpha", "unit_embeddings"}
    assert {option for option, _ in term.options} <= known
    assert any("network" in limit for limit in recipes.limits(recipes.get(name)))


def test_sphereface_is_trained_as_released_and_as_written():
    released = recipes.job(recipes.get("sphereface-released"), "folder:/faces", 494_414)
    assert dict(released.terms[0].options)["annealing"] == Anneal(1_000, 0.12, 1, 5, 28_000)
    assert released.settings.batch == 256
    assert released.settings.epochs == 15  # 28,000 x 256 / 494,414 = 14.5
    assert released.settings.decay_at == pytest.approx((16 / 28, 24 / 28))
    paper = recipes.get("sphereface2017")
    assert recipes.job(paper, "folder:/faces", 494_414).settings.batch == 128
    (annealing,) = [x for x in recipes.limits(paper) if x.startswith("annealing: not stat")]
    assert annealing.endswith("stands in: lambda = 0 from the first step on")
    terms = recipes.job(paper, "folder:/faces", 494_414).terms
    (term,) = declared(terms, "eager", "cpu", 28_000)
    assert [term.options(done)["annealing"] for done in (0.0, 0.5, 1.0)] == [0, 0, 0]


def test_what_a_job_cannot_say_is_said():
    limits = recipes.limits(recipes.get("hermans2017"))
    for word in ("margin: soft", "not squared", "exponential"):
        assert any(word in limit for limit in limits)
    assert any("the rate stays as it is" in limit for limit in limits), "25,000 steps, no drop"
    facenet = recipes.get("facenet2015")
    assert any(x.startswith("decay: lowered") and "two thirds" in x
               for x in recipes.limits(facenet))  # fmt: skip
    assert any("adagrad" in limit for limit in recipes.limits(facenet))
    without = "without the further negatives that the paper draws at random"
    assert f"batch: made up as 45 x 40, {without}" in recipes.limits(facenet)
    assert recipes.job(facenet, "folder:/faces", 10_000).settings.batch == 1_800
    assert any("margin: not stated" in x for x in recipes.limits(recipes.get("hadsell2006")))
    with pytest.raises(ValueError, match="images: expected 1 or more; got 0"):
        recipes.job(facenet, "folder:/faces", 0)


GOOD = 'value = 4, status = "V", source = "section 4.1"'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"m = {{ {GOOD.replace('V', 'MEM')} }}", "m: expected a status of V, V2, REPO"),
        (f"m = {{ {GOOD.replace('V', 'NF')} }}", "m: expected a status"),
        ('m = { value = 4, status = "V" }', "m: expected a status of .* and a source"),
        ("m = { value = 4 }", "m: expected a status"),
        (f"mm = {{ {GOOD} }}", "setting: expected one of .*; got 'mm'"),
        ('m = { value = "not stated", status = "V", source = "x" }', "m: expected neither"),
    ],
)
def test_a_recipe_refuses_what_is_unverified(tmp_path: Path, line: str, message: str):
    stated = 'status = "V", source = "x" }'
    path = tmp_path / "r.toml"
    path.write_text(
        'name = "r"\ntitle = "t"\npaper = "p"\n[settings]\n'
        f'loss = {{ value = "a-softmax", {stated}\nvariant = {{ value = "m4", {stated}\n'
    )
    assert loading.read(path).value("loss") == "a-softmax"
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=message):
        loading.read(path)


def test_published_tables_carry_status_source_network_and_data():
    found = published.tables()
    assert len({table.title for table in found}) == len(found) >= 10
    for table in found:
        assert table.mark == "published, other data"
        assert table.status.split(":")[0] in published.STATUSES
        assert table.source
        assert {"backbone", "trained on"} <= set(table.columns)
    text = published.SOURCE.read_text()
    assert not any(f'status = "{unverified}"' in text for unverified in ("MEM", "NF"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('status = "V"', 'status = "MEM"'), "status of 't': expected one of V, .*; got 'MEM'"),
        (('status = "V"', 'status = "NF"'), "got 'NF'"),
        (('status = "V"', ""), "got None"),
        (('source = "s"', ""), "expected a title and a source"),
        (('"backbone"', '"net"'), "columns of 't': expected backbone"),
        (('"trained on"', '"data"'), "expected trained on"),
        (('["a", "b"]', '["a"]'), "rows of 't': expected 2 texts"),
        (('["a", "b"]', '["a", 3]'), "rows of 't': expected 2 texts"),
    ],
)
def test_published_refuses_what_is_unverified(
    tmp_path: Path, change: tuple[str, str], message: str
):
    path = tmp_path / "t.toml"
    good = (
        '[[table]]\ntitle = "t"\ncolumns = ["backbone", "trained on"]\nsource = "s"\n'
        'status = "V"\nrows = [["a", "b"]]\n'
    )
    path.write_text(good)
    assert len(published.tables(path)) == 1
    path.write_text(good.replace(*change))
    with pytest.raises(ValueError, match=message):
        published.tables(path)
