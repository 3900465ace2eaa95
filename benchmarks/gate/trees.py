"""Base and candidate as worktrees of this clone, and what else must agree between them.

The candidate is the working tree as it is, with uncommitted and untracked files: a temporary index
writes them into a commit that no branch points to, so neither the files nor the user's index are
touched.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..instruments.machine import ROOT

_PREFIX = "marginbench-gate-"
_MAIN = ("origin/main", "main", "origin/master", "master")
# What `git rev-parse --local-env-vars` lists: variables that tie git to one repository.
_LOCAL = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR",
}  # fmt: skip
# How to get a commit that the clone lacks; fetch-depth is an option of GitHub's checkout action.
_DEEPER = " (a shallow clone: git fetch --unshallow, or fetch-depth: 0)"
# What of a tree is imported, or chooses what is.
_DECIDE = ("kernels", "suites", "benchmarks", "reports", "commands", "pyproject.toml",
           "requirements.lock")  # fmt: skip
# If the trees pin different versions of these, no timed comparison: one process can load only one.
_DECIDING = ("torch", "triton", "numpy")


class NoTree(Exception):
    """A base or candidate that is not available; says what was asked for and why not."""


class Busy(Exception):
    """Another gate is running in this clone."""


@dataclass(frozen=True)
class Trees:
    """``base`` and ``candidate`` are folders; ``base_commit`` and ``candidate_commit`` their
    commits; ``dirty``: the candidate holds more than its commit; ``code`` is the hash of its tree
    either way. ``moved()``: whether what is measured of the working tree has changed since."""

    base: Path
    candidate: Path
    base_commit: str
    candidate_commit: str
    dirty: bool
    code: str
    moved: Callable[[], bool] = lambda: False

    @property
    def are_one_commit(self) -> bool:
        """Whether the candidate is the base itself, with nothing uncommitted."""
        return self.base_commit == self.candidate_commit and not self.dirty

    @property
    def same_kernels(self) -> bool:
        """Whether kernels/, the library, is the same, byte for byte."""
        return _kernels_of(self.base_commit) == _kernels_of(self.code)


@contextmanager
def alone() -> Iterator[None]:
    """Only one gate at a time in a clone: two would disturb each other's timing. Raises Busy."""
    common = Path(_git("rev-parse", "--path-format=absolute", "--git-common-dir"))
    lock = os.open(common / "marginbench-gate.lock", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(
                "another gate is running in this clone, and each would disturb the other's timing; "
                "wait until it ends"
            ) from None
        clear_away()
        yield
    finally:
        os.close(lock)


@contextmanager
def checked_out(base: str | None) -> Iterator[Trees]:
    """Both trees while the context lasts; ``base`` is a revision, None for `merge_base`. Raises
    NoTree."""
    base_commit = resolve(base) if base else merge_base()
    head = _git("rev-parse", "HEAD")
    candidate_tree = _write_tree()
    dirty = candidate_tree != _git("rev-parse", "HEAD^{tree}")
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        _extract(base_commit, folder / "base")
        _extract(candidate_tree, folder / "candidate")
        yield Trees(
            folder / "base", folder / "candidate", base_commit, head, dirty, candidate_tree,
            lambda: _measured(_write_tree()) != _measured(candidate_tree),
        )  # fmt: skip
    finally:
        _remove(folder)


def clear_away() -> None:
    """Removes what killed gates of this clone left behind; only call it inside `alone`."""
    lines = _git("worktree", "list", "--porcelain").splitlines()
    for line in lines:
        path = Path(line.removeprefix("worktree "))
        if line.startswith("worktree ") and path.parent.name.startswith(_PREFIX):
            _remove(path.parent)


def resolve(revision: str) -> str:
    """The commit of a revision; raises NoTree if this clone has none of that name."""
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except NoTree:
        raise NoTree(
            f"BASE: expected a revision of this clone; got {revision!r}{_DEEPER}"
        ) from None


def merge_base() -> str:
    """Where this branch left main; on main itself with nothing uncommitted in kernels/, the commit
    before. Raises NoTree if there is no main, or this clone lacks its history or the commit before:
    HEAD is never compared with itself."""
    head = resolve("HEAD")
    main = next((name for name in _MAIN if _is_here(name)), None)
    if main is None:
        raise NoTree(
            f"BASE: expected one of {', '.join(_MAIN)} to compare with; none is here{_DEEPER}; "
            "or name a base"
        )
    try:
        found = _git("merge-base", main, "HEAD")
    except NoTree:
        raise NoTree(
            f"BASE: expected a commit that {main} and HEAD have in common; none is here{_DEEPER}; "
            "or name a base"
        ) from None
    if found != head:
        _refuse_cut_off(main, found)
        return found
    if _kernels_of(_write_tree()) != _kernels_of(head):
        return head  # what is not committed yet, against what is
    try:
        return _git("rev-parse", "--verify", "--quiet", "HEAD^1")
    except NoTree:
        raise NoTree(
            f"BASE: {main} holds HEAD, so expected the commit before it to compare with; it is not "
            f"here: HEAD is the first commit of all, or of a shallow clone{_DEEPER}; or name a base"
        ) from None


def _is_here(revision: str) -> bool:
    try:
        resolve(revision)
    except NoTree:
        return False
    return True


def _refuse_cut_off(main: str, found: str) -> None:
    """In a shallow clone, a later common commit may lie beyond the cut. Raises NoTree if anything
    between ``found`` and either tip was cut off."""
    shallow = Path(_git("rev-parse", "--path-format=absolute", "--git-path", "shallow"))
    if not shallow.is_file():
        return
    between = _git("rev-list", main, "HEAD", f"^{found}").split()
    if not set(shallow.read_text().split()).isdisjoint(between):
        raise NoTree(
            f"BASE: the history between {main} and HEAD is cut off in this clone, so where HEAD "
            "left it is not known"
            f"{_DEEPER}; or name a base"
        )


def different_versions(trees: Trees) -> list[str]:
    """Of the packages that decide on speed, those that the trees pin differently or not at all (so
    they may differ), a sentence each."""
    base, candidate = (
        _pinned(tree / "requirements.lock") for tree in (trees.base, trees.candidate)
    )
    return [
        f"the base pins {name} {base.get(name, '(none)')}, the candidate "
        f"{candidate.get(name, '(none)')}"
        for name in _DECIDING
        if base.get(name) != candidate.get(name)
    ] + [
        f"neither the base nor the candidate pins {name} in requirements.lock"
        for name in _DECIDING
        if name not in base and name not in candidate
    ]


def _pinned(lock: Path) -> dict[str, str]:
    if not lock.is_file():
        return {}
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE))


def _write_tree() -> str:
    """The tree hash of the working tree as git would commit all of it."""
    with tempfile.TemporaryDirectory(prefix="marginbench-index-") as folder:
        index = Path(folder) / "index"
        own = Path(_git("rev-parse", "--path-format=absolute", "--git-path", "index"))
        if own.is_file():
            # copy2 keeps its time: git compares the content of files as old as the index.
            shutil.copy2(own, index)
        environment = {"GIT_INDEX_FILE": str(index)}
        _git("add", "--all", environment=environment)
        return _git("write-tree", environment=environment)


def _measured(tree: str) -> str:
    """What decides on figures: a log or a page that is written meanwhile does not."""
    return _git("ls-tree", tree, "--", *_DECIDE)


def _kernels_of(revision: str) -> str:
    try:
        return _git("rev-parse", f"{revision}:kernels")
    except NoTree:
        return f"no kernels in {revision}"


def _extract(revision: str, to: Path) -> None:
    """A worktree of a commit, or the files of a tree that is in no commit."""
    if _git("cat-file", "-t", revision) == "commit":
        _git("worktree", "add", "--detach", "--quiet", str(to), revision)
        return
    commit = _git(
        "-c", "user.name=marginbench", "-c", "user.email=marginbench@localhost",
        "commit-tree", revision, "-m", "the candidate, as it lies in the working tree",
    )  # fmt: skip
    _git("worktree", "add", "--detach", "--quiet", str(to), commit)


def _remove(folder: Path) -> None:
    for tree in ("base", "candidate"):
        try:
            _git("worktree", "remove", "--force", str(folder / tree))
        except NoTree:
            continue  # it was never made
    shutil.rmtree(folder, ignore_errors=True)


def _git(*arguments: str, environment: dict[str, str] | None = None) -> str:
    # Run from a hook, git hands on its own index and folders: not those that are meant here. A
    # clone inside another repository's folder is not that repository, and no hook of the user's
    # is for the gate's worktrees.
    own = {name: value for name, value in os.environ.items() if name not in _LOCAL}
    own |= {"GIT_CEILING_DIRECTORIES": str(ROOT.parent), **(environment or {})}
    try:
        result = subprocess.run(
            ["git", "-c", f"core.hooksPath={os.devnull}", *arguments], cwd=ROOT, env=own,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoTree(f"git {arguments[0]}: {error}") from None
    if result.returncode:
        said = result.stderr.strip().splitlines()
        raise NoTree(f"git {arguments[0]}: {said[-1] if said else 'failed'}")
    return result.stdout.strip()
