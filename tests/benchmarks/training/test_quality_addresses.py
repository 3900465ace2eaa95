"""Where MLflow's store of a run lies: in the run's own folder, whatever that is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from benchmarks.training.tracking import addresses

NAMES = ("plain", "a?b=c", "50%", "50%20", "#1", "two words", "a+b&c", "café", "semi;colon")


@pytest.mark.parametrize("name", NAMES)
def test_the_store_is_where_its_address_says(tmp_path: Path, name: str):
    """By SQLAlchemy, which MLflow hands the address to, and by our own reading."""
    database = tmp_path / name / addresses.OWN
    database.parent.mkdir()
    uri = addresses.of_database(database)
    assert addresses.database(uri) == database == Path(str(make_url(uri).database))
    with create_engine(uri).connect() as connection:
        connection.execute(text("CREATE TABLE made (one INT)"))
    assert database.is_file() and [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a?b=c", "50%20#"])
def test_mlflow_makes_it_there_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    from mlflow.store.db.utils import _make_parent_dirs_if_sqlite

    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    _make_parent_dirs_if_sqlite(addresses.of_database(tmp_path / name / addresses.OWN))
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_the_address_that_is_given_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
    assert addresses.address(tmp_path, None) == "http://there"
    assert addresses.address(tmp_path, "sqlite:///here.db") == "sqlite:///here.db"
    assert addresses.database("http://there") is None
