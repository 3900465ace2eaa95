"""The child of a GPU session: one line of JSON in, rows out as they are made, then an end.

``python -m benchmarks.gpu.worker``. What happens in it (a crash, a fault that spoils the CUDA
context, a hang) costs the case it was in, and its parent continues with another child.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from suites import gpu
from suites.cases import Case
from suites.schema import Row

from .. import processes
from . import checkers

# Children that only compile share the GPU's memory with the checks beside them.
_SHARE_OF_MEMORY = 0.2


def answers(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer to one line, in parts. Raises whatever goes wrong."""
    if message["mode"] == "ceilings":
        from ..instruments import ceilings

        device = message["device"]
        sizes = ceilings.SIZES["cuda"] if device == "cuda" else ceilings.DRY_RUN
        yield {"facts": ceilings.measure(device, sizes)}
        return
    if message["mode"] == "control":
        from . import planted

        planted.run(message["checker"], message["device"])
        return
    case = case_of(message["case"])
    preset = gpu.DRY_RUN if message["dry_run"] else gpu.PRESET
    if message["mode"] == "check":
        yield {"rows": _checked(case)}
    elif message["mode"] == "fill":
        _fill(case)
    elif case.suite == gpu.TILES:
        from . import tiles

        yield from ({"rows": rows} for rows in tiles.rows(case))
    elif case.suite == "agreement" and message["dry_run"]:
        yield from ({"rows": rows} for rows in _interpreted(case))
    else:
        from .timing import GpuMeasurement

        measurement = GpuMeasurement(case, preset, seconds=message.get("seconds"))
        yield from ({"rows": rows} for rows in measurement.rows())


def case_of(fields: dict[str, Any]) -> Case:
    return Case(**{**fields, "measures": tuple(fields["measures"])})


def _interpreted(case: Case) -> Iterator[list[Row]]:
    """Agreement on a CPU, our kernels in Triton's interpreter."""
    from ..agreement import comparison
    from ..instruments.contenders import candidates
    from ..instruments.rows import Subject, not_run
    from ..run.interpreted import MODE
    from ..run.measurement import draw

    subject = Subject.of(case)
    found = candidates(subject, compile=False, interpreted=True)
    able = [candidate for candidate in found if candidate.function is not None]
    metrics = comparison.metrics(subject)[:1]
    yield [
        row
        for candidate in found
        if candidate.function is None
        for row in not_run(candidate.name, metrics, candidate.reason, mode=MODE)
    ]
    yield comparison.measure(subject, able, draw(case, subject, 0), case.seed, mode=MODE)


def _checked(case: Case) -> list[Row]:
    """Runs our Triton kernels once, forward and backward, for the checker that watches the process;
    wrong numbers are left to the agreement suite."""
    from ..agreement.comparison import TIMED_REDUCTION
    from ..agreement.truth import upstream
    from ..instruments.contenders import candidates
    from ..instruments.rows import Subject, clear_gradients, explain, not_run
    from ..run.measurement import draw

    subject, of = Subject.of(case), {"checker": case.suite}
    names = gpu.checked(subject.variant)
    found = candidates(subject, compile=False, only=names, interpreted=case.device == "cpu")
    inputs = draw(case, subject, 0)
    rows: list[Row] = []
    for candidate in (c for c in found if c.name in names):
        if candidate.function is None:
            rows += not_run(candidate.name, (checkers.METRIC,), candidate.reason, **of)
            continue
        row = Row(candidate.name, checkers.METRIC, of, value=0.0)
        try:
            subject.evaluate(candidate.function, inputs, TIMED_REDUCTION,
                             upstream(subject, TIMED_REDUCTION, case.seed))  # fmt: skip
            _synchronize()
        except Exception as error:
            clear_gradients(inputs)
            said = f"{explain(error)} {error.__cause__ or ''}"
            row = replace(row, status="not_run", reason=explain(error), value=None)
            if "assert" in said or checkers.overflow(said):
                reason = checkers.overflow(said) or row.reason
                row = replace(row, status="worse", reason=reason, value=1.0)
        rows.append(row)
    return rows


def _fill(case: Case) -> None:
    """Compiles what the case will time, into the caches that its process will read."""
    import torch

    from ..agreement.comparison import TIMED_REDUCTION
    from ..agreement.truth import upstream
    from ..instruments.contenders import candidates
    from ..instruments.rows import Subject
    from ..run.measurement import draw

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(_SHARE_OF_MEMORY)
    if case.suite == gpu.TILES:
        from . import tiles

        list(tiles.rows(case))  # timed beside other work: what it compiled is what counts
        return
    subject = Subject.of(case)
    inputs = draw(case, subject, 0)
    for candidate in candidates(subject, compile=case.compile):
        contender = candidate.contender
        if candidate.function is None or not (contender.compiled or "triton" in contender.needs):
            continue
        subject.evaluate(candidate.function, inputs, TIMED_REDUCTION,
                         upstream(subject, TIMED_REDUCTION, case.seed))  # fmt: skip
    _synchronize()


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def watch_overflow() -> None:
    """Makes the interpreter check for overflow as a GPU does under TRITON_DEBUG: it ignores that
    setting, and its assertion takes one number, not a block."""
    import numpy as np
    from triton.runtime import interpreter as triton_interpreter

    builder = triton_interpreter.interpreter_builder
    builder.options = dataclasses.replace(builder.options, debug=True)

    def create_assert(self: Any, condition: Any, message: str) -> None:
        if not np.all(condition.data):
            raise AssertionError(message)

    triton_interpreter.InterpreterBuilder.create_assert = create_assert


def _spoilt() -> bool:
    """Whether a fault has spoilt this process's CUDA context, so that every later call fails."""
    try:
        _synchronize()
    except Exception:
        return True
    return False


@functools.cache
def _prepare() -> None:
    from ..sanitizer import interpreter

    if interpreter.active():
        interpreter.correct_bfloat16()
        if os.environ.get("TRITON_DEBUG") == "1":
            watch_overflow()


def handle(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All that is said to one message: rows and facts as they are made, then the end. A process
    whose context is spoilt ends; its parent starts another."""
    start, reason = time.perf_counter(), ""
    # The process is not trusted after a planted error.
    spoilt = message["mode"] == "control" and message["device"] == "cuda"
    try:
        _prepare()
        for part in answers(message):
            if "rows" in part:
                part = {"rows": [dataclasses.asdict(row) for row in part["rows"]]}
            yield part
    except Exception as error:
        from ..instruments.rows import explain

        reason = explain(error)
    spoilt = spoilt or _spoilt()
    seconds = time.perf_counter() - start
    yield {"end": True, "reason": reason, "seconds": seconds, "spoilt": spoilt}
    if spoilt:
        sys.exit()


if __name__ == "__main__":
    processes.answer(handle)
