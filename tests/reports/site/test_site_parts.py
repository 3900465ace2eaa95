"""Parts of the site that stand alone: code that is shown runs, addresses are relative, what is said
is said once."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import guide_losses
import pytest
from synthetic_run import BATCH, Maker, write

import benchmarks.records.loading
from benchmarks.snapshots import pins
from benchmarks.snapshots.pin_files import STATIC
from marginbench import catalogue
from reports import pages, units
from reports.document import Details, Document, Section, Table, table
from reports.pages import Page
from reports.reading import Measured, arrange, load
from reports.rows import Rows
from reports.site import (
    machine_facts,
    record_pages,
    reproduce,
    snippets,
    sources,
    static_facts,
)
from reports.site.sources import MachineFile
from reports.style import Styles

# What is no public function by itself, such as a head over sampled classes, has no code.
VARIANTS = [(loss.name, v.name) for loss in catalogue.losses() for v in loss.variants if v.public]


@pytest.mark.parametrize(("loss", "variant"), VARIANTS, ids="/".join)
def test_the_code_that_a_page_shows_runs(loss: str, variant: str, capsys: pytest.CaptureFixture):
    declared = catalogue.get(loss)
    text = snippets.snippet(declared, declared.variant(variant))
    assert text, "there is no code for this variant"
    exec(compile(text, f"{loss}/{variant}", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_code_makes_what_a_loss_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    loss = guide_losses.adopt("tour", tmp_path, monkeypatch)
    pull = loss.variant("pull")
    assert snippets.snippet(loss, pull) == "", "nothing of it is public"
    lines = snippets.snippet(loss, replace(pull, public="functional.tour")).splitlines()
    assert "proxies = torch.randn(16, 3, 128).requires_grad_()" in lines
    assert "scale = torch.ones(()).requires_grad_()" in lines
    assert "second = torch.randn(64, 128).requires_grad_()" in lines
    assert "memory = torch.randn(128, 128)" in lines
    assert "memory_labels = torch.randint(16, (128,))" in lines
    namespace = {"tour": loss.resolve("eager:pull")}
    code = "\n".join(line for line in lines if not line.startswith("from "))
    exec(code.replace("functional.tour", "tour"), namespace)


@pytest.mark.parametrize(
    ("target", "page", "address"),
    [
        ("a.html", "index.html", "a.html"), ("losses/a.html#x", "index.html", "losses/a.html#x"),
        ("losses/a.html", "losses/b.html", "a.html"), ("#x", "losses/b.html", "#x"),
        ("index.html", "losses/b.html", "../index.html"),
        ("records/m/a.html#c", "losses/b.html", "../records/m/a.html#c"),
        ("../box/records.jsonl.xz", "index.html", "../box/records.jsonl.xz"),
        ("../box/records.jsonl.xz", "records/m/a.html", "../../../box/records.jsonl.xz"),
    ],
)  # fmt: skip
def test_addresses_are_relative(target: str, page: str, address: str):
    assert Page(page, Styles(())).address(target) == address


@pytest.mark.parametrize("loss", catalogue.names())
def test_every_loss_finds_its_compiled_kernels(loss: str):
    pinned = static_facts._newest(STATIC)
    found = {row["kernel"] for row in static_facts.compiled(catalogue.get(loss), pinned)}
    own = catalogue.get(loss).package.rpartition(".")[2]
    assert found, loss
    others = {name for name in found if name.split(".")[0] not in (own, "shared")}
    assert not others
    heads = {"shared.linear_lse_forward.stream"} <= found
    assert heads == any(one.family == "head" for one in catalogue.get(loss).variants)


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(24_094_550_180.8, "24.1 G"), (999.96e9, "1.00 T"), (5e3, "5.00 k"), (12.0, "12.0 ")],
)
def test_rates_stand_in_decimal_units(rate: float, shown: str):
    assert units.decimal(rate) == shown


def test_a_record_page_has_the_words_that_people_read_for_each_status():
    maker = Maker()
    key = next(maker.cases())
    results = [
        maker.result(key, "eager", metric, status=status, reason=reason, value=1.0)
        for metric, status, reason in (
            ("peak_bytes", "ok", ""),
            ("relative_error", "ok", ""),
            ("both_time_s", "worse", "NaN"),
            ("forward_time_s", "not_run", "needs CUDA"),
        )
    ]
    rows = record_pages._rows(Measured(key, "s1", 0, Rows(results)), {})
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", "".join(rows))
    assert {"passed", "failed: NaN", "not run: needs CUDA"} <= set(cells)
    assert not {"ok", "worse", "not_run"} & {cell.partition(":")[0] for cell in cells}


def test_a_case_says_once_why_a_contender_did_not_run_and_what_protocols_share():
    maker = Maker()
    key = next(maker.cases())
    metrics = ("peak_bytes", "forward_time_s", "both_time_s")
    tiles = "a tile, " * 40
    ran = [maker.result(key, "eager", metric, value=1.0, protocol={"tiles": tiles, "seed": number})
           for number, metric in enumerate(metrics)]  # fmt: skip
    reasons = zip(metrics, ("CUDA", "CUDA", "memory"), strict=True)
    left = [maker.result(key, "triton", metric, status="not_run", reason=reason)
            for metric, reason in reasons]  # fmt: skip
    text = record_pages._case("case-1", Measured(key, "s1", 0, Rows((*ran, *left))))
    said = re.findall(r"<td[^>]*>([^<]*)</td>", text)
    assert {"peak_bytes, forward_time_s", "not run: CUDA", "not run: memory"} <= set(said)
    assert text.count("not run: CUDA") == 1 and text.count(tiles) == 1
    assert text.count('<a href="#case-1-said-1">') == 3 and text.count('id="case-1-said-1"') == 1
    assert all(f"seed: {number}" in text for number in range(3))


def test_each_compiled_kernel_is_on_one_page():
    pinned = static_facts._newest(STATIC)
    shared = [
        cells(one)
        for section in static_facts.shared().sections
        for one in section.blocks
        if isinstance(one, Table) and "registers" in one.columns
    ]
    alone = [cells(listed) for loss in catalogue.losses() for one in static_facts.section(loss)
             if isinstance(one, Details) and "alone" in one.summary
             for listed in one.blocks if isinstance(listed, Table)]  # fmt: skip
    launched = {pins.key(row) for loss in catalogue.losses()
                for row in static_facts.compiled(loss, pinned)}  # fmt: skip
    assert shared and alone
    assert sum(map(len, (*shared, *alone))) == len(launched)


def cells(made: Table) -> list[tuple[str, ...]]:
    return [tuple(cell.text for cell in row) for row in made.rows]


def test_a_numeric_column_is_named_by_its_table():
    made = table(("a", "b"), [("1", "2")], numeric=("b",))
    document = Document("t", "s", "l", sections=[Section("x", "X", [made])])
    page = pages.render(document, Page("x.html", Styles(())))
    assert '<table class="n2">' in page and ".n2 :is(td, th):nth-child(2)" in page


def test_rates_of_another_machine_are_left_out():
    maker = Maker(losses=(("triplet", "batch-hard", "batch", BATCH[:1]),))
    records = arrange(benchmarks.records.loading.arrange(maker.lines()), Path("records.jsonl"))
    (name,) = records.results.each(lambda row: row.provenance.machine)
    for measured, kept in (({}, True), ({"machine": name}, True), ({"machine": "another"}, False)):
        facts = MachineFile(rates={"bytes_per_s": 1e10}, measured=measured)
        found = machine_facts.of_this(facts, records)
        assert (bool(found.rates), found.foreign) == (kept, "" if kept else "another")


def test_publishing_as_it_is_reported_makes_a_folder_that_publish_finds(tmp_path: Path):
    """The steps before `marginbench publish`, but for the minute of measuring rates."""
    (text,) = (command for title, _, command in reproduce._STEPS if title == "Publish")
    lines = text.splitlines()
    steps = [one for one in lines if one.split()[0] in ("mkdir", "xz")]
    assert lines[-2] == "marginbench publish" and len(steps) == 2
    (tmp_path / "reports/published").mkdir(parents=True)
    maker = Maker(losses=(("triplet", "batch-hard", "batch", BATCH[:1]),))
    write(tmp_path / "reports/out/RUN", maker.lines())
    subprocess.run("\n".join(steps), shell=True, check=True, cwd=tmp_path)
    found = sources.find(tmp_path / "reports/published")
    assert [one.shown for one in found.machines] == ["NAME"]
    assert load(found.machines[0].records).cases
