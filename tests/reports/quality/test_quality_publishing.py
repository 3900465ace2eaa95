"""A run is published small, whole, from its finished record alone, and the same twice."""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tracking_cases import mirrored, result

from benchmarks.training.journal import Journal
from benchmarks.training.tracking import Mirror, export, import_
from benchmarks.training.tracking.store import Store
from commands.root import cli
from reports.quality import reading

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
COMMAND = "marginbench quality run --dataset digits"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings in a record, one of them in MLflow, in whose store another run is too."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    journal = Journal(folder)
    one, two = result(0), result(1)
    journal.start(COMMAND, "quality", 0, [one.name, two.name])
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    assert "key" in mirrored(Mirror(folder, uri, {"run": "another"}), result(2))
    one.mlflow.update(mirrored(Mirror(folder, uri, {"run": journal.run}), one))
    for each in (one, two):
        journal.trained(each)
    journal.end_run(1.0)
    journal.close()
    return folder


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def publish(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["quality", "publish", *map(str, arguments)])


def content(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_what_is_published_is_the_record_and_mlflow(finished: Path, tmp_path: Path):
    target = tmp_path / "published"
    done = publish(finished, target)
    assert done.exit_code == 0, done.output
    files = content(target)
    assert lzma.decompress(files["records.jsonl.xz"]) == (finished / "records.jsonl").read_bytes()
    ours = {name for name in files if not name.startswith(("mlflow/", "."))}
    assert ours == {"records.jsonl.xz"} and "mlflow/runs.jsonl" in files
    assert not [name for name in files if name.endswith((".png", ".pt", ".pth", ".db"))]
    assert f"{sum(map(len, files.values())):,} bytes in all" in done.output
    assert reading.read(target).records.missing == []
    # The one that MLflow lacked was sent first; the other run of its store is not this one's.
    _, *lines = map(json.loads, files["mlflow/runs.jsonl"].decode().splitlines())
    assert [line["name"] for line in lines] == [result(0).name, result(1).name]
    (tmp_path / "new").mkdir()
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    assert import_(target / "mlflow", uri).sent == 2
    there = Store(tmp_path / "new", uri)
    first = {run.info.run_name: run for run in there.runs()}[result(0).name]
    job = there.client.download_artifacts(first.info.run_id, "job.json", str(tmp_path))
    assert json.loads(Path(job).read_text())["job"] == result(0).job
    shown = reading.read(target).trainings[0].mlflow["key"]
    assert first.data.tags["marginbench.key"] == shown, "what the page shows is found again"


def test_publishing_twice_gives_the_same_bytes(finished: Path, tmp_path: Path):
    target = tmp_path / "published"
    assert publish(finished, target).exit_code == 0
    before = content(target)
    assert publish(finished, target).exit_code == 0
    assert content(target) == before


def test_what_is_not_finished_or_would_overwrite_is_refused(finished: Path, tmp_path: Path):
    cut = tmp_path / "cut"
    cut.mkdir()
    lines = (finished / "records.jsonl").read_text().splitlines(True)
    (cut / "records.jsonl").write_text("".join(lines[:-1]))
    done = publish(cut, tmp_path / "published")
    assert done.exit_code == 3 and f"quality run --resume {cut}" in done.output
    assert not (tmp_path / "published").exists()
    assert publish(finished, finished).exit_code == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    done = publish(finished, tmp_path / "mine")
    assert done.exit_code == 2 and "TARGET" in done.output
    assert content(tmp_path / "mine") == {"letter.txt": b"dear"}


def test_a_store_that_refuses_is_3_and_nothing_is_published(finished: Path, tmp_path: Path):
    done = publish(finished, tmp_path / "published", "--store", "http://127.0.0.1:9")
    assert done.exit_code == 3 and "not in MLflow" in done.output
    assert not (tmp_path / "published").exists()


def test_to_read_a_store_none_is_made(finished: Path, tmp_path: Path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(finished / "records.jsonl", alone)
    with pytest.raises(FileNotFoundError, match=r"mlflow\.db is not there"):
        export(alone, tmp_path / "export")
    assert [p.name for p in alone.iterdir()] == ["records.jsonl"]
