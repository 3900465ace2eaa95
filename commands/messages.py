"""On what console every command prints its tables."""

from __future__ import annotations

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Ended where every command ends: rich would end with 1, which is a verdict's."""
        raise


def console(width: int | None = None, *, stderr: bool = False) -> Console:
    """Where tables go. In a log or a pipe, which has no width, ``width`` counts: what a script
    reads is then not folded at rich's 80 columns."""
    found = _Console(stderr=stderr)
    return found if width is None or found.is_terminal else _Console(stderr=stderr, width=width)
