"""The house holds: imports run one way, heavy packages load late, files stay small."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from marginbench import catalogue

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "kernels" / "marginbench"
# What a folder may import of ours; data flows from kernels to reports and imports follow it.
ALLOWED = {
    "kernels": set(),
    "suites": {"marginbench"},
    "benchmarks": {"marginbench", "suites"},
    "reports": {"marginbench", "suites", "benchmarks"},
    "commands": {"marginbench", "suites", "benchmarks", "reports"},
}
OURS = {*ALLOWED, "marginbench"}
HEAVY = {"mlflow", "pytorch_metric_learning", "liger_kernel", "cut_cross_entropy", "quack"}


def sources(folder: str) -> list[Path]:
    """Of kernels/ the library: not the examples, which import it as people do, and not a loss's
    tests, which need the suite."""
    root = LIBRARY if folder == "kernels" else ROOT / folder
    inside = {"out", "tests"} if folder == "kernels" else {"out"}
    found = (path for path in root.rglob("*.py") if not inside & set(path.relative_to(root).parts))
    return sorted(found)


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
        assert "marginbench" not in names, path.relative_to(ROOT)


@pytest.mark.parametrize("folder", ["kernels", "benchmarks", "suites"])
def test_mlflow_and_peers_load_only_where_used(folder: str):
    for path in sources(folder):
        for name, at_import in imported(ast.parse(path.read_text())):
            assert not (at_import and name in HEAVY), f"{path.relative_to(ROOT)} imports {name}"


def test_reports_need_no_torch():
    for path in sources("reports"):
        names = {name for name, _ in imported(ast.parse(path.read_text()))}
        assert not names & {"torch", "triton", "mlflow"}, path.relative_to(ROOT)


def test_one_module_draws_and_only_its_parts_know_how():
    """A figure is data, a `reports.plot.Plot`."""
    found = {
        path.relative_to(ROOT / "reports").as_posix()
        for path in sources("reports")
        if "matplotlib" in {name for name, _ in imported(ast.parse(path.read_text()))}
    }
    assert found == {"drawing.py", "clouds.py", "fields.py", "picking.py", "equations.py"}


@pytest.mark.parametrize("folder", [name for name in ALLOWED if name != "commands"])
def test_commands_lie_in_commands_alone(folder: str):
    """What is measured and what is read knows no command line: no click command, no group, and not
    click itself."""
    for path in sources(folder):
        names = {name for name, _ in imported(ast.parse(path.read_text()))}
        assert "click" not in names, f"{path.relative_to(ROOT)} imports click"


def test_where_the_clone_is_is_worked_out_once():
    """suites, which must find the library before it can import anything, works it out by itself."""
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("benchmarks", "reports", "commands")
        for path in sources(folder)
        if re.search(r"__file__\)(\.resolve\(\))?\.parent(s\[|\.parent)", path.read_text())
    }
    assert found == {"benchmarks/instruments/machine.py"}


def test_rooms_of_benchmarks_import_one_way():
    """Two folders that need each other are one folder."""
    rooms: dict[str, set[str]] = {}
    for name, found in _graph().items():
        if name.startswith("benchmarks."):
            inside = {_room(one) for one in found if one.startswith("benchmarks.")}
            rooms.setdefault(_room(name), set()).update(inside - {_room(name)})
    try:
        graphlib.TopologicalSorter(rooms).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def _room(module: str) -> str:
    """A folder of benchmarks, or a file that lies beside the folders."""
    return module.split(".")[1]


def _graph() -> dict[str, set[str]]:
    """What each module of ours imports of ours, also inside functions and for types alone."""
    modules = {}
    for folder in OURS - {"kernels", "marginbench"}:
        for path in sources(folder):
            parts = path.relative_to(ROOT).with_suffix("").parts
            modules[".".join(parts[:-1] if path.name == "__init__.py" else parts)] = path
    return {name: set(_imports(name, path, modules)) - {name} for name, path in modules.items()}


def _imports(name: str, path: Path, modules: Collection[str]) -> Iterator[str]:
    above = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            package = above[: len(above) + 1 - node.level] if node.level else []
            source = ".".join([*package, *filter(None, [node.module])])
            found = {f"{source}.{alias.name}" for alias in node.names}
            yield from found & set(modules) or {source} & set(modules)


def test_no_module_imports_itself_through_others():
    """An import inside a function hides a circle and does not undo it."""
    try:
        graphlib.TopologicalSorter(_graph()).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


@pytest.mark.parametrize("folder", [*ALLOWED, "tests"])
def test_files_stay_small(folder: str):
    for path in sources(folder):
        assert len(path.read_text().splitlines()) <= 320, path.relative_to(ROOT)


def test_a_name_says_which_file():
    """No name of a file more than three times, but for what every loss has."""
    losses = {loss.package.rpartition(".")[2] for loss in catalogue.losses()}
    count = Counter(
        path.name
        for folder in ALLOWED
        for path in sources(folder)
        if path.name != "__init__.py" and path.parent.name not in losses
    )
    assert [name for name, times in count.items() if times > 3] == []


def test_what_is_published_is_there_once():
    """Committed pages and records stay under 30 MB."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "reports/published"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("no git clone")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 30_000_000


def _modules_after(*arguments: str) -> set[str]:
    code = (
        "import sys; from commands.root import cli\n"
        f"try: cli({list(arguments)!r}, standalone_mode=False)\n"
        "finally: print('MODULES', *sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    line = next(line for line in result.stdout.splitlines() if line.startswith("MODULES"))
    return {name.split(".")[0] for name in line.split()[1:]}


def test_help_imports_the_standard_library_click_and_rich_only():
    loaded = _modules_after("--help")
    ours_and_theirs = {*OURS, "click", "rich", "__main__"}
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
        "kernels_copy", LIBRARY / "__init__.py", submodule_search_locations=[str(LIBRARY)],
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
