"""The command line that a record keeps: written into it, and gone on with by ``--resume``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from benchmarks.records import files, folders, record_files
from benchmarks.records.kinds import Kind

from .paths import RUNS, new_folder


def command_line(
    words: str,
    command: click.Command,
    options: Mapping[str, Any],
    *,
    leave_out: Collection[str] = (),
    defaults_too: bool = False,
) -> str:
    """The command line that says the same as ``options``: ``words`` of the command, then its
    parameters in the order of their declaration, but for defaults and for those to leave out."""
    written = shlex.split(words)
    for parameter in command.params:
        if parameter.name in leave_out:
            continue
        value = options[str(parameter.name)]
        # By identity: 0 is equal to False, and a value that was given.
        if value is None or value is False or value == ():
            continue
        if value == parameter.default and not defaults_too:
            continue
        name = [parameter.opts[-1]] if isinstance(parameter, click.Option) else []
        for one in value if isinstance(value, tuple) else (value,):
            written += name if value is True else [*name, str(one)]
    return files.encoded(shlex.join(written)).decode()


def refuse_options_beside_resume(given: click.Context, allowed: Collection[str] = ()) -> None:
    """A run goes on with its own options: what is typed beside --resume is a usage error."""
    for name in given.params:
        typed = given.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if typed and name not in ("resume", *allowed):
            raise click.UsageError(
                f"--resume goes on with the options of its run; leave out {name}"
            )


def folder_of_run(resume: Path | None, out: Path | None, kind: Kind, parent: Path = RUNS) -> Path:
    """The folder that a run goes on in, or is to begin in: a new one of ``parent`` by default. A
    usage error where --out holds a run; raises `folders.Refused` for a folder of another kind."""
    folder = resume or out or new_folder(parent)
    if resume is None and record_files.find(folder):
        raise click.BadParameter(f"{folder} holds a run; go on with it by --resume",
                                 param_hint="--out")  # fmt: skip
    folders.check(folder, kind, "--out" if resume is None else "--resume")
    return folder


def options_of_run(
    folder: Path,
    words: str,
    command: click.Command,
    began_with: Callable[[Path], str | None],
) -> dict[str, Any]:
    """The options that the run in this folder was started with. ``began_with`` reads the command
    line from the first line of a record: None where it is none of this command's."""
    path = record_files.find(folder)
    resumable = path is not None and not record_files.is_packed(path)
    line = began_with(path) if path is not None and resumable else None
    if line is None:
        raise click.BadParameter(
            f"expected a folder that marginbench {words} made, with its {record_files.FILE}; "
            f"got {path or folder}",
            param_hint="--resume",
        )
    arguments = shlex.split(line)[1 + len(words.split()) :]
    return command.make_context(str(command.name), arguments).params
