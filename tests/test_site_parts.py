"""Parts of the site that stand alone: code that is shown runs, addresses are relative."""

from __future__ import annotations

import pytest

from kernels import catalogue
from reports.site import snippets, static_facts
from reports.site.context import relative

VARIANTS = [(loss.name, v.name) for loss in catalogue.losses() for v in loss.variants]


@pytest.mark.parametrize(("loss", "variant"), VARIANTS, ids="/".join)
def test_the_code_that_a_page_shows_runs(loss: str, variant: str, capsys: pytest.CaptureFixture):
    declared = catalogue.get(loss)
    text = snippets.snippet(declared, declared.variant(variant))
    assert text, "there is no code for this variant"
    exec(compile(text, f"{loss}/{variant}", "exec"), {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("target", "page", "address"),
    [
        ("a.html", "index.html", "a.html"), ("losses/a.html#x", "index.html", "losses/a.html#x"),
        ("losses/a.html", "losses/b.html", "a.html"), ("#x", "losses/b.html", "#x"),
        ("index.html", "losses/b.html", "../index.html"),
        ("records/m/a.html#c", "losses/b.html", "../records/m/a.html#c"),
    ],
)  # fmt: skip
def test_addresses_are_relative(target: str, page: str, address: str):
    assert relative(target, page) == address


@pytest.mark.parametrize("loss", catalogue.names())
def test_every_loss_finds_its_compiled_kernels(loss: str):
    modules = static_facts._modules(static_facts._folder(catalogue.get(loss)))
    path = static_facts.newest("triton")
    assert path is not None
    found = {row["kernel"] for row in static_facts._rows(path)
             if row["kernel"].rpartition(".")[0] in modules}  # fmt: skip
    own = catalogue.get(loss).package.rpartition(".")[2]
    assert found, loss
    others = {name for name in found if name.split(".")[0] not in (own, "machines")}
    assert not others
    heads = {"machines.linear_lse_forward.stream"} <= found
    assert heads == (loss in ("softmax", "a-softmax", "center"))
