"""What is typed wrong: one line that names the option, what was expected and what came, and whose
help has more. The exit code stays click's own, 2."""

from __future__ import annotations

import re
from typing import IO, Any, NoReturn

import click

from marginbench.spelling import meant

from .endings import visible

_KIND = {"Directory": "a folder", "File": "a file", "Path": "a file or folder"}
# What click says of a path that is not there.
_MISSING = re.compile(r"(Directory|File|Path) '(.*)' does not exist\.")


class Usage(click.UsageError):
    """A usage error in one line; ``command`` is the words whose ``--help`` has more."""

    def __init__(self, error: click.UsageError, command: str) -> None:
        super().__init__(_sentence(error), error.ctx)
        self.command = command

    def show(self, file: IO[Any] | None = None) -> None:
        text = visible(f"error: {self.message} (see {self.command} --help)")
        click.echo(text, file=file, err=file is None)


class OneLineUsage(click.Group):
    """A group whose usage errors, and those of its commands, are a `Usage`."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except click.UsageError as error:
            _again(error, str(args[0] if args else self.name))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            below = ctx.invoked_subcommand
            _again(error, f"{ctx.command_path} {below}" if below else ctx.command_path)


def _again(error: click.UsageError, command: str) -> NoReturn:
    """Raises it as one line; but for what is one already, or the help of a bare group."""
    if isinstance(error, Usage | click.exceptions.NoArgsIsHelpError):
        raise error
    # click's parser does not say whose option it was at.
    raise Usage(error, error.ctx.command_path if error.ctx else command) from None


def _sentence(error: click.UsageError) -> str:
    text = error.message
    match error:
        case click.NoSuchOption():
            text = f"{error.option_name}: no such option{_first(error.possibilities)}"
        case click.exceptions.NoSuchCommand():
            group = error.ctx.command if error.ctx else None
            known = list(group.commands) if isinstance(group, click.Group) else []
            text = f"COMMAND: expected one of {', '.join(known)}; got {error.command_name!r}"
            text += meant(error.command_name, known)
        case click.BadOptionUsage():
            own = text.removeprefix(f"Option {error.option_name!r} ").removesuffix(".")
            needs_one = own == "requires an argument"
            own = "expected a value; got nothing" if needs_one else own
            text = f"{error.option_name}: {own}"
        case click.MissingParameter():
            text = f"{_name(error)}: expected a value; got nothing"
        case click.BadParameter():
            path = _MISSING.fullmatch(text)
            text = f"expected {_KIND[path[1]]} that exists; got {path[2]!r}" if path else text
            text = f"{_name(error)}: {text}"
        case _:
            text = text.replace("Got unexpected extra", "expected no further", 1)
    return " ".join(text.split()).removesuffix(".")


def _first(possibilities: list[str] | None) -> str:
    return f"; did you mean {possibilities[0]!r}?" if possibilities else ""


def _name(error: click.BadParameter) -> str:
    if isinstance(error.param_hint, str):
        return error.param_hint
    if isinstance(error.param, click.Option):
        return error.param.opts[-1]
    return error.param.human_readable_name if error.param else "value"
