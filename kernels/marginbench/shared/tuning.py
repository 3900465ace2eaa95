"""Which tile an operator runs with: the table's, or the fastest of a few, timed once and kept.

Off by default. ``MARGINBENCH_AUTOTUNE=1``, or `autotuning`, turns it on: the first call of an
operator for a key (operator, architecture, device, dtype, sizes rounded up to powers of two, Triton
version) runs once with each candidate to compile it, times the ones that ran with CUDA events, and
keeps the fastest. That first call costs a compilation a candidate; every later one finds the choice
in memory, and every later process in a file: ``MARGINBENCH_TILE_CACHE``, or
``marginbench/tiles.json`` in the user's cache folder. Deleting the file forgets all.

Nothing is timed in a recording, in Triton's interpreter, off a GPU or while a CUDA graph is being
captured: there the table serves, or what is known already. `choices` reports what was chosen,
and `watched` does so for what runs inside it.

Another tile sums in another order: results are the same bits only as long as the choices are.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import triton
from torch import Tensor

from . import launching
from .tile_cache import TileCache

AUTOTUNE, CACHE = "MARGINBENCH_AUTOTUNE", "MARGINBENCH_TILE_CACHE"
_WARMUP, _TIMED = 3, 11
T = TypeVar("T")
R = TypeVar("R")

# Set by `autotuning`; None leaves it to the environment.
_switch: bool | None = None
_watchers: list[dict[str, dict[str, Any]]] = []
_choices: dict[str, dict[str, Any]] = {}
_tuned: dict[str, dict[str, Any]] = {}


def enabled() -> bool:
    """Whether tiles are tuned: `autotuning` decides, else the environment."""
    return os.environ.get(AUTOTUNE) == "1" if _switch is None else _switch


@contextmanager
def autotuning(on: bool = True) -> Iterator[None]:
    """Inside, tiles are tuned (or not), whatever the environment says; in all threads, for a
    backward pass runs in a thread of its own."""
    global _switch
    before, _switch = _switch, on
    try:
        yield
    finally:
        _switch = before


def choices() -> list[dict[str, Any]]:
    """What this process chose last for each key: {kind, key, tile, source}.

    ``tile`` is a plain dict, ``source`` one of ``table``, ``tuned`` (timed by this process) and
    ``cache`` (read from the file).
    """
    return copy.deepcopy(list(_choices.values()))


@contextmanager
def watched() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Gives a function that returns the `choices` of what has run inside so far."""
    seen: dict[str, dict[str, Any]] = {}
    _watchers.append(seen)
    try:
        yield lambda: copy.deepcopy(list(seen.values()))
    finally:
        _watchers[:] = [watcher for watcher in _watchers if watcher is not seen]


def forget() -> None:
    """Drop what this process remembers; the file stays."""
    _choices.clear()
    _tuned.clear()


def tuned(
    kind: str, given: Tensor, sizes: Mapping[str, int], candidates: Sequence[T],
    call: Callable[[T], R],
) -> R:  # fmt: skip
    """``call`` with one of the candidates: the first, the table's, unless tiles are tuned.

    ``call`` runs a whole operator for a tile, a dataclass, and may run more than once: it writes
    only to what it allocates. ``given`` is the operand whose dtype and device count, ``sizes`` its
    shape by name. Raises what the table's tile raises, where no other candidate runs either.
    """
    key = key_of(kind, given, sizes)
    if enabled() and not launching.recording():
        found = _known(key, candidates)
        if found is None and _can_time(given):
            found = _tune(key, candidates, call)
        if found is not None:
            _note(kind, key, *found)
            return call(found[0])
    _note(kind, key, candidates[0], "table")
    return call(candidates[0])


def note(kind: str, given: Tensor, sizes: Mapping[str, int], tile: Any) -> None:
    """Report to `choices` a tile that is taken from the table and never tuned."""
    _note(kind, key_of(kind, given, sizes), tile, "table")


def key_of(kind: str, given: Tensor, sizes: Mapping[str, int]) -> str:
    """The text that a choice is kept under."""
    return _key(
        kind, launching.architecture(given.device), given.device, given.dtype,
        launching.product_precision(given.dtype), tuple(sizes.items()),
    )  # fmt: skip


@functools.lru_cache(4096)
def _key(
    kind: str, architecture: str, device: torch.device, dtype: torch.dtype, precision: str,
    sizes: tuple[tuple[str, int], ...],
) -> str:  # fmt: skip
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    rounded = [f"{axis}<={triton.next_power_of_2(size)}" for axis, size in sizes]
    # Rows of another length are loaded element by element: other tiles are then the fastest.
    aligned = all(size % 16 == 0 for axis, size in sizes if axis == "D")
    return " | ".join((
        kind, architecture, name, str(dtype).removeprefix("torch."), precision,
        " ".join(rounded), "aligned" if aligned else "unaligned", f"triton {triton.__version__}",
    ))  # fmt: skip


def _can_time(given: Tensor) -> bool:
    if launching.INTERPRETED or given.device.type != "cuda":
        return False
    return not torch.cuda.is_current_stream_capturing()


def _known(key: str, candidates: Sequence[T]) -> tuple[T, str] | None:
    """The tile known to be the fastest, and from where. One that was since taken off the list of
    candidates is not known."""
    if key in _tuned:
        tile, source = _tuned[key]["tile"], "tuned"
    else:
        tile, source = (_cache().get(key) or {}).get("tile"), "cache"
    return next(((c, source) for c in candidates if _plain(c) == tile), None)


def _tune(key: str, candidates: Sequence[T], call: Callable[[T], Any]) -> tuple[T, str] | None:
    """The fastest that runs, kept in memory and in the file; None where none does."""
    tried: list[dict[str, Any]] = []
    best: tuple[float, T] | None = None
    for candidate in candidates:
        try:
            seconds = _time_s(functools.partial(call, candidate))
        except Exception as error:  # out of shared memory or registers, or it does not compile
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            tried.append({"tile": _plain(candidate), "failed": reason})
            continue
        tried.append({"tile": _plain(candidate), "time_s": seconds})
        if best is None or seconds < best[0]:
            best = seconds, candidate
    if best is None:
        return None
    _tuned[key] = {"tile": _plain(best[1]), "time_s": best[0], "tried": tried}
    _cache().put(key, _tuned[key])
    return best[1], "tuned"


def _time_s(call: Callable[[], Any]) -> float:
    """The median time of a call on the device, caches warm; compilation falls before it."""
    for _ in range(_WARMUP):
        call()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(_TIMED)]
    for start, end in events:
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in events) / 1e3


@functools.cache
def _plain(tile: Any) -> dict[str, Any]:
    return dataclasses.asdict(tile)


def _note(kind: str, key: str, tile: Any, source: str) -> None:
    entry = {"kind": kind, "key": key, "tile": _plain(tile), "source": source}
    for seen in (_choices, *_watchers):
        seen[key] = entry


def _cache() -> TileCache:
    return TileCache.at(os.environ.get(CACHE))
