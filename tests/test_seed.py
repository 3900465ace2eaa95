"""The seed of the tests: of what is committed, and of nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from seeding import seed_of


@pytest.fixture(autouse=True)
def no_repository_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a git hook, the surrounding command's variables would point elsewhere."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


def committed(folder: Path, text: str) -> None:
    (folder / "file").write_text(text)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["add", "file"], ["commit", "-q", "-m", text]):
        subprocess.run(["git", *who, *command], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    subprocess.run(["git", "init", "-q", str(folder)], check=True, capture_output=True)
    committed(folder, "one")
    return folder


def test_clones_share_the_seed_and_a_commit_changes_it(project: Path, tmp_path: Path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(project), str(clone)], check=True)
    first = seed_of(project)
    assert seed_of(clone) == first
    (clone / "file").write_text("not committed")
    assert seed_of(clone) == first
    committed(project, "two")
    assert seed_of(project) != first
    committed(project, "one")
    assert seed_of(project) == first, "the same files, whatever their history"


def test_a_copy_inside_another_repository_is_not_that_one(project: Path):
    inside = project / "copy"
    inside.mkdir()
    drawn = {seed_of(inside) for _ in range(3)}
    assert len(drawn) == 3 and seed_of(project) not in drawn
    assert all(0 <= int(seed) < 2**31 for seed in drawn)
