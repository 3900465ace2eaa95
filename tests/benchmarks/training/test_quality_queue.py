"""What a quality run trains and in which order; searches by ask and tell, and resumed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import quality_fakes as fakes

from benchmarks.records.journal import provenance
from benchmarks.records.loading import Training
from benchmarks.training.planning import Plan
from benchmarks.training.queueing import Queue, failed
from benchmarks.training.workers import not_run
from suites.jobs import Job
from suites.schema import TrainingResult


class Search:
    """Three trials one after the other; then two trainings, with the best trial's number."""

    trials = 3

    def __init__(self, name: str = "a") -> None:
        self.name, self.results, self.asked = name, [], 0

    def ask(self) -> Job | None:
        assert self.asked == len(self.results), "asked before the last trial had its result"
        if self.asked == self.trials:
            return None
        self.asked += 1
        return fakes.job(f"{self.name}/trial-{self.asked}", study="search")

    def tell(self, result: TrainingResult) -> None:
        self.results.append(result.name)

    def jobs(self) -> list[Job]:
        return [fakes.job(self.name, seed, study="open") for seed in range(2)]


def done(job: Job, status: str = "ok", reason: str = "") -> TrainingResult:
    return replace(not_run(job, reason), status=status)


def recorded(result: TrainingResult) -> Training:
    return Training(
        run="r", session="s", provenance=provenance("marginbench quality run"), **vars(result)
    )


def drained(queue: Queue) -> list[str]:
    names = []
    while (job := queue.next()) is not None:
        names.append(job.name)
        queue.ended(done(job), 1.0)
    return names


def test_trials_go_one_by_one_and_two_searches_side_by_side():
    queue = Queue(Plan([fakes.job("plain")], [Search("a"), Search("b")]))
    first, second, third = queue.next(), queue.next(), queue.next()
    assert first and second and third
    assert (first.arm, second.arm, third.arm) == ("a/trial-1", "b/trial-1", "plain")
    assert queue.next() is None and not queue.over
    queue.ended(done(second), 1.0)
    after = queue.next()
    assert after and after.arm == "b/trial-2"


def test_a_search_is_gone_on_with_from_its_records():
    whole = drained(Queue(Plan([], [Search()])))
    assert len(whole) == 5
    search = Search()
    before = [recorded(done(fakes.job(f"a/trial-{k}", study="search"))) for k in (1, 2)]
    queue = Queue(Plan([], [search]), before)
    assert (queue.done, queue.total) == (2, 5)
    assert drained(queue) == whole[2:] and search.results == whole[:3]
    assert queue.over and queue.done == queue.total


def test_a_search_whose_dataset_is_missing_ends_with_the_reason():
    queue = Queue(Plan([], [Search()]))
    job = queue.next()
    assert job is not None
    queue.ended(done(job, "not_run", "fashion: install it"), 0.1)
    assert not queue.over
    found = queue.abandoned()
    assert {(one.name, one.status, one.reason) for one in found} == {
        (job.name, "not_run", "fashion: install it") for job in Search().jobs()
    }
    assert queue.over and queue.done == queue.total


def test_what_waits_for_a_damaged_dataset_is_abandoned_trials_too():
    other = replace(fakes.job("other"), dataset="fashion")
    queue = Queue(Plan([fakes.job("plain"), other], [Search("a"), Search("b")]))
    job = queue.next()
    assert job is not None and job.arm == "a/trial-1"
    reason = f"dataset {job.dataset}: images: can't be decoded"
    queue.ended(done(job, "not_run", reason), 0.1)
    found = queue.abandoned()
    assert {one.reason for one in found} == {reason}
    later = [one.name for name in "ab" for one in Search(name).jobs()]
    trial = fakes.job("b/trial-1", study="search").name
    assert sorted(one.name for one in found) == sorted([fakes.job("plain").name, trial, *later])
    assert drained(queue) == [other.name]
    assert queue.over and queue.done == queue.total


def test_a_trial_that_fails_does_not_end_its_search():
    search = Search()
    queue = Queue(Plan([], [search]))
    job = queue.next()
    assert job is not None
    queue.ended(done(job, "not_run", "RuntimeError: out of luck"), 0.1)
    assert not queue.abandoned() and len(drained(queue)) == 4


def test_only_the_named_trainings_of_a_search_are_trained():
    name = Search().jobs()[1].name
    plan = Plan([], [Search()], frozenset({name}))
    assert plan.total == 4 and drained(Queue(plan))[-1:] == [name]


def test_every_first_seed_comes_before_a_second_and_long_ones_first():
    short, long = fakes.job("short", epochs=1), fakes.job("long", epochs=9)
    jobs = [short, long, replace(short, seed=1), replace(long, seed=1)]
    order = drained(Queue(Plan(jobs)))
    assert order == [jobs[1].name, jobs[0].name, jobs[3].name, jobs[2].name]


def test_the_time_left_is_what_trainings_took():
    jobs = [fakes.job("a", seed, epochs=2) for seed in range(5)]
    queue = Queue(Plan(jobs))
    job = queue.next()
    assert job is not None
    queue.ended(done(job), 10.0)
    assert queue.left_s(2, {}) == pytest.approx(20.0)
    job = queue.next()
    assert job is not None
    assert queue.left_s(2, {job.name: 0.5}) == pytest.approx(17.5)


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("fashion: install dataset-fashion-mnist", False),
        ("dataset fashion: OSError: a disk that is gone", False),
        ("needs CUDA: torch finds no GPU", False),
        ("InputError: backbone: expected one of mlp", True),
        ("the process that trained it was ended by signal 9", True),
        ("OSError: [Errno 28] No space left on device: 'checkpoint.pt'", False),
        ("MemoryError: ", False),
        ("OSError: [Errno 5] Input/output error", True),
    ],
)
def test_a_fault_is_reported_from_what_the_machine_lacks(reason: str, ours: bool):
    assert failed(not_run(fakes.job("a"), reason)) is ours
