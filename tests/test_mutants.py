"""The planted wrong kernels are declared well, fit the code, and leave no kernel out; a sample is
spread and meets all in time. They run by ``make mutants``, not here."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from mutants import __main__ as command
from mutants import declared
from mutants.declared import BadMutant, Mutant
from mutants.forking import NOT_IMPORTED, Ran
from mutants.judging import FOUND, INVALID, SURVIVES, Judged, verdict

MUTANTS = declared.mutants()
RAN = Ran(1, "test_x.py::test_y", "AssertionError: off", True, 0, 1.0, 1.0, "")


def test_there_are_enough_of_every_kind():
    assert len(MUTANTS) >= 60
    assert {mutant.kind for mutant in MUTANTS} == set(declared.KINDS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_fits_the_code_and_names_tests_that_exist(mutant: Mutant):
    text = (declared.ROOT / mutant.file).read_text()
    assert mutant.file.startswith("kernels/marginbench/") and mutant.applied(text) != text
    for test in mutant.tests:
        file, _, function = test.partition("::")
        source = (declared.ROOT / file).read_text()
        assert f"def {function.split('[')[0]}(" in source, test


def _kernels(path: Path) -> dict[str, tuple[int, int]]:
    """First and last line of each @triton.jit function."""
    return {
        node.name: (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and any("triton.jit" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


def test_no_kernel_is_left_out():
    """Every function that is launched, or that a kernel calls, has a mutant inside it."""
    bare = []
    for path in sorted((declared.ROOT / "kernels").rglob("*.py")):
        file = str(path.relative_to(declared.ROOT))
        text = path.read_text()
        here = [m for m in MUTANTS if m.file == file]
        lines = [text[: text.index(m.old)].count("\n") + 1 for m in here]
        for name, (first, last) in _kernels(path).items():
            if not any(first <= line <= last for line in lines):
                bare.append(f"{file}: {name}")
    assert not bare


def test_a_losss_mutants_lie_in_its_folder():
    for path in declared.files():
        whole = declared.tomllib.loads(path.read_text())
        folder = path.parent.parent.name if path.parent.name == "tests" else "shared"
        assert {one["file"].split("/")[2] for one in whole["mutant"]} == {folder}, path
        for test in whole["wider"]:
            assert (declared.ROOT / test).is_file(), test


def test_a_sample_is_of_every_loss_and_spread():
    found = declared.sampled(MUTANTS, 1)
    count = Counter(mutant.folder for mutant in found)
    folders = {mutant.folder for mutant in MUTANTS}
    assert count == {f: declared.SHARED if f == "shared" else declared.A_LOSS for f in folders}
    for folder in folders:
        there = {mutant.file for mutant in MUTANTS if mutant.folder == folder}
        here = [mutant for mutant in found if mutant.folder == folder]
        assert len({mutant.file for mutant in here}) == min(len(there), len(here))
        assert len({mutant.kind for mutant in here}) >= declared.A_LOSS - 1
    assert found == declared.sampled(MUTANTS[::-1], 1)[::-1], "the order of files decides nothing"


def test_samples_of_many_commits_meet_all():
    met = {mutant.name for seed in range(400) for mutant in declared.sampled(MUTANTS, seed)}
    assert met == {mutant.name for mutant in MUTANTS}


@pytest.mark.parametrize(("text", "count"), [("", 0), ("x = 1\nx = 1\n", 2)])
def test_a_mutant_that_does_not_fit_is_an_error(text: str, count: int):
    mutant = dataclasses.replace(MUTANTS[0], old="x = 1\n", new="x = 2\n")
    assert mutant.applied("x = 1\n") == "x = 2\n"
    with pytest.raises(BadMutant, match=f"{mutant.name}: old occurs {count} times"):
        mutant.applied(text)
    with pytest.raises(BadMutant, match="no Python"):
        dataclasses.replace(mutant, new="x = (\n").applied("x = 1\n")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, FOUND),
        ({"asserted": False, "error": "ValueError: no"}, INVALID),
        ({"asserted": False, "error": "KeyError: as declared"}, FOUND),
        ({"code": 0, "failed": "", "passed": 3}, SURVIVES),
        ({"code": 0, "failed": "", "passed": 0}, INVALID),
        ({"code": None}, INVALID),
        ({"code": NOT_IMPORTED}, INVALID),
        ({"code": 2, "failed": ""}, INVALID),
        ({"code": 4, "failed": ""}, INVALID),
    ],
)
def test_what_counts_as_found(changes: dict, state: str):
    mutant = dataclasses.replace(MUTANTS[0], raises="KeyError")
    assert verdict(mutant, dataclasses.replace(RAN, **changes))[0] == state


def test_no_mutants_are_not_all_found(tmp_path: Path):
    with pytest.raises(BadMutant, match="there is none"):
        declared.mutants(tmp_path)


@pytest.mark.parametrize(
    ("passed", "judged", "says"),
    [(0, 1, "all are skipped"), (2, 0, "expected 1 mutants to be judged; 0 were")],
)
def test_what_was_not_run_is_not_found(monkeypatch, passed: int, judged: int, says: str):
    class Judge:
        def __init__(self, *_) -> None: ...

        def unmutated(self, tests):
            return [dataclasses.replace(RAN, code=0, failed="", passed=passed)]

        def judge(self, found):
            return [Judged(one, FOUND, "", "test_x.py::test_y") for one in found[:judged]]

    monkeypatch.setattr(command, "Judge", Judge)
    monkeypatch.setattr(command.forking, "prepare", lambda: None)
    monkeypatch.setattr(command.forking, "copy_tree", lambda *_: None)
    text = (declared.ROOT / "kernels/marginbench/__init__.py").read_text()
    mutant = dataclasses.replace(
        MUTANTS[0], file="kernels/marginbench/__init__.py", old=text, new=""
    )
    with pytest.raises(BadMutant, match=says):
        command._run([mutant], 1, show=False, of=1)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--list",), 0, MUTANTS[0].name),
        (("--list", "--sample"), 0, "triplet/"),
        (("--only", MUTANTS[0].name, "--sample"), 2, "expected no --sample beside it"),
        (("--only", MUTANTS[0].name + "x"), 2, f"did you mean {MUTANTS[0].name!r}?"),
    ],
)
def test_the_command(arguments: tuple[str, ...], code: int, says: str):
    ran = subprocess.run(
        [sys.executable, "-m", "tests.mutants", *arguments],
        cwd=declared.ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == code and says in ran.stdout + ran.stderr


def test_the_command_has_nothing_of_the_library_that_its_runs_would_inherit():
    """Each run is a fork of it, and imports a tree of its own."""
    ours = "sorted({name.partition('.')[0] for name in sys.modules} & {'marginbench', 'suites'})"
    code = f"import sys, tests.mutants.__main__ as one; one.forking.prepare(); print({ours})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=declared.ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
