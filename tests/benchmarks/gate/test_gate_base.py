"""Which commit the gate compares with where history is cut off, short, or not there at all: the
right one, or none, and never the candidate's own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.gate import trees
from commands import gate as command
from commands.root import cli


def git(repository: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    done = subprocess.run(["git", *identity, *arguments], cwd=repository, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return done.stdout.strip()


def commit(repository: Path, name: str) -> str:
    (repository / "kernels" / "__init__.py").write_text(f"NAME = {name!r}\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", f"--message={name}")
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Three commits of main; a branch of two that left it after the second."""
    root = tmp_path / "origin"
    (root / "kernels").mkdir(parents=True)
    (root / "requirements.lock").write_text("torch==2.13.0\ntriton==3.7.1\nnumpy==2.0\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root, "first")
    commit(root, "second")
    git(root, "checkout", "--quiet", "-b", "change")
    commit(root, "mine")
    commit(root, "mine too")
    git(root, "checkout", "--quiet", "main")
    commit(root, "third")
    return root


Clone = Callable[..., Path]


@pytest.fixture
def clone(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """Clones the origin with git's options, and makes the gate work there."""

    def make(*options: str) -> Path:
        root = tmp_path / "clone"
        git(tmp_path, "clone", "--quiet", *options, f"file://{origin}", str(root))
        monkeypatch.setattr(trees, "ROOT", root)
        return root

    return make


def base() -> str:
    """The message of the commit that is found."""
    return git(trees.ROOT, "log", "-1", "--format=%s", trees.merge_base())


def test_with_all_of_its_history_a_clone_has_its_base(clone: Clone):
    root = clone()
    assert base() == "second"
    git(root, "checkout", "--quiet", "change")
    assert base() == "second"
    git(root, "checkout", "--quiet", "--detach", "origin/main~1")
    assert base() == "first", "what main holds is compared with the commit before it"


@pytest.mark.parametrize("stray", [False, True])
def test_depth_1_of_main_has_none(clone: Clone, stray: bool):
    """As actions/checkout leaves main after a push; whether or not the build left a file."""
    root = clone("--depth=1")
    if stray:
        (root / "coverage.xml").write_text("")
    with pytest.raises(trees.NoTree) as error:
        trees.merge_base()
    assert "expected the commit before" in str(error.value)
    assert "git fetch --unshallow, or fetch-depth: 0" in str(error.value)


def test_depth_2_of_main_has_the_commit_before(clone: Clone):
    root = clone("--depth=2")
    assert base() == "second"
    git(root, "checkout", "--quiet", "--detach", "HEAD~1")
    with pytest.raises(trees.NoTree, match="expected the commit before"):
        trees.merge_base()


def test_a_branch_alone_has_no_main(clone: Clone):
    """As actions/checkout leaves a branch: its own ref, detached or not."""
    root = clone("--depth=1", "--single-branch", "--branch=change")
    for _ in range(2):
        with pytest.raises(trees.NoTree, match="expected one of origin/main, main"):
            trees.merge_base()
        git(root, "checkout", "--quiet", "--detach")


@pytest.mark.parametrize("depth", [1, 2])
def test_two_tips_without_what_joins_them_have_none(clone: Clone, depth: int):
    clone(f"--depth={depth}", "--no-single-branch", "--branch=change")
    with pytest.raises(trees.NoTree, match="that origin/main and HEAD have in common"):
        trees.merge_base()


def test_deep_enough_is_as_good_as_whole(clone: Clone):
    clone("--depth=3", "--no-single-branch", "--branch=change")
    assert base() == "second"


def test_the_merge_that_a_pull_request_would_be(origin: Path, clone: Clone):
    """What actions/checkout takes of a pull request: a merge of the branch into main."""
    tip = git(origin, "rev-parse", "main")
    git(origin, "checkout", "--quiet", "--detach", "main")
    git(origin, "merge", "--quiet", "--strategy=ours", "change", "--message=pull")
    git(origin, "update-ref", "refs/pull/1/merge", "HEAD")
    git(origin, "checkout", "--quiet", "main")
    root = clone()
    git(root, "fetch", "--quiet", "origin", "+refs/pull/1/merge:refs/remotes/pull/1/merge")
    git(root, "checkout", "--quiet", "--detach", "pull/1/merge")
    assert trees.merge_base() == tip
    git(root, "checkout", "--quiet", "-B", "main")
    git(root, "push", "--quiet", "--force", "origin", "main:landed")
    git(root, "update-ref", "refs/remotes/origin/main", "HEAD")
    assert trees.merge_base() == tip, "the first parent of what was merged into main"


def test_history_that_is_cut_off_between_hides_a_later_base(origin: Path, clone: Clone):
    """Main was merged into the branch at `second`; where main's own way there is cut off, `first`
    is still seen from both, along a second line."""
    git(origin, "checkout", "--quiet", "-b", "aside", "main~2")
    commit(origin, "aside")
    git(origin, "checkout", "--quiet", "-b", "other", "main~2")
    commit(origin, "other")
    git(origin, "merge", "--quiet", "--strategy=ours", "main~1", "--message=up to date")
    git(origin, "checkout", "--quiet", "main")
    git(origin, "merge", "--quiet", "--strategy=ours", "aside", "--message=merged")
    root = clone("--branch=other")
    assert base() == "second"
    third = git(root, "rev-parse", "origin/main^1")
    (root / ".git" / "shallow").write_text(f"{third}\n")
    assert git(root, "merge-base", "origin/main", "HEAD") == git(root, "rev-parse", "other^1~1")
    with pytest.raises(trees.NoTree, match=r"history between .* is cut off in this clone"):
        trees.merge_base()


def test_the_first_commit_of_all_has_none(origin: Path, monkeypatch: pytest.MonkeyPatch):
    git(origin, "checkout", "--quiet", "-B", "main", "main~2")
    monkeypatch.setattr(trees, "ROOT", origin)
    with pytest.raises(trees.NoTree, match="HEAD is the first commit of all"):
        trees.merge_base()
    (origin / "kernels" / "__init__.py").write_text("NAME = 'not committed'\n")
    assert base() == "first"


def test_histories_that_share_nothing_have_none(clone: Clone):
    root = clone()
    git(root, "checkout", "--quiet", "--orphan", "alone")
    git(root, "branch", "--quiet", "--delete", "--force", "main")
    git(root, "branch", "main", commit(root, "alone"))
    with pytest.raises(trees.NoTree, match="that origin/main and HEAD have in common"):
        trees.merge_base()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What would have been measured; it passes."""
    seen: list[object] = []
    monkeypatch.setattr(command, "_compare", lambda *given: seen.append(given) or 0)
    return seen


def gate(*words: str, environment: dict[str, str] | None = None):
    return CliRunner().invoke(cli, ["gate", *words], env=environment)


@pytest.mark.parametrize("words", [(), ("--exact",), ("--timed",), ("--timed", "--base", "HEAD~1")])
def test_without_a_base_nothing_is_measured(clone: Clone, compared, words: tuple[str, ...]):
    root = clone("--depth=1")
    done = gate(*words, "--out", str(root / "out"))
    assert done.exit_code == 3 and not compared, done.output
    assert "not measured: BASE: " in done.output and "--unshallow" in done.output
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "worktree", "list").count("\n") == 0


def test_without_git_nothing_is_measured(clone: Clone, compared):
    root = clone()
    done = gate("--timed", "--out", str(root / "out"), environment={"PATH": str(root)})
    assert done.exit_code == 3 and not compared, done.output
    assert "not measured: git " in done.output


def test_outside_a_clone_nothing_is_measured(tmp_path: Path, monkeypatch, compared):
    monkeypatch.setattr(trees, "ROOT", tmp_path)
    done = gate("--timed", "--out", str(tmp_path / "out"))
    assert done.exit_code == 3 and not compared, done.output
    assert "not a git repository" in done.output


@pytest.mark.parametrize("words", [("HEAD",), ("origin/main",), ("HEAD", "--exact")])
def test_a_commit_is_not_compared_with_itself(clone: Clone, compared, words: tuple[str, ...]):
    """A workflow that is started by hand on main may name origin/main, which is what is checked
    out. What is exact is held against the pins and not against the base."""
    root = clone()
    done = gate("--base", *words, "--out", str(root / "out"))
    if "--exact" in words:
        assert done.exit_code == 0 and compared, done.output
        return
    assert done.exit_code == 3 and not compared, done.output
    assert "nothing to compare" in done.output and "gate-trust" in done.output
    (root / "kernels" / "__init__.py").write_text("NAME = 'not committed'\n")
    assert gate("--base", *words, "--out", str(root / "out")).exit_code == 0
    assert compared, "the working tree against HEAD"
