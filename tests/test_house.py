"""The house holds: imports run one way, heavy packages load late, files stay small."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernels import catalogue

ROOT = Path(__file__).resolve().parent.parent
# What a folder may import of ours; data flows from kernels to reports and imports follow it.
ALLOWED = {
    "kernels": set(),
    "suites": {"kernels"},
    "benchmarks": {"kernels", "suites"},
    "reports": {"kernels", "suites", "benchmarks"},
}
OURS = {*ALLOWED, "marginbench"}
HEAVY = {"mlflow", "pytorch_metric_learning", "liger_kernel", "cut_cross_entropy", "quack"}


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "out" not in path.parts)


def imported(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each absolute import's top-level name, and whether it runs when the module is imported."""
    inside = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node not in inside
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], node not in inside


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_run_one_way(folder: str):
    for path in sources(folder):
        for name, _ in imported(ast.parse(path.read_text())):
            allowed = name not in OURS or name in ALLOWED[folder] | {folder}
            assert allowed, f"{path.relative_to(ROOT)} imports {name}"


def test_kernels_are_imported_relatively_inside():
    """Absolute imports would tie two copies of the tree, loaded under two names, together."""
    for path in sources("kernels"):
        names = {name for name, _ in imported(ast.parse(path.read_text()))}
        assert "kernels" not in names, path.relative_to(ROOT)


@pytest.mark.parametrize("folder", ["kernels", "benchmarks", "suites"])
def test_mlflow_and_peers_load_only_where_used(folder: str):
    for path in sources(folder):
        for name, at_import in imported(ast.parse(path.read_text())):
            assert not (at_import and name in HEAVY), f"{path.relative_to(ROOT)} imports {name}"


def test_reports_need_no_torch():
    for path in sources("reports"):
        names = {name for name, _ in imported(ast.parse(path.read_text()))}
        assert not names & {"torch", "triton", "mlflow"}, path.relative_to(ROOT)


@pytest.mark.parametrize("folder", [*ALLOWED, "tests"])
def test_files_stay_small(folder: str):
    for path in sources(folder):
        assert len(path.read_text().splitlines()) <= 320, path.relative_to(ROOT)


def _modules_after(*arguments: str) -> set[str]:
    code = (
        "import sys, marginbench\n"
        f"try: marginbench.cli({list(arguments)!r}, standalone_mode=False)\n"
        "finally: print('MODULES', *sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    line = next(line for line in result.stdout.splitlines() if line.startswith("MODULES"))
    return {name.split(".")[0] for name in line.split()[1:]}


def test_help_imports_the_standard_library_click_and_rich_only():
    loaded = _modules_after("--help")
    ours_and_theirs = {"marginbench", "benchmarks", "reports", "click", "rich", "__main__"}
    # Start-up hooks of site-packages (*.pth) are not ours; they begin with these prefixes.
    hooks = {name for name in loaded if name.startswith(("_distutils_hack", "__editable__"))}
    site = {name for name in ("sitecustomize", "usercustomize") if name in loaded}
    extra = loaded - set(sys.stdlib_module_names) - ours_and_theirs - hooks - site
    assert not extra, extra


def test_list_imports_neither_torch_nor_triton():
    assert not _modules_after("list", "--json") & {"torch", "triton", "mlflow", "matplotlib"}


def test_two_copies_of_the_kernels_live_in_one_process(seed: int):
    """Loaded under another name, the tree finds its own losses and registers its own operators."""
    spec = importlib.util.spec_from_file_location(
        "kernels_copy", ROOT / "kernels" / "__init__.py",
        submodule_search_locations=[str(ROOT / "kernels")],
    )  # fmt: skip
    assert spec is not None and spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    sys.modules["kernels_copy"] = copy
    spec.loader.exec_module(copy)
    other = importlib.import_module("kernels_copy.catalogue")
    assert other.names() == catalogue.names()
    for loss in other.losses():
        assert loss.package.startswith("kernels_copy.")
        for variant in loss.variants:
            for contender in variant.contenders:
                if not any(need.startswith("package:") for need in contender.needs):
                    function = loss.resolve(contender.entry)
                    assert function.__module__.startswith("kernels_copy."), contender.entry
