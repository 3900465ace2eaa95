"""Adding a loss is adding one folder: a throw-away one is seen everywhere by itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import library
from marginbench import catalogue

ROOT = Path(__file__).resolve().parents[2]

DECLARATION = '''
"""Sum of squares of the embeddings: a loss that nobody needs."""
from ..loss import Cost, Loss, Variant, standard_contenders

LOSS = Loss(
    name="throw-away",
    title="Throw-away loss",
    source="nowhere",
    variants=(
        Variant(
            name="squares",
            summary="half the squared norm of each embedding",
            equation=r"L = \\frac{1}{2} \\sum_i ||x_i||^2",
            source="nowhere",
            family="rows",
            arguments=lambda batch: {"embeddings": batch.embeddings},
            differentiable=("embeddings",),
            contenders=standard_contenders("squares", compiled=False, fused=False),
            cost=lambda s, size: Cost(s.batch * s.dim * size, 2 * s.batch * s.dim * size, 0, 0),
            reference_elements=lambda s: s.batch * s.dim,
            excused={"compiled": "a throw-away", "triton": "a throw-away"},
        ),
    ),
)
'''
REFERENCE = '''
from ..shared.reduction import reduce


def squares(embeddings, *, reduction="mean"):
    """Half the squared norm of each row."""
    return reduce(embeddings.double().square().sum(1) / 2, reduction)
'''
EAGER = '''
from ..checks import check_finite, check_matrix
from ..shared.reduction import reduce, wide



def squares(embeddings, *, reduction="mean"):
    """Half the squared norm of each row."""
    check_matrix("embeddings", embeddings)
    check_finite(embeddings=embeddings)
    return reduce(wide(embeddings).square().sum(1) / 2, reduction)
'''
BROKEN = 'raise RuntimeError("this folder is broken")\n'


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as git would hand it over, with one folder more, and one that fails to import."""
    target = tmp_path_factory.mktemp("copy")
    for name in ("kernels", "suites", "benchmarks", "reports", "commands", "tests"):
        ignore = shutil.ignore_patterns("__pycache__", "out", "published")
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, target / name)
    folder = target / "kernels" / "marginbench" / "throw_away"
    folder.mkdir()
    for name, text in (("__init__", DECLARATION), ("reference", REFERENCE), ("eager", EAGER)):
        (folder / f"{name}.py").write_text(text)
    broken = target / "kernels" / "marginbench" / "broken"
    broken.mkdir()
    (broken / "__init__.py").write_text(BROKEN)
    unnamed = target / "kernels" / "marginbench" / "unnamed"
    unnamed.mkdir()
    (unnamed / "__init__.py").write_text(DECLARATION.replace('"throw-away"', '"cos/face v2"'))
    return target


def _run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = library.environment(copy, TRITON_INTERPRET="0")
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True
    )


def test_the_list_shows_it_and_names_the_broken_folder(copy: Path):
    result = _run(copy, "-m", "commands", "list", "--json")
    listing = json.loads(result.stdout)
    assert "throw-away" in [loss["name"] for loss in listing["losses"]]
    assert [f["name"] for f in listing["failed"]] == ["broken", "unnamed"]
    assert "this folder is broken" in listing["failed"][0]["reason"]
    assert "loss: expected a name of letters" in listing["failed"][1]["reason"]


@pytest.mark.parametrize("name", ["cos/face v2", "two words", "a,b", "-x", "", "naïve"])
@pytest.mark.parametrize("kind", ["loss", "variant", "contender"])
def test_a_name_that_a_command_line_would_take_apart_is_refused(kind: str, name: str):
    """It is a part of a case's id, and a word of the command that a record keeps."""
    loss = catalogue.get("softmax")
    first = loss.variants[0]
    contender = replace(first.contenders[0], name=name)
    named = {
        "loss": replace(loss, name=name),
        "variant": replace(loss, variants=(replace(first, name=name),)),
        "contender": replace(loss, variants=(replace(first, contenders=(contender,)),)),
    }
    with pytest.raises(ValueError, match=f"{kind}: expected a name of letters"):
        catalogue._check_names(named[kind])


def test_the_contract_tests_run_over_it(copy: Path):
    result = _run(
        copy, "-m", "pytest", "tests/kernels/test_contract.py", "-k", "throw-away or squares"
    )
    assert result.returncode == 0, result.stdout
    assert "passed" in result.stdout


def test_the_suite_measures_it_and_the_report_shows_it(copy: Path):
    out = copy / "run"
    result = _run(copy, "-m", "commands", "run", "--fast", "--device", "cpu",
                  "--loss", "throw-away", "--out", str(out))  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    page = (out / "index.html").read_text()
    assert "Throw-away loss" in page
    assert "this folder is broken" in page
    measured = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    metrics = {r["metric"] for r in measured if r["kind"] == "result" and r["status"] == "ok"}
    assert {"relative_error", "both_time_s", "peak_bytes"} <= metrics
    assert any(r["kind"] == "training" and r["loss"] == "throw-away" for r in measured)
