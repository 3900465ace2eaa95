"""The open division's search, with a stand-in for the training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from marginbench import catalogue
from marginbench.checks import InputError
from suites.jobs import Anneal, Job
from suites.quality import search as search_module
from suites.quality.protocol import SEARCH_SEED, searches
from suites.quality.recipes import recipe
from suites.quality.search import Search
from suites.schema import TrainingResult

Run = Callable[[Job], TrainingResult]


def result_of(job: Job, value: float | None, status: str = "ok") -> TrainingResult:
    return TrainingResult(
        job.name, job.loss, "", job.contender, job.dataset, job.seed, status,
        study=job.study, arm=job.arm, job=job.plain(), metrics={"map_at_r": value},
    )  # fmt: skip


def favouring(rate: float) -> Run:
    """A stand-in that is best at that learning rate."""

    def run(job: Job) -> TrainingResult:
        away = math.log10(job.settings.learning_rate / rate)
        return result_of(job, math.exp(-(away**2)))

    return run


def finished(search: Search, run: Run) -> list[Job]:
    jobs = []
    while (job := search.ask()) is not None:
        jobs.append(job)
        search.tell(run(job))
    return jobs


def test_a_stopped_search_goes_on_as_if_it_had_not_been(seed: int):
    run = favouring(4e-3)
    whole = Search("glyphs", "center", 9, [0, 1], seed=seed)
    jobs = finished(whole, run)
    done = {job.name: run(job) for job in jobs[:4]}
    again = Search("glyphs", "center", 9, [0, 1], seed=seed)
    resumed = finished(again, lambda job: done.get(job.name) or run(job))
    assert resumed == jobs
    assert again.jobs() == whole.jobs()
    other = finished(Search("glyphs", "center", 9, [0, 1], seed=seed + 1), run)
    assert other[0].terms == jobs[0].terms and other[1].terms != jobs[1].terms


def test_asking_twice_asks_for_the_same(seed: int):
    search = Search("digits", "contrastive", 3, [0], seed=seed)
    first = search.ask()
    assert first is not None and search.ask() is first
    with pytest.raises(InputError, match="result: expected"):
        search.tell(dataclasses.replace(result_of(first, 0.5), name="another"))
    search.tell(result_of(first, 0.5))
    second = search.ask()
    assert second is not None and second.name != first.name
    with pytest.raises(InputError):
        search.tell(result_of(first, 0.5))


@pytest.mark.parametrize("loss", catalogue.names())
@pytest.mark.parametrize("dataset", ["digits", "glyphs"])
def test_a_trial_never_carries_test_identities_and_keeps_to_the_space(
    dataset: str, loss: str, seed: int
):
    search = Search(dataset, loss, 8, [0], seed=seed)
    jobs = finished(search, favouring(1e-3))
    assert len(jobs) == 8 == len({job.name for job in jobs})
    for job in jobs:
        assert (job.validation, job.study, job.seed) == (True, "search", seed)
        assert job.settings.batch == recipe(dataset).settings.batch
        assert 1e-4 <= job.settings.learning_rate <= 1e-2
    variant = catalogue.get(loss).effective_training()
    assert variant is not None
    # The declared recipe is tried first, exactly as the closed division trains it.
    assert jobs[0].terms[0].options == ()
    assert jobs[0].settings == recipe(dataset).search_settings
    for job in jobs[1:]:
        options = dict(job.terms[0].options)
        assert set(options) == set(variant.search)
        for name, value in options.items():
            drawn = value.floor if isinstance(value, Anneal) else value
            assert isinstance(drawn, float)
            assert variant.search[name].low <= drawn <= variant.search[name].high
        assert Job.from_plain(job.plain()) == job
    for job in search.jobs():
        assert (job.validation, job.study) == (False, "open")


def test_the_best_on_validation_is_trained_from_every_seed(seed: int):
    search = Search("digits", "triplet", 10, [5, 6, 7], seed=seed)
    names = [job.name for job in search.jobs()]
    jobs = finished(search, favouring(8e-3))
    best = min(jobs, key=lambda job: abs(math.log(job.settings.learning_rate / 8e-3)))
    assert [job.seed for job in search.jobs()] == [5, 6, 7]
    assert [job.name for job in search.jobs()] == names, "known before the search is over"
    for job in search.jobs():
        assert job.terms == best.terms
        assert job.settings.learning_rate == best.settings.learning_rate
        # What a search changes of P x K to have identities enough is not carried over.
        assert job.settings.identities_per_batch == recipe("digits").settings.identities_per_batch


def test_the_defaults_win_where_nothing_beats_them(seed: int):
    search = Search("digits", "softmax", 6, [0], seed=seed)
    finished(search, lambda job: result_of(job, 0.5))
    assert search.best.drawn == {}
    assert search.jobs()[0].settings == recipe("digits").settings
    assert search.jobs()[0].terms[0].options == ()


def test_what_diverges_counts_as_nothing_and_what_does_not_run_is_never_found(seed: int):
    def run(job: Job) -> TrainingResult:
        number = int(job.arm[-2:])
        if number == 0:
            return result_of(job, None, "worse")
        return result_of(job, 0.1) if number == 2 else result_of(job, None, "not_run")

    search = Search("digits", "contrastive", 5, [0], seed=seed)
    jobs = finished(search, run)
    assert [trial.value for trial in search.finished] == [0.0, None, 0.1, None, None]
    assert search.jobs()[0].terms == jobs[2].terms
    nowhere = Search("digits", "contrastive", 2, [0], seed=seed)
    finished(nowhere, lambda job: result_of(job, None, "not_run"))
    assert nowhere.jobs()[0].terms[0].options == ()


def test_every_loss_is_given_the_same_budget_and_a_seed_that_is_not_reported():
    found = searches("fashion", range(5), 7)
    assert [search.loss for search in found] == catalogue.names()
    assert {search.trials for search in found} == {7}
    assert {search.seed for search in found} == {SEARCH_SEED}
    said = found[0].description()
    assert "7 trials" in said["method"] and "learning_rate" in said["space"]


@pytest.mark.parametrize("loss", catalogue.names())
def test_a_declared_space_holds_what_is_declared(loss: str):
    settings = recipe("digits").settings
    declared = search_module.declared(loss, settings)
    for name, within in search_module.space(loss, settings).items():
        assert 0 <= within.low < declared[name] < within.high or within.high == declared[name]
        assert not within.log or within.low > 0
    expected = {"a-softmax": {"annealing": 5.0}, "center": {"weight": 0.003, "alpha": 0.5}}
    for name, value in expected.get(loss, {}).items():
        assert declared[name] == value


def test_the_annealing_that_is_searched_is_the_one_that_is_declared():
    training = catalogue.get("a-softmax").training
    assert training is not None and training.schedule is not None
    term, _ = search_module.tuned("a-softmax", {"annealing": 5.0}, recipe("digits").settings)
    annealing = dict(term.options)["annealing"]
    assert isinstance(annealing, Anneal)
    for step in (0, 1, 100, 1_658, 2_000):
        declared = training.schedule(step)["annealing"]
        assert annealing(step / 2_000, 2_000) == pytest.approx(declared)
