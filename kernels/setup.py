"""What the wheel leaves out: the benchmark suite's own files, which lie beside the library's.

A clone has them all, also where the library is installed from it with ``--editable``.
"""

from fnmatch import fnmatch
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Other libraries' losses, the inputs that cases are drawn from, and what results are held against.
SUITE_ALONE = (
    "*/peers.py",
    "*/public_code.py",
    "public_code.py",
    "*/selection.py",
    "selections.py",
    "inputs.py",
    "stress.py",
    "stress_batches.py",
    "shared/invariants.py",
    "shared/motions.py",
    "*/tests/*",
)


class Library(build_py):
    def run(self) -> None:
        super().run()
        # From the folder that the wheel is packed from: a build of another day may have left some.
        built = Path(self.build_lib, "marginbench")
        for path in built.rglob("*.py"):
            if any(fnmatch(str(path.relative_to(built)), one) for one in SUITE_ALONE):
                path.unlink()


setup(cmdclass={"build_py": Library})
