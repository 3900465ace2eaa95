"""Base and candidate from a small repository: what is taken, what is refused, in which words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate import packages, trees

LOSS = "class Loss:\n    pass\n"
CATALOGUE = "def failures():\n    return ()\n\n\ndef losses():\n    return []\n"


def git(repository: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    done = subprocess.run(["git", *identity, *arguments], cwd=repository, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "clone"
    (root / "kernels").mkdir(parents=True)
    (root / "kernels" / "__init__.py").write_text("")
    (root / "kernels" / "catalogue.py").write_text(CATALOGUE)
    (root / "requirements.lock").write_text("torch==2.13.0\ntriton==3.7.1\nnumpy==2.0\n")
    (root / ".gitignore").write_text("ignored/\n__pycache__/\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=first")
    monkeypatch.setattr(trees, "ROOT", root)
    return root


def test_the_candidate_is_the_working_tree_with_what_is_not_committed(repository: Path):
    (repository / "kernels" / "new.py").write_text("VALUE = 1\n")
    (repository / "ignored").mkdir()
    (repository / "ignored" / "large").write_text("x")
    status = git(repository, "status", "--porcelain")
    with trees.checked_out("HEAD") as both:
        assert both.dirty
        assert (both.candidate / "kernels" / "new.py").is_file()
        assert not (both.base / "kernels" / "new.py").exists()
        assert not (both.candidate / "ignored").exists()
        assert not both.same_kernels
    assert git(repository, "status", "--porcelain") == status, "the index was touched"
    assert not both.base.exists()
    assert git(repository, "worktree", "list").count("\n") == 0


def test_a_clean_tree_is_its_commit(repository: Path):
    with trees.checked_out("HEAD") as both:
        assert not both.dirty
        assert both.same_kernels
        assert both.base_commit == both.candidate_commit == git(repository, "rev-parse", "HEAD")


def test_without_a_base_it_is_where_the_branch_left_main(repository: Path):
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "--quiet", "-b", "change")
    git(repository, "commit", "--quiet", "--allow-empty", "--message=mine")
    with trees.checked_out(None) as both:
        assert both.base_commit == first


def test_on_main_it_is_the_commit_before(repository: Path):
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "commit", "--quiet", "--allow-empty", "--message=second")
    assert trees.merge_base() == first
    (repository / "kernels" / "new.py").write_text("")
    assert trees.merge_base() == git(repository, "rev-parse", "HEAD"), (
        "what is not committed counts"
    )


def test_a_file_that_a_build_left_makes_no_base_of_head(repository: Path):
    """Only what is not committed in kernels/ is a question of its own."""
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "commit", "--quiet", "--allow-empty", "--message=second")
    (repository / "coverage.xml").write_text("")
    assert trees.merge_base() == first


def test_a_change_in_the_second_of_the_commit_is_seen(repository: Path):
    """Of the same size, too: git notices such a change only by its index's own time."""
    git(repository, "config", "core.trustctime", "false")
    file, index = repository / "kernels" / "catalogue.py", repository / ".git" / "index"
    file.write_text("VALUE = 1\n")
    os.utime(file, (1e9, 1e9))
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message=second")
    os.utime(index, (1e9, 1e9))
    file.write_text("VALUE = 2\n")
    os.utime(file, (1e9, 1e9))
    with trees.checked_out("HEAD") as both:
        assert both.dirty and not both.same_kernels
        assert (both.candidate / "kernels" / "catalogue.py").read_text() == "VALUE = 2\n"


def test_a_hook_of_git_keeps_its_index(repository: Path, monkeypatch):
    """git hands its own index on to what a hook runs."""
    (repository / "staged.txt").write_text("x")
    git(repository, "add", "staged.txt")
    (repository / "staged.txt").write_text("y")  # so that an index made from the files differs
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / ".git" / "index"))
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    with trees.checked_out("HEAD") as both:
        assert (both.candidate / "staged.txt").is_file()
    monkeypatch.undo()
    assert git(repository, "status", "--porcelain") == "AM staged.txt"


def test_hooks_of_the_user_do_not_run(repository: Path):
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    with trees.checked_out("HEAD") as both:
        assert not (both.base / "ran").exists()


def test_the_next_gate_clears_away_what_a_killed_one_left(repository: Path):
    """And nothing else: a worktree of the user's that is not there just now stays registered."""
    mine = repository.parent / "mine"
    git(repository, "worktree", "add", "--quiet", "--detach", str(mine))
    mine.rename(repository.parent / "moved")
    leaving = trees.checked_out("HEAD")
    both = leaving.__enter__()  # and never out again
    with trees.alone():
        pass
    assert not both.base.exists()
    listed = git(repository, "worktree", "list")
    assert "marginbench-gate-" not in listed
    assert str(mine) in listed


def test_a_tree_that_is_changed_meanwhile_is_noticed(repository: Path):
    with trees.checked_out("HEAD") as both:
        assert not both.moved()
        (repository / "gate.log").write_text("as of make gate > gate.log")
        assert not both.moved(), "a log decides on no figure"
        (repository / "kernels" / "new.py").write_text("")
        assert both.moved()


def test_an_unknown_base_is_named(repository: Path):
    with pytest.raises(trees.NoTree, match="expected a revision of this clone; got 'nowhere'"):
        trees.resolve("nowhere")


def test_no_main_is_reported(repository: Path):
    git(repository, "branch", "--move", "main", "other")
    with pytest.raises(trees.NoTree, match="or name a base"):
        trees.merge_base()


def test_two_gates_at_once_are_refused(repository: Path):
    with trees.alone(), pytest.raises(trees.Busy, match="another gate"), trees.alone():
        pass
    with trees.alone():
        pass  # and free again


def test_other_pinned_versions_bar_the_timing(repository: Path):
    (repository / "requirements.lock").write_text("torch==2.14.0\ntriton==3.7.1\nnumpy==2.0\n")
    with trees.checked_out("HEAD") as both:
        assert trees.different_versions(both) == [
            "the base pins torch 2.13.0, the candidate 2.14.0"
        ]


def test_pins_that_neither_has_are_not_the_same_pins(repository: Path):
    (repository / "requirements.lock").write_text("triton==3.7.1\nnumpy==2.0\n")
    git(repository, "commit", "--quiet", "--all", "--message=second")
    with trees.checked_out("HEAD") as both:
        assert trees.different_versions(both) == [
            "neither the base nor the candidate pins torch in requirements.lock"
        ]


@pytest.mark.parametrize(
    ("source", "said"),
    [("raise RuntimeError('broken')\n", "broken"), ("def (\n", "SyntaxError"),
     ("def failures():\n    from types import SimpleNamespace as N\n"
      "    return (N(name='softmax', reason='no such module'),)\n", "softmax fails to import")],
)  # fmt: skip
def test_a_tree_that_does_not_build_is_named_with_its_reason(repository, source: str, said: str):
    (repository / "kernels" / "catalogue.py").write_text(source)
    name = f"kernels_broken_{abs(hash(source))}"
    with pytest.raises(packages.CannotLoad, match=said):
        packages.load(repository, name)
    sys.modules.pop(name, None)


def test_a_tree_without_kernels_is_reported(tmp_path: Path):
    with pytest.raises(packages.CannotLoad, match="expected a package kernels/"):
        packages.load(tmp_path, "kernels_missing")
