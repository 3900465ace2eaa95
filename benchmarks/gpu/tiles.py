"""Which tiles of linear + log-sum-exp are the fastest here: every candidate timed by replays of a
CUDA graph, and what `marginbench.shared.linear_lse_tiles` would say by that.

The candidates are those that autotuning has, whatever fields their tiles have.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from marginbench.shared import linear_lse_tiles, tuning
from suites.cases import Case
from suites.schema import Row

from ..records import folders, kinds, record_files, writing

METRIC, CONTENDER = "tile_time_s", "triton"
NO_GPU = "needs CUDA: tiles are timed on a GPU"
# The file beside the records that has the proposal.
FILE = "proposed_tiles.txt"
# A proposal is at least so much faster: less is not worth another order of sums.
_FASTER = 0.97
_PASSES: dict[str, Callable[..., Sequence[Any]]] = {
    "forward": linear_lse_tiles.streams,
    "backward": linear_lse_tiles.backwards,
}


def rows(case: Case) -> Iterator[list[Row]]:
    """A row for each candidate of each pass, of float32 multiplied as such and as tf32."""
    for precision in ("ieee", "tf32") if case.dtype == "float32" else ("ieee",):
        with _multiplied(precision):
            reason, timings = timed(case) if case.device != "cpu" else (NO_GPU, {})
            for name in _PASSES:
                yield _rows(case, name, timings.get(name), reason)


def timed(case: Case) -> tuple[str, dict[str, dict[str, Any]]]:
    """What `tuning.timings` says of each pass; and why one is missing."""
    from ..agreement.comparison import TIMED_REDUCTION
    from ..agreement.truth import upstream
    from ..instruments.contenders import candidates
    from ..instruments.rows import Subject, clear_gradients
    from ..run.measurement import draw

    subject = Subject.of(case)
    found = candidates(subject, compile=False, only=(CONTENDER,), interpreted=case.device == "cpu")
    ours = next(candidate for candidate in found if candidate.name == CONTENDER)
    if ours.function is None:
        return ours.reason, {}
    inputs = draw(case, subject, 0)
    with _remembering_nothing():
        subject.evaluate(
            ours.function, inputs, TIMED_REDUCTION, upstream(subject, TIMED_REDUCTION, case.seed)
        )
        clear_gradients(inputs)
        kinds = ((name, one) for one in tuning.timings() for name in _PASSES
                 if one["kind"].startswith("heads ") and name in one["kind"])  # fmt: skip
        return "no tile of it was timed", dict(kinds)


def _rows(case: Case, name: str, timing: Mapping[str, Any] | None, reason: str) -> list[Row]:
    given = torch.device(case.device), getattr(torch, case.dtype), case.batch, case.dim
    entry = linear_lse_tiles.entry(*given)
    tried = {repr(one["tile"]): one for one in (timing or {}).get("tried", ())}
    made = []
    for number, candidate in enumerate(_PASSES[name](*given)):
        plain, parts = dataclasses.asdict(candidate), _parts(candidate)
        of = {"pass": name, "numbers": entry[2], "tile": ", ".join(parts)}
        how: dict[str, Any] = {"tile": plain, "parts": parts, "entry": entry, "table": not number}
        one = tried.get(repr(plain), {})
        if timing is None or "time_s" not in one:
            why = str(one.get("failed", reason))
            made.append(Row(CONTENDER, METRIC, of, "not_run", why, protocol=how))
            continue
        how |= {"timed": timing["timed"], "key": timing["key"],
                "fastest": timing["tile"] == plain, "cache": "warm"}  # fmt: skip
        made.append(Row(CONTENDER, METRIC, of, value=one["time_s"], protocol=how))
    return made


def _parts(candidate: Any) -> list[str]:
    """A candidate's tiles as the table has them: itself, or those that it is made of."""
    values = [getattr(candidate, one.name) for one in dataclasses.fields(candidate)]
    nested = all(map(dataclasses.is_dataclass, values))
    return [_spelt(one) for one in (values if nested else [candidate])]


def _spelt(tile: Any) -> str:
    """The call that makes it, without what is so by default."""
    words = []
    for one in dataclasses.fields(tile):
        value = getattr(tile, one.name)
        if one.default is dataclasses.MISSING:
            words.append(repr(value))
        elif value != one.default:
            words.append(f"{one.name}={value!r}")
    return f"{type(tile).__name__}({', '.join(words)})"


def propose(records: Path) -> list[str]:
    """The `proposal` by all sessions of a record, as it is put beside it; or that there is none."""
    found = proposal(map(record_files.parsed, writing.whole_lines(records)))
    if not found:
        return ["no tile was timed: the table stays"]
    folder = folders.make(records.parent, kinds.GPU, "--out", (FILE,))
    folder.write({FILE: "".join(f"{line}\n" for line in found)})
    return found


def proposal(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the table would say by a record's lines, ready to paste; each with its ratio to today's
    tiles. Empty where none was timed."""
    figures: dict[tuple[str, ...], dict[str, dict[str, dict[str, Any]]]] = {}
    for line in lines:
        if line.get("kind") == "result" and line["metric"] == METRIC and line["status"] == "ok":
            case = "/".join(map(str, line["case"].values()))
            of_entry = figures.setdefault(tuple(line["protocol"]["entry"]), {})
            # A case that was measured again counts as it was measured last.
            cases = of_entry.setdefault(line["of"]["pass"], {})
            cases.setdefault(case, {})[line["of"]["tile"]] = line
    return list(itertools.chain.from_iterable(_entry(*one) for one in figures.items()))


def _entry(
    entry: tuple[str, ...], passes: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> Iterator[str]:
    table, known, numbers, shape = entry
    parts, notes, changed = list[str](), [], False
    for name in _PASSES:
        if name not in passes or not (compared := _compared(passes[name])):
            notes.append(f"{name} not timed")
            parts += [f"<today's of the {name} pass>"]
            continue
        best, ratio, today, ways = compared
        better = ratio <= _FASTER
        changed |= better
        parts += best if better else today
        said = f"{ratio:.2f} of today's time" if better else "stays"
        notes.append(f"{name} {said} (cases: {len(passes[name])}, by {' and '.join(ways)})")
    where = f'{known}, ("{numbers}", "{shape}"), today from {table}'
    yield f"# {where}: {'; '.join(notes)}"
    if changed:
        yield f'OWN["{known}"]: ("{numbers}", "{shape}"): _tiles({", ".join(parts)}),'


def _compared(
    cases: Mapping[str, Mapping[str, Any]],
) -> tuple[list[str], float, list[str], list[str]] | None:
    """The tile with the smallest ratio to today's, a geometric mean over the cases; the ratio;
    today's tile; how they were timed. None where today's was not timed, or no tile in all cases."""
    today = {case: next((one for one in tiles.values() if one["protocol"]["table"]), None)
             for case, tiles in cases.items()}  # fmt: skip
    shared = set.intersection(*(set(tiles) for tiles in cases.values()))
    if None in today.values() or not shared:
        return None
    ratios = {
        tile: statistics.geometric_mean(
            tiles[tile]["value"] / today[case]["value"]  # type: ignore[index]
            for case, tiles in cases.items()
        )
        for tile in sorted(shared)
    }
    best = min(ratios, key=ratios.__getitem__)
    tiles, first = next(iter(cases.values())), next(iter(today.values()))
    assert first is not None
    ways = {one["protocol"]["timed"] for of_case in cases.values() for one in of_case.values()}
    return (
        tiles[best]["protocol"]["parts"], ratios[best], first["protocol"]["parts"], sorted(ways)
    )  # fmt: skip


@contextmanager
def _multiplied(precision: str) -> Iterator[None]:
    """Inside, float32 is multiplied as ``ieee`` or ``tf32``; 16-bit numbers don't mind."""
    matmul = torch.backends.cuda.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, precision
    try:
        yield
    finally:
        matmul.fp32_precision = before


@contextmanager
def _remembering_nothing() -> Iterator[None]:
    """Inside, tiles are tuned by what is timed there alone."""
    tuning.forget()
    with tempfile.TemporaryDirectory() as folder:
        file = {tuning.CACHE: f"{folder}/tiles.json"}
        with mock.patch.dict(os.environ, file), tuning.autotuning():
            yield
    tuning.forget()
