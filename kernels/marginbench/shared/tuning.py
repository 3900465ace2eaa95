"""Which tile an operator runs with: the table's, or the fastest of a few, timed once and kept.

Off by default. ``MARGINBENCH_AUTOTUNE=1``, or `autotuning`, turns it on: the first call of an
operator for a key (operator, architecture, device, dtype, sizes rounded up to powers of two, Triton
version) runs with each candidate to compile it, times the ones that ran by replays of a CUDA graph
(`replays`), and keeps the fastest. That first call costs a compilation a candidate; every later one
finds the choice in memory, and every later process in a file: ``MARGINBENCH_TILE_CACHE``, or
``marginbench/tiles.json`` in the user's cache folder. Deleting the file forgets all.

Nothing is timed in a recording, in Triton's interpreter or off a GPU: there the table serves, or
what is known already. `choices` reports what was chosen, and `watched` does so for what runs inside
it.

While a CUDA graph is being captured, an operator takes the tile that it ran with last, on the same
device and sizes, tuned or not. Where it never ran, it raises before any launch: a kernel that was
never compiled would be compiled and its module loaded inside the capture. CUDA refuses that load
there ("operation not permitted when stream is capturing") and ends the capture, so compiling alone
would not help.

Another tile sums in another order: results are the same bits only as long as the choices are.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import triton
from torch import Tensor

from . import launching, replays
from .tile_cache import TileCache

AUTOTUNE, CACHE = "MARGINBENCH_AUTOTUNE", "MARGINBENCH_TILE_CACHE"
T = TypeVar("T")
R = TypeVar("R")
Facts = tuple[str, str, torch.device, torch.dtype, str, tuple[tuple[str, int], ...]]

# Set by `autotuning`; None leaves it to the environment.
_switch: bool | None = None
_watchers: list[dict[str, dict[str, Any]]] = []
_choices: dict[str, dict[str, Any]] = {}
_tuned: dict[str, dict[str, Any]] = {}
# What `_key` makes a key of, sizes as they are: the tile of the last call that ran, and its source.
_ran: dict[Facts, tuple[Any, str]] = {}


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


def timings() -> list[dict[str, Any]]:
    """What this process timed: {kind, key, tile, time_s, timed, tried}.

    ``tried`` has each candidate's ``tile`` with its ``time_s``, or why it ``failed``; ``timed`` is
    ``replay`` (of a CUDA graph), or ``calls`` where one of them can't be captured.
    """
    return [{**copy.deepcopy(found), "key": key} for key, found in _tuned.items()]


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
    _ran.clear()


def tuned(
    kind: str, given: Tensor, sizes: Mapping[str, int], candidates: Sequence[T],
    call: Callable[[T], R],
) -> R:  # fmt: skip
    """``call`` with one of the candidates: the first, the table's, unless tiles are tuned.

    ``call`` runs a whole operator for a tile, a dataclass, and may run more than once: it writes
    only to what it allocates. ``given`` is the operand whose dtype and device count, ``sizes`` its
    shape by name. Raises what the table's tile raises, where no other candidate runs either.
    """
    facts = _facts(kind, given, sizes)
    key, recording = _key(*facts), launching.recording()
    found: tuple[T, str] | None = None
    if not recording and replays.capturing(given):
        found = _last(facts)
    elif enabled() and not recording:
        found = _known(key, candidates)
        if found is None and _can_time(given):
            found = _tune(kind, key, candidates, call)
    found = found or (candidates[0], "table")
    _note(kind, key, *found)
    result = call(found[0])
    if given.is_cuda and not recording:
        _ran[facts] = found
    return result


def note(kind: str, given: Tensor, sizes: Mapping[str, int], tile: Any) -> None:
    """Report to `choices` a tile that is taken from the table and never tuned. Raises RuntimeError
    where it would first be met inside a capture."""
    facts = _facts(kind, given, sizes)
    if given.is_cuda and not launching.recording():
        if replays.capturing(given):
            _last(facts)
        _ran[facts] = tile, "table"
    _note(kind, _key(*facts), tile, "table")


def key_of(kind: str, given: Tensor, sizes: Mapping[str, int]) -> str:
    """The text that a choice is kept under."""
    return _key(*_facts(kind, given, sizes))


def _facts(kind: str, given: Tensor, sizes: Mapping[str, int]) -> Facts:
    return (
        kind, launching.architecture(given.device), given.device, given.dtype,
        launching.product_precision(given.dtype), tuple(sizes.items()),
    )  # fmt: skip


def _last(facts: Facts) -> tuple[Any, str]:
    """The tile that ran last and its source, for a capture. The sizes are exact, for Triton
    compiles once more where one becomes a multiple of 16; so is the device, which loads its own."""
    if found := _ran.get(facts):
        return found
    sizes = ", ".join(f"{axis}={size}" for axis, size in facts[-1])
    raise RuntimeError(
        f"{facts[0]}: not run in this process before the capture of a CUDA graph, at {sizes} "
        f"({_key(*facts)}): its kernels can't be compiled and loaded inside one; run the same call "
        "once, forward and backward, before capturing (warm up)"
    )


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
    return given.is_cuda and not launching.INTERPRETED


def _known(key: str, candidates: Sequence[T]) -> tuple[T, str] | None:
    """The tile known to be the fastest, and from where. One that was since taken off the list of
    candidates is not known."""
    if key in _tuned:
        tile, source = _tuned[key]["tile"], "tuned"
    else:
        tile, source = (_cache().get(key) or {}).get("tile"), "cache"
    return next(((c, source) for c in candidates if _plain(c) == tile), None)


def _tune(
    kind: str, key: str, candidates: Sequence[T], call: Callable[[T], Any]
) -> tuple[T, str] | None:
    """The fastest that runs, kept in memory and in the file; None where none does."""
    try:
        timed = "replay"
        tried = [_try(candidate, call, replays.replayed_s) for candidate in candidates]
    except replays.NotCaptured:
        # All of them: a call's time says nothing beside another's replay.
        timed = "calls"
        tried = [_try(candidate, call, replays.called_s) for candidate in candidates]
    ran = [n for n, one in enumerate(tried) if "time_s" in one]
    if not ran:
        return None
    best = min(ran, key=lambda n: tried[n]["time_s"])
    _tuned[key] = {**tried[best], "kind": kind, "timed": timed, "tried": tried}
    _cache().put(key, _tuned[key])
    return candidates[best], "tuned"


def _try(
    candidate: T, call: Callable[[T], Any], seconds: Callable[[Callable[[], Any]], float]
) -> dict[str, Any]:
    try:
        return {
            "tile": _plain(candidate),
            "time_s": seconds(functools.partial(call, candidate)),
        }
    except replays.NotCaptured:
        raise
    except Exception as error:  # out of shared memory or registers, or it does not compile
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return {"tile": _plain(candidate), "failed": reason}


@functools.cache
def _plain(tile: Any) -> dict[str, Any]:
    return dataclasses.asdict(tile)


def _note(kind: str, key: str, tile: Any, source: str) -> None:
    entry = {"kind": kind, "key": key, "tile": _plain(tile), "source": source}
    for seen in (_choices, *_watchers):
        seen[key] = entry


def _cache() -> TileCache:
    return TileCache.at(os.environ.get(CACHE))
