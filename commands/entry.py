"""The entry of the installed command: an interrupt has its exit code from the first import on."""

from __future__ import annotations

from . import endings


def main() -> None:
    endings.listen()
    with endings.ending():
        from .root import cli

        cli(prog_name="marginbench", standalone_mode=False)
