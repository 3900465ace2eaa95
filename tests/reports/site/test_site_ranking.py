"""Who is first for a loss: by all that was timed of it, not by the one case that suits a rival."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import BATCH, Maker, write

from benchmarks.records.loading import Line
from reports import reading
from reports.site import ranking, summaries

SIZES = BATCH[:4]


def _ranks(folder: Path, timed_in: int) -> dict[str, summaries.Rank]:
    """Of a loss in four sizes, of which the fastest contender, compiled, was timed in some."""
    maker = Maker(0, rounds=12, losses=(("triplet", "batch-hard", "batch", SIZES),))
    small = {f"B{batch}-" for batch, _, _ in SIZES[:timed_in]}

    def is_kept(line: Line) -> bool:
        case = getattr(line, "case", None)
        if getattr(line, "contender", "") != "compiled" or case is None or case.suite != "speed":
            return not (case and getattr(line, "kind", "") == "result" and case.suite == "real")
        return any(f"/{size}" in case.id for size in small)

    write(folder, [line for line in maker.lines() if is_kept(line)])
    found = summaries.summary("m", "M", "", reading.load(folder / "records.jsonl")).ranks
    return {rank.contender: rank for rank in found}


@pytest.mark.parametrize("timed_in", [1, 2, 4])
def test_first_is_who_was_timed_in_at_least_half_of_the_cases(tmp_path: Path, timed_in: int):
    ranks = _ranks(tmp_path, timed_in)
    assert ranks["compiled"].speed > 1.5 and ranks["compiled"].cases == timed_in
    assert ranks["eager"].cases == len(SIZES) and ranks["eager"].ranked
    # The peer was timed in every case: each has a rival, whoever else is left out.
    assert ranks["compiled"].rivals == timed_in and ranks["eager"].rivals == len(SIZES)
    order = [name for name in ranks if name in ("eager", "compiled")]
    if timed_in * 2 >= len(SIZES):
        assert ranks["compiled"].ranked and order == ["compiled", "eager"]
    else:
        assert not ranks["compiled"].ranked and list(ranks)[-1] == "compiled"


def test_a_case_without_a_rival_is_none_that_could_be_won(tmp_path: Path):
    maker = Maker(0, rounds=12, losses=(("triplet", "batch-hard", "batch", SIZES),))
    alone = f"/B{SIZES[0][0]}-"

    def is_kept(line: Line) -> bool:
        case = getattr(line, "case", None)
        rival = getattr(line, "contender", "eager") not in ("eager", "reference")
        return not (rival and case and alone in case.id)

    write(tmp_path, [line for line in maker.lines() if is_kept(line)])
    found = summaries.summary("m", "M", "", reading.load(tmp_path / "records.jsonl"))
    eager = next(rank for rank in found.ranks if rank.contender == "eager")
    assert 0 < eager.rivals < eager.cases
    assert ranking.span(eager) == ""
    one = next(rank for rank in found.ranks if rank.contender == "compiled")
    assert ranking.span(one).endswith("×")
    assert ranking.span(replace(one, cases=1)) == ""
