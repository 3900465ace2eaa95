"""The tests' seed: of what is committed."""

import os
import pathlib
import random
import subprocess


def seed_of(project: pathlib.Path) -> str:
    """Of what is committed there; any where that is no clone, though it may lie inside one."""
    tree = ["git", "-C", str(project), "rev-parse", "HEAD^{tree}"]
    own = {**os.environ, "GIT_CEILING_DIRECTORIES": str(project.parent)}
    try:
        found = subprocess.run(tree, capture_output=True, text=True, check=True, env=own).stdout
    except (OSError, subprocess.CalledProcessError):
        return str(random.SystemRandom().randrange(2**31))
    return str(int(found[:8], 16) % 2**31)


if __name__ == "__main__":
    print(seed_of(pathlib.Path(__file__).resolve().parents[2]))
