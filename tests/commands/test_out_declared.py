"""What writes is known: every command with a path, by the command line's own declarations, and
every module that writes by itself. What is added later without the rule turns these tests red."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click
from writing_commands import READERS, WITHOUT, WRITERS

from commands.paths import Folder
from commands.root import cli

ROOT = Path(__file__).resolve().parents[2]
OURS = ("kernels", "suites", "benchmarks", "reports", "commands")
# What may write, unlink or make by itself, and what: everything else goes through `folders`.
WRITE_BY_THEMSELVES = {
    "benchmarks/records/files.py": "every file that is replaced as a whole",
    "benchmarks/records/folders.py": "the rule",
    "benchmarks/records/writing.py": "a run's record, in a folder that its journal has made",
    "benchmarks/records/journal.py": "the record's lock, likewise",
    "benchmarks/processes.py": "logs of children, where their caller says",
    "benchmarks/snapshots/pin_files.py": "what is pinned, which is committed",
    "kernels/marginbench/shared/forms.py": "nothing: the code of a function, in memory",
    "kernels/marginbench/shared/sampling.py": "nothing, likewise",
    "benchmarks/training/workers.py": "the workers' lock, beside a quality run's record",
    "benchmarks/gate/trees.py": "worktrees in a temporary folder, and the clone's lock",
    "benchmarks/snapshots/static_matrix.py": "facts in the user's cache, by hashes of our own",
    "benchmarks/training/loading_speed.py": "pictures in a temporary folder",
    "benchmarks/instruments/contenders.py": "a temporary folder",
    "benchmarks/snapshots/disassembly.py": "a temporary folder",
    "benchmarks/run/interpreted.py": "a temporary folder",
    "benchmarks/gpu/session.py": "a temporary folder",
    "benchmarks/instruments/memory.py": "nothing: the null device",
    "commands/endings.py": "nothing: the null device",
    "kernels/setup.py": "takes files out of the folder that a wheel is packed from",
    "kernels/stubs.py": "the library's stubs, which are committed",
    "kernels/marginbench/shared/tile_cache.py": "tiles in the user's cache",
    "reports/gate/write.py": "GitHub's summary of a job, to which it adds",
    "reports/drawing.py": "nothing: a figure, in memory",
    "reports/markdown_blocks.py": "README.md and docs/losses, which are committed",
    "reports/pdf.py": "a file that is not there yet",
    "reports/site/building.py": "a site beside the old one, and puts it in its place",
    "reports/site/verifying.py": "what is published made again, in a temporary folder",
    "reports/site/writing.py": "the files of that site",
    "benchmarks/user_cache.py": "the cache's own folder",
    "benchmarks/training/backbones.py": "networks in a run's folder",
    "benchmarks/training/checkpoints.py": "checkpoints in a run's folder",
    "benchmarks/training/memory.py": "the kernel's own switch",
    "benchmarks/training/datasets/cache.py": "entries of the cache, by hashes of our own",
    "benchmarks/training/datasets/glyphs.py": "an entry of the cache while it is made, its stamp",
    "benchmarks/training/tracking/content.py": "files on their way to MLflow, temporary",
    "benchmarks/training/tracking/mirror.py": "a note in a run's folder that the store is down",
    "benchmarks/training/tracking/moving.py": "an export, in a folder that is new or empty",
    "benchmarks/training/tracking/store.py": "MLflow's store",
}
_WRITING = {"write_text", "write_bytes", "unlink", "rmtree", "mkdir", "rmdir", "rename", "replace",
            "copyfile", "copy2", "copytree", "move", "savefig", "touch", "symlink_to",
            "truncate", "ftruncate", "remove", "mkdtemp", "mkstemp"}  # fmt: skip
_ON_PATHS = {"replace", "rename", "remove", "move", "truncate"}  # also names of other things


def commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def test_every_command_that_names_a_folder_is_tried_here():
    """A new command, or a new option with a path, has to be put into one of the three tables; one
    that writes is then tried in all situations below."""
    declared, named = set(), set()
    for name, command in commands(cli):
        named.add(name)
        for parameter in command.params:
            is_path = isinstance(parameter.type, click.Path)
            looks_so = parameter.name in ("out", "resume", "target", "folders", "files")
            if is_path or looks_so or (name, str(parameter.name)) in READERS:
                declared.add((name, str(parameter.name)))
    assert declared == {key for key in WRITERS if key[0] != "gpu"} | READERS
    assert named == {name for name, _ in declared} | WITHOUT


def test_no_folder_to_write_into_takes_an_empty_path():
    for name, command in commands(cli):
        for parameter in command.params:
            if (name, parameter.name) in WRITERS or (name, parameter.name) == (
                "publish",
                "records",
            ):
                assert isinstance(parameter.type, Folder), (name, parameter.name)


def _writes(path: Path) -> bool:
    """Whether a module calls what writes, makes, moves or removes a file by itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        if name == "open":
            if any(isinstance(a, ast.Constant) and isinstance(a.value, str)
                   and set(a.value) & set("wax+") and set(a.value) <= set("rwaxbt+")
                   for a in [*node.args, *(k.value for k in node.keywords)]):  # fmt: skip
                return True
            if called == "os.open":
                return True
        elif name in _WRITING and isinstance(node.func, ast.Attribute):
            on_text = name in _ON_PATHS and (
                len(node.args) > 1 or called in ("dataclasses.replace",)
            )
            if not on_text:
                return True
    return False


def test_whatever_else_writes_is_known():
    """A new module that writes by itself is red: let it go through `folders`, or say here what of
    its own it writes."""
    modules = [path for name in OURS for path in sorted((ROOT / name).rglob("*.py"))
               if "out" not in path.relative_to(ROOT).parts]  # fmt: skip
    found = {path.relative_to(ROOT).as_posix() for path in modules if _writes(path)}
    assert found == set(WRITE_BY_THEMSELVES)
