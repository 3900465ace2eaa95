"""Adding a loss is adding one folder: those of docs/add-a-loss.md are found everywhere.

``tour`` takes a tensor of each kind that a loss can declare, and two sizes of its own.
"""

from __future__ import annotations

import json
import lzma
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import guide_losses
import pytest
from page_reader import Page

from benchmarks import library
from marginbench import catalogue

BROKEN = 'raise RuntimeError("this folder is broken")\n'


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with the guide's folders, one that fails to import, and one of a bad name."""
    target = guide_losses.copy_of_the_tree(tmp_path_factory.mktemp("copy"))
    package = target / "kernels" / "marginbench"
    for name, code in (("broken", BROKEN), ("unnamed", _unnamed())):
        (package / name).mkdir()
        (package / name / "__init__.py").write_text(code)
    return target


def _unnamed() -> str:
    return guide_losses.files()["ring/__init__.py"].replace('name="ring"', 'name="cos/face v2"')


def _run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = library.environment(copy, TRITON_INTERPRET="0")
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True
    )


def test_the_list_shows_it_and_names_the_broken_folder(copy: Path):
    result = _run(copy, "-m", "commands", "list", "--json")
    listing = json.loads(result.stdout)
    losses = {loss["name"]: loss for loss in listing["losses"]}
    assert "ring" in losses
    pull = losses["tour"]["variants"][0]
    assert pull["sizes"] == ["K", "M"] and pull["fields"]["proxies"] == ["C", "K", "D"]
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
    """Declarations, references, dtypes, bad input."""
    files = ("tests/kernels/test_contract.py", "tests/kernels/test_contract_fields.py")
    result = _run(copy, "-m", "pytest", *files, "-k", "ring or tour and not wrong")
    assert result.returncode == 0, result.stdout
    assert re.search(r"[1-9]\d* passed", result.stdout)


@pytest.fixture(scope="module")
def measured(copy: Path) -> Path:
    """The folder of a fast run of both."""
    out = copy / "run"
    result = _run(copy, "-m", "commands", "run", "--fast", "--device", "cpu",
                  "--loss", "ring", "--loss", "tour", "--out", str(out))  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return out


def test_the_suite_measures_it_and_the_report_shows_it(measured: Path):
    out = measured
    page = (out / "index.html").read_text()
    assert "Ring loss" in page and "Tour loss" in page
    assert "this folder is broken" in page
    lines = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    results = [line for line in lines if line["kind"] == "result"]
    for name in ("ring", "tour"):
        done = {r["metric"] for r in results if r["case"]["loss"] == name and r["status"] == "ok"}
        assert {"relative_error", "both_time_s", "peak_bytes"} <= done
        trained = [r for r in lines if r["kind"] == "training" and r["loss"] == name]
        assert trained and all(one["status"] == "ok" for one in trained)
    # Its own sizes, small ones of its own where times are taken; a loss without says nothing.
    sizes = {(r["case"]["suite"], *map(tuple, r["case"]["sizes"])) for r in results
             if r["case"]["loss"] == "tour" and r["case"]["variant"] == "pull"}  # fmt: skip
    assert ("speed", ("K", 3), ("M", 64)) in sizes
    assert not any("sizes" in r["case"] for r in results if r["case"]["loss"] == "ring")
    assert "speed/tour/pull/B32-D16-C50-K3-M64/float32/cpu/drawn/s0" in lines[0]["plan"]
    assert (out / "results.csv").read_text().partition("\n")[0].endswith(",sizes")


def test_the_site_shows_it(copy: Path, measured: Path):
    """Its page, its row on the losses' page, and what leads to it from the other pages."""
    folder = copy / "published" / "a-box"
    folder.mkdir(parents=True)
    packed = lzma.compress((measured / "records.jsonl").read_bytes(), preset=0)
    (folder / "records.jsonl.xz").write_bytes(packed)
    done = _run(copy, "-m", "commands", "publish", "--records", str(folder.parent))
    assert done.returncode == 0, done.stdout + done.stderr
    site = folder.parent / "site"
    for name, title in (("ring", "Ring loss"), ("tour", "Tour loss")):
        page = Page((site / "losses" / f"{name}.html").read_text())
        assert page.named("h1") and title in page.seen
        assert f"marginbench run --loss {name}" not in page.seen, "said to be unmeasured"
        assert {"answer", "agreement", "compiled", "code"} <= {
            at.get("id") for at in page.named("section")
        }
        assert f"records/a-box/{name}-1.html" in str(page.named("a"))
        hrefs = {"../losses.html", "../machines/a-box.html"}
        assert hrefs <= {at.get("href") for at in page.named("a")}, "the site's navigation"
        for above, address in (
            ("losses.html", f"losses/{name}.html"),
            ("index.html", f"losses/{name}.html"),
            ("machines/a-box.html", f"../losses/{name}.html#agreement"),
        ):
            links = Page((site / above).read_text()).named("a")
            assert address in {at.get("href") for at in links}, above
        assert title in Page((site / "losses.html").read_text()).seen


def test_it_has_its_page_by_itself(copy: Path):
    said = _run(copy, "-m", "reports.loss_pages", "--write")
    assert said.returncode == 3 and "broken can't be imported" in said.stderr
    for name in ("broken", "unnamed"):
        (copy / "kernels" / "marginbench" / name / "__init__.py").unlink()
    said = _run(copy, "-m", "reports.loss_pages", "--write")
    assert "written: docs/losses/ring.md" in said.stdout, said.stdout + said.stderr
    page = (copy / "docs" / "losses" / "ring.md").read_text()
    assert "# Ring loss" in page
    assert r"\frac{1}{2} \sum_i (\|x_i\| - R)^2" in page
    page = (copy / "docs" / "losses" / "tour.md").read_text()
    assert "K = 3, M = 128 at B = 64, D = 128, C = 16" in page
    assert "| `proxies` | C x K x D | K of each class; learnt | kept from step to step |" in page
    assert "After each step `track` computes the new `size`." in page
    stale = copy / "docs" / "losses" / "gone.md"
    stale.write_text("of a loss that is gone")
    assert _run(copy, "-m", "reports.loss_pages", "--write").returncode == 0
    assert not stale.exists()


def test_the_gate_pins_it_in_its_own_folder(copy: Path):
    for name in ("broken", "unnamed"):
        (copy / "kernels" / "marginbench" / name / "__init__.py").unlink(missing_ok=True)
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    (copy / ".gitignore").write_text("__pycache__/\nreports/out/\n")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "the loss")):
        subprocess.run(["git", *words], cwd=copy, check=True)
    said = _run(copy, "-m", "commands", "gate", "--pin", "--loss", "tour")
    assert said.returncode == 0, said.stdout + said.stderr
    status = ["git", "status", "--porcelain", "kernels"]
    changed = subprocess.run(status, cwd=copy, capture_output=True, text=True, check=True).stdout
    assert changed == "?? kernels/marginbench/tour/tests/\n"
    for words in (("add", "kernels"), (*who, "commit", "-qm", "what is pinned of it")):
        subprocess.run(["git", *words], cwd=copy, check=True)
    said = _run(copy, "-m", "commands", "gate", "--exact", "--loss", "tour")
    assert said.returncode == 0, said.stdout + said.stderr
