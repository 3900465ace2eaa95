"""What the records say of a machine, in words and with units (`benchmarks.instruments.machine`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.records.loading import Session

from ..document import Cell, Details, Table, Text, table
from .flat import flat

WORDS = {
    "cpu": "CPU",
    "cores": "CPU cores",
    "cpu_governor": "CPU governor",
    "cpu_mhz": "CPU clock",
    "cuda": "CUDA",
    "driver": "GPU driver",
    "gpu": "GPU",
    "gpu_celsius": "GPU temperature",
    "gpu_memory_gib": "GPU memory",
    "gpu_percent_used": "GPU in use",
    "gpu_sm_mhz": "GPU clock",
    "kernel": "kernel of the system",
    "load_average": "load over 1, 5 and 15 minutes",
    "memory_available_gib": "memory available",
    "memory_gib": "memory",
    "os": "operating system",
    "tf32": "TF32 in matrix products",
    "torch_threads": "threads of torch",
    "triton_fp_fusion": "Triton fuses multiply and add",
}
_UNITS = {"_gib": " GiB", "_mhz": " MHz", "_celsius": " °C", "_percent_used": "%"}
# Entries of these have names of their own, which stay as they are typed.
_GROUPS = {"versions": "version of {}", "environment": "{} in the environment"}
_NAMELESS = {"null": "not known", "true": "yes", "false": "no"}


def identity(entries: Mapping[str, object], caption: str) -> Table:
    """What makes two machines the same for a timed comparison."""
    return table(("property", "of this machine"), list(_rows(entries)), caption)


def state(entries: Mapping[str, object]) -> Table:
    """How a machine was doing when a session began."""
    return table(("property", "at the start"), list(_rows(entries)))


def circumstances(sessions: Sequence[Session]) -> list[Details]:
    """How a machine was doing when each session began."""
    return [
        Details(
            f"State of the machine, session of {session.started_at}",
            [state(session.information)],
        )
        for session in sessions
        if session.information
    ]


def began(
    sessions: Sequence[Session], more: Mapping[str, Callable[[Session], str]] | None = None
) -> Table:
    """When and from what each session was started; ``more``: columns before the command."""
    more = more or {}
    rows = [
        (session.started_at, Cell(session.commit or "unknown", code=True),
         Cell("dirty: uncommitted changes", tone="bad") if session.dirty else "clean",
         *(of(session) for of in more.values()), Cell(session.command, code=True))
        for session in sessions
    ]  # fmt: skip
    columns = ("started", "commit", "tree", *more, "command")
    return table(columns, rows, "Sessions: one for the start, one for each resumption")


def protection(protected: bool) -> Text:
    """Whether a change to the record would be found."""
    if protected:
        return Text(
            "Each line of the record has a running digest: a change is found when it is read."
        )
    return Text(
        "The record is of schema 1, whose lines have no digest: it is not protected, so that not "
        "every change would be found."
    )


def _rows(entries: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Name and value; a key without words of its own is shown as it is, with spaces."""
    for key, value in entries.items():
        if key in _GROUPS and isinstance(value, Mapping):
            for name, inside in value.items():
                yield _GROUPS[key].format(name), str(inside)
            continue
        unit = next((unit for end, unit in _UNITS.items() if key.endswith(end)), "")
        for name, text in flat({key: value}):
            said = _NAMELESS.get(text, text + unit)
            yield WORDS.get(key, name), said
