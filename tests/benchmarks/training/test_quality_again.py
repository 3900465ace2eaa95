"""A row is trained again from its record, and held against it bit for bit."""

from __future__ import annotations

import dataclasses
import json
import lzma
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import quality_fakes as fakes
from click.testing import CliRunner, Result
from synthetic_run import unprotected

from benchmarks.training import again, workers
from benchmarks.training.journal import Journal
from commands.root import cli


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A record of one fake training, and its name; `again` trains with the same fake."""
    real = again.again
    monkeypatch.setattr(
        again, "again", lambda one, **given: real(one, "quality_fakes:train", **given)
    )
    journal = Journal(tmp_path / "run")
    journal.start("marginbench quality run", "quality", 0, [])
    folder = tmp_path / "made"
    folder.mkdir()
    result = fakes.train(fakes.job("a", epochs=1), folder, lambda *_: None)
    journal.trained(result)
    journal.close()
    return journal.path, result.name


def changed(path: Path, change: Callable[[dict], None]) -> None:
    lines = [json.loads(line) for line in unprotected(path.read_text()).splitlines()]
    change(lines[-1])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["quality", "again", *arguments])


def test_the_same_is_0_from_the_file_its_folder_and_an_archive(recorded: tuple[Path, str]):
    path, name = recorded
    archive = path.parent.parent / "published.jsonl.xz"
    archive.write_bytes(lzma.compress(path.read_bytes()))
    for where in (path, path.parent, archive):
        result = call(str(where), name)
        assert result.exit_code == 0, result.output
        assert "equal bit for bit" in result.output


def test_one_bit_more_is_1_on_the_same_machine_and_3_with_another_torch(
    recorded: tuple[Path, str],
):
    path, name = recorded

    def one_ulp(line: dict) -> None:
        rate = line["metrics"]["recall_at_1"]
        line["metrics"]["recall_at_1"] = math.nextafter(rate, 2.0)

    changed(path, one_ulp)
    result = call(str(path), name)
    assert result.exit_code == 1 and "recall_at_1" in result.output
    changed(path, lambda line: line["provenance"]["versions"].update(torch="1.0"))
    result = call(str(path), name)
    assert result.exit_code == 3 and "torch: 1.0" in result.output


def test_how_much_differs_at_most_is_said_and_of_which_figure(recorded: tuple[Path, str]):
    path, name = recorded
    (rate,) = again.find(again.read(path), name).metrics.values()
    assert rate is not None

    def change(line: dict) -> None:
        line["metrics"]["recall_at_1"] = rate * 1.001
        line["metrics"]["gone"] = 1.0
        line["provenance"]["versions"].update(torch="1.0")

    changed(path, change)
    result = call(str(path), name)
    assert result.exit_code == 3
    difference = f"of recall_at_1 ({rate * 1.001:.9g} in the record, {rate:.9g} now); 1 without one"
    assert f"largest relative difference: 0.001, {difference}" in result.output


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (2.0, 1.0, "0.5, of x (2 in the record, 1 now)"),
        (0.0, 1e-30, "1, of x (0 in the record, 1e-30 now)"),
        (-0.0, 0.0, "0, of x (-0 in the record, 0 now)"),
        ([1.0, 4.0], [1.0, 3.0], "0.25, of x (4 in the record, 3 now)"),
        ([1.0], [1.0, 3.0], "of none; 1 without one: absent, not finite or of another length"),
        (1.0, None, "of none; 1 without one: absent, not finite or of another length"),
        (math.nan, 1.0, "of none; 1 without one: absent, not finite or of another length"),
    ],
)
def test_relative_differences_are_to_the_larger(then: object, now: object, expected: str):
    assert again._largest({"x": (then, now)}) == expected


def test_times_are_not_compared(recorded: tuple[Path, str]):
    path, name = recorded
    changed(path, lambda line: line["metrics"].update(train_time_s=3.25))
    assert call(str(path), name).exit_code == 0


def test_what_can_not_be_trained_here_is_3(recorded: tuple[Path, str]):
    path, _ = recorded
    recorded_one = again.find(again.read(path), recorded[1])
    result = workers.not_run(fakes.job("a", epochs=1), "needs CUDA: torch finds no GPU")
    found = again.compare(recorded_one, result)
    assert found.exit_code == 3 and "needs CUDA" in found.verdict


@pytest.mark.parametrize("epochs", [[], [{"epoch": 0.0, "recall_at_1": None}]])
def test_twice_no_figure_is_3(recorded: tuple[Path, str], epochs: list[dict]):
    """What diverged before anything was measured is not shown to come out the same."""
    recorded_one = dataclasses.replace(
        again.find(again.read(recorded[0]), recorded[1]),
        status="worse", epochs=epochs, metrics={"recall_at_1": None}, series={},
    )  # fmt: skip
    result = dataclasses.replace(
        workers.not_run(fakes.job("a", epochs=1), ""), status="worse", epochs=epochs,
        metrics={"recall_at_1": None}, series={},
    )  # fmt: skip
    found = again.compare(recorded_one, result)
    assert (found.exit_code, found.differences) == (3, [])
    assert found.verdict == "nothing to compare: diverged without a figure, twice"


def test_a_name_that_is_not_there_is_2_and_the_nearest_is_named(recorded: tuple[Path, str]):
    path, name = recorded
    result = call(str(path), name.replace("closed", "clozed"))
    assert result.exit_code == 2 and f"did you mean '{name}'" in " ".join(result.output.split())
