"""The entry of the installed command: an interrupt has its exit code from the first import on."""

from __future__ import annotations

from benchmarks import signals

from . import endings


def main() -> None:
    signals.listen()
    with endings.ending():
        from .root import cli

        cli(prog_name="marginbench", standalone_mode=False)
