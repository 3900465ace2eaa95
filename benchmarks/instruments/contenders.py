"""The callables of a case: every contender that runs here, and the reason for each other one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from typing import Any

from marginbench import stress
from marginbench.loss import Contender, Shape

from . import machine
from .rows import Candidate, Subject, explain

REFERENCE = "reference"
BASE = "eager"
_ORDINARY = "another library's function: compared on ordinary data alone"
NOT_AFFORDED = (
    "this preset does not afford torch.compile's first call (many seconds) in this case; "
    "marginbench run --rigorous does"
)


def candidates(
    subject: Subject,
    *,
    compile: bool,
    only: Collection[str] | None = None,
    interpreted: bool = False,
    data: str = "",
) -> list[Candidate]:
    """Every contender but the reference, eager first; ``only`` narrows them but keeps eager;
    ``data`` is the case's kind of data.

    With ``interpreted``, contenders that need CUDA run on the CPU in Triton's interpreter if they
    declare themselves interpretable.
    """
    found = []
    for contender in subject.variant.contenders:
        wanted = only is None or contender.name in only or contender.name == BASE
        if contender.name == REFERENCE or not wanted:
            continue
        reason = unavailable(
            contender, subject.shape, subject.dtype, subject.device,
            compile=compile, interpreted=interpreted,
        ) or unfit(contender, data)  # fmt: skip
        found.append(Candidate(contender, None, reason) if reason else _load(subject, contender))
    return sorted(found, key=lambda candidate: candidate.name != BASE)


def unavailable(
    contender: Contender,
    shape: Shape,
    dtype: str,
    device: str,
    *,
    compile: bool = True,
    interpreted: bool = False,
) -> str:
    """Why the contender does not run at this size, dtype and device; empty if it does."""
    for need in contender.needs:
        if need == "cuda" and interpreted and contender.interpretable:
            continue
        unmet = machine.missing(need)
        if need == "cuda" and unmet is None and device != "cuda":
            unmet = "needs CUDA: this case is on the CPU"
        if unmet:
            return unmet
    if device not in contender.devices:
        return f"does not run on {device}: {', '.join(contender.devices)} alone"
    if dtype not in contender.dtypes:
        return f"does not take {dtype}: {', '.join(contender.dtypes)} alone"
    limit = contender.limit(shape, dtype) if contender.limit else None
    if limit:
        return limit
    return NOT_AFFORDED if contender.compiled and not compile else ""


def is_peer(contender: Contender) -> bool:
    """The function of another library."""
    return any(need.startswith("package:") for need in contender.needs)


def unfit(contender: Contender, data: str) -> str:
    """Why the contender is not compared on data of this kind; empty if it is."""
    if data not in stress.KINDS:
        return ""
    return _ORDINARY if is_peer(contender) else contender.unfit.get(data, "")


def _load(subject: Subject, contender: Contender) -> Candidate:
    try:
        function = subject.loss.resolve(contender.entry)
    except Exception as error:  # its file fails to import: only its own cells are lost
        return Candidate(contender, None, explain(error))
    return Candidate(contender, compiled(function) if contender.compiled else function)


_compilations = 0


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """torch.compile for one size. What earlier cases compiled is dropped, so that their number
    never reaches the limit at which it silently falls back to eager."""
    import torch

    global _compilations
    _compilations += 1
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    return torch.compile(function, dynamic=False)


def compilation() -> dict[str, int]:
    """Of the last `compiled` function, once it was called: graphs, graph breaks, and how many
    functions this process had compiled before (the first pays for torch's imports)."""
    import torch

    counters = torch._dynamo.utils.counters
    return {
        "graphs": counters["stats"]["unique_graphs"],
        "graph_breaks": sum(counters["graph_break"].values()),
        "compiled_before": _compilations - 1,
    }


@contextlib.contextmanager
def cold_caches() -> Iterator[None]:
    """Empty caches for torch.compile and Triton, so that a first call really is the first."""
    folder = tempfile.mkdtemp(prefix="marginbench-")
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    before = {name: os.environ.get(name) for name in names}
    for name in names:
        os.environ[name] = f"{folder}/{name.lower()}"
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)
