"""The device that a command measures or trains on."""

from __future__ import annotations

import click


def chosen(asked: str, to_do: str) -> str:
    """``cpu`` or ``cuda``, for what is asked: also ``auto``. A usage error where this machine can't
    do it (``to_do``: measure, time, train)."""
    if asked == "cpu":
        return asked
    from benchmarks.instruments.machine import missing

    unmet = missing("cuda")
    if asked == "cuda" and unmet:
        raise click.BadParameter(
            f"this machine can't {to_do} on CUDA: {unmet}", param_hint="--device"
        )
    return "cpu" if unmet else "cuda"
