"""What a machine refuses, room on a disk or memory, is no verdict on what was to be judged."""

from __future__ import annotations

import errno
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.gate import trust
from benchmarks.records.record_files import RecordError
from benchmarks.records.writing import Appender
from benchmarks.sanitizer import jobs
from benchmarks.snapshots import static
from marginbench import catalogue
from marginbench.loss import Loss, Shape

REFUSALS = [OSError(errno.ENOSPC, "No space left on device"), MemoryError("4 GiB")]
every = pytest.mark.parametrize("refusal", REFUSALS, ids=lambda one: type(one).__name__)


def raising(error: Exception):
    def function(*_: object, **__: object) -> None:
        raise error

    return function


@every
def test_a_kernel_that_could_not_be_compiled_for_lack_of_room_did_not_fail(
    refusal: Exception, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(static, "_compile", raising(refusal))
    with pytest.raises(type(refusal)):
        static.compile_all([None], "sm_90")  # type: ignore[list-item]
    monkeypatch.setattr(static, "_compile", raising(ValueError("no such instruction")))
    (found,) = static.compile_all([None], "sm_90")  # type: ignore[list-item]
    assert isinstance(found, ValueError)


@every
def test_a_call_that_lacked_memory_says_nothing_of_its_kernel(
    refusal: Exception, monkeypatch: pytest.MonkeyPatch
):
    loss = catalogue.get("softmax")
    variant = loss.variant("linear")
    job = jobs.Job("ragged", "linear", "float32")

    def call() -> list[str]:
        return jobs._call(
            loss, variant, variant.contender("triton"), Shape(2, 2, 2), job, "contiguous", "none"
        )

    monkeypatch.setattr(Loss, "resolve", lambda *_: raising(refusal))
    with pytest.raises(type(refusal)):
        call()
    monkeypatch.setattr(Loss, "resolve", lambda *_: raising(ValueError("wrong")))
    (problem,) = call()
    assert problem.endswith("ValueError: wrong")


@pytest.mark.parametrize(
    "text", ["{", "[1]", "{}", "[" * 100_000], ids=["cut", "list", "empty", "deep"]
)
def test_trials_that_are_damaged_are_named_by_their_line(text: str, tmp_path: Path):
    path = tmp_path / "trust.jsonl"
    path.write_text(f'{{"kind": "trial", "trial": "a"}}\n{text}\n')
    with pytest.raises(RecordError, match=r"trust\.jsonl, line 2: is damaged: "):
        trust.ended(path)


def test_trials_end_with_digests_and_a_changed_one_is_found(tmp_path: Path):
    """Also over two sessions, the second of which goes on with the first's."""
    path = tmp_path / "trust.jsonl"
    for name in "ab":
        with closing(Appender(path)) as file:
            legs, end = ({"kind": kind, "trial": name} for kind in ("legs", "trial"))
            trust.append(file, legs, end)
    assert trust.ended(path) == {"a", "b"}
    path.write_text(path.read_text().replace('"legs","trial":"b"', '"legs","trial":"c"'))
    with pytest.raises(RecordError, match=r"line 3: is damaged: its digest is not of this line"):
        trust.ended(path)
