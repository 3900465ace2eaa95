"""``marginbench compare`` where a side lacks figures: inconclusive, vanished, unknown, not fine."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from compared_runs import call, changed, lines
from synthetic_run import IDENTITY, write

from benchmarks.records.loading import Line, Result, Training
from reports.compare.runs import load


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("base"), lines())


def test_what_is_measured_once_a_process_is_not_compared(tmp_path: Path):
    """A first call has one round by design; as a row that can't be judged no run would exit 0."""
    made = lines()
    once = [one for one in made if isinstance(one, Result) and one.metric == "first_call_s"]
    assert once and all(one.rounds == [one.value] for one in once)
    loaded = load(write(tmp_path, made))
    assert loaded.timed.timings and not any(key.metric == "first_call_s"
                                            for key in loaded.keys.values())  # fmt: skip


def in_rounds(count: int, run: list[Line]) -> list[Line]:
    """The run with that many rounds of each of compiled's times."""
    return [
        changed(line, rounds=line.rounds[:count], value=float(np.median(line.rounds[:count])))
        if isinstance(line, Result) and line.rounds[count:] and line.contender == "compiled"
        else line
        for line in run
    ]


def test_what_neither_side_timed_often_enough_is_not_judged(tmp_path: Path):
    """A slow rival gets two or three rounds of a default run; that is nothing the code did."""
    sides_ = [write(tmp_path / name, in_rounds(3, lines(seed))) for seed, name in enumerate("ab")]
    _, _, page = call(tmp_path / "page", *sides_)
    assert page is not None and "invalid" not in page.seen
    assert "too few rounds to compare" in page.seen
    assert "inconclusive" in page.seen and "too few rounds: " not in page.seen


@pytest.mark.parametrize("few_first", [False, True])
def test_too_few_rounds_on_one_side_are_inconclusive(tmp_path: Path, few_first: bool):
    """It was run on both: nothing vanished, nothing is new, and nothing is wrong with it."""
    sides_ = [write(tmp_path / "full", in_rounds(5, lines())),
              write(tmp_path / "few", in_rounds(4, lines(1)))]  # fmt: skip
    code, output, page = call(tmp_path / "page", *sides_[:: -1 if few_first else 1])
    assert code == 3 and page is not None
    for word in ("vanished", "invalid", " new"):
        assert word not in output.split("times: ")[1].split(";")[0] and word not in page.seen
    rows = [line for line in (tmp_path / "page/report.md").read_text().splitlines()
            if "too few rounds: expected at least 5; got 4" in line]  # fmt: skip
    assert rows and all("| compiled |" in row and "inconclusive" in row for row in rows)
    assert f"{tmp_path / 'few'}: too few rounds" in page.seen


def test_a_contender_with_too_few_rounds_inside_a_run_is_inconclusive(tmp_path: Path):
    run = write(tmp_path / "run", in_rounds(4, lines()))
    _, output, page = call(tmp_path / "page", run, "--contender", "eager", "--contender",
                           "compiled")  # fmt: skip
    assert page is not None and "got 4 of both" in page.seen
    assert "inconclusive" in output and "invalid" not in output + page.seen


def trained(one: Line) -> bool:
    return isinstance(one, Training) and one.loss == "triplet"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda one: [], "not in the candidate"),
        (lambda one: [changed(one, status="worse", reason="the loss was nan", metrics={})],
         "seed 0 in the candidate: diverged: the loss was nan"),
        (lambda one: [changed(one, status="not_run", reason="no such data", metrics={})],
         "seed 0 in the candidate: not run: no such data"),
        (lambda one: [changed(one, metrics={**one.metrics, "recall_at_1": None})],
         "not in the candidate"),
        (lambda one: [changed(one, seed=7)], "no seed is in both"),
    ],
)  # fmt: skip
def test_training_that_the_candidate_lacks_has_vanished(base: Path, tmp_path: Path, change, says):
    """It is not the same as the base's because nothing else is left to compare."""
    run = [new for one in lines(1) for new in (change(one) if trained(one) else [one])]
    other = write(tmp_path / "b", run)
    code, output, page = call(tmp_path / "page", base, other, "--smallest-effect", "40%")
    assert code == 3 and page is not None, output
    assert "vanished" in output.partition("trained metrics: ")[2]
    assert says in page.seen


def test_a_seed_that_diverged_is_not_left_out(tmp_path: Path):
    """The others of its arm say nothing of it; a seed that was not tried is another matter."""

    def seeds(*given: int, **rest) -> list[Line]:
        found: list[Line] = []
        for one in lines(**rest):
            of = [{"seed": seed, "name": f"triplet/s{seed}"} for seed in given]
            found += [changed(one, **fields) for fields in of] if trained(one) else [one]
        return found

    before = write(tmp_path / "a", seeds(0, 1, 2))
    fewer = write(tmp_path / "b", seeds(0, 1, process=1))
    _, output, _ = call(tmp_path / "page", before, fewer, "--smallest-effect", "40%")
    assert "vanished" not in output.partition("trained metrics: ")[2]
    broken = [
        changed(one, status="worse", metrics={}) if trained(one) and one.seed == 2 else one
        for one in seeds(0, 1, 2, process=1)
    ]
    code, output, page = call(tmp_path / "page", before, write(tmp_path / "c", broken),
                              "--smallest-effect", "40%")  # fmt: skip
    assert code == 3 and page is not None
    assert "seed 2 in the candidate: diverged" in page.seen


def test_a_figure_that_neither_has_is_not_the_same(tmp_path: Path):
    def of_eager(one: Line) -> bool:
        return isinstance(one, Result) and (one.contender, one.metric) == (
            "eager",
            "relative_error",
        )

    def without(run: list[Line]) -> list[Line]:
        lost = {"value": None, "status": "worse", "reason": "3 numbers are NaN"}
        return [changed(one, **lost) if of_eager(one) else one for one in run]

    good, bad = write(tmp_path / "a", lines()), write(tmp_path / "b", without(lines()))
    code, output, page = call(tmp_path / "page", bad, write(tmp_path / "c", without(lines(1))))
    assert code == 3 and page is not None
    assert "invalid" in output.partition("errors: ")[2] and "3 numbers are NaN" in page.seen
    code, output, _ = call(tmp_path / "page", bad, write(tmp_path / "d", lines(2)))
    assert " new" in output.partition("errors: ")[2]
    code, output, _ = call(tmp_path / "page", good, write(tmp_path / "e", without(lines(3))))
    assert code == 1 and "wrong" in output.partition("errors: ")[2]


def test_two_machines_that_nothing_is_known_of_are_not_the_same(tmp_path: Path):
    unknown = {name: value for name, value in IDENTITY.items() if name != "cpu"}
    a = write(tmp_path / "a", lines(identity=unknown))
    b = write(tmp_path / "b", lines(1, identity=unknown))
    code, output, _ = call(tmp_path / "page", a, b, "--smallest-effect", "40%")
    assert code == 3 and "the machines differ: cpu: missing from every file" in output
    c = write(tmp_path / "c", lines(2))
    for one, other in ((a, c), (c, a)):
        code, output, _ = call(tmp_path / "page", one, other, "--smallest-effect", "40%")
        assert code == 3 and "the machines differ: cpu: " in output


def test_two_record_files_in_a_folder_are_refused(base: Path, tmp_path: Path):
    content = (base / "records.jsonl").read_bytes()
    (tmp_path / "records.jsonl").write_bytes(content)
    (tmp_path / "records.jsonl.xz").write_bytes(lzma.compress(content))
    code, output, page = call(tmp_path / "page", base, tmp_path)
    assert code == 3 and page is None and "expected one record file" in output


def test_a_contender_that_the_run_lacks_is_named_with_the_nearest(base: Path, tmp_path: Path):
    other = write(tmp_path / "b", lines(1))
    for words in ((base, "--contender", "compiled"), (base, other)):
        code, output, page = call(tmp_path / "page", *words, "--contender", "eagre")
        assert code == 2 and "did you mean 'eager'?" in output and page is None


def test_first_calls_stand_in_no_comparison_of_contenders(base: Path, tmp_path: Path):
    _, _, page = call(tmp_path, base, "--contender", "eager", "--contender", "compiled")
    assert page is not None and "first call s" not in page.seen
