"""The pages docs/losses/NAME.md, one a loss, made from its declaration.

    python -m reports.loss_pages            are the pages what the losses declare?
    python -m reports.loss_pages --write    make them so

A new folder under kernels/marginbench gets its page by itself; the page of one that is gone is
removed.

Exit codes: 0 they are as they should be, or were written; 1 one is out of date; 2 bad usage; 3 a
loss can't be imported, or a file can't be read or written.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Sequence

import suites  # noqa: F401  finds the library of this tree
from benchmarks.module_commands import run
from benchmarks.snapshots.pin_files import folder_of
from marginbench import catalogue
from marginbench.fields import FAMILIES, Shape, sized
from marginbench.loss import Contender, Loss, Range, Variant

from . import markdown_blocks
from .markdown_blocks import table
from .paths import PUBLISHED, ROOT
from .site import snippets

FOLDER = ROOT / "docs" / "losses"
PROGRAM = "python -m reports.loss_pages"
COMMAND = f"{PROGRAM} --write"
INDEX = "README.md"
_WORDS = (
    "What a variant, its version and a contender are: [words](../reading.md#words). `compiled` is "
    "not a value of `implementation`: it is `torch.compile(loss)` of a loss with "
    '`implementation="eager"`.'
)
_DTYPES = ("float32", "bfloat16", "float16", "float64")
_NEEDS = {
    "cuda": "a GPU", "triton": "Triton", "compiler": "a C++ compiler",
    "hopper": "a GPU of compute capability 9.0 or newer",
}  # fmt: skip
_KINDS = {
    "images": "of the step's images", "partners": "of other images, one for each row",
    "input": "made anew for each step", "state": "kept from step to step",
    "memory": "of the last steps",
}  # fmt: skip
_OUTPUTS = {
    "loss": "a loss: a scalar, or one value per row for reduction `none`",
    "tensor": "a tensor without a gradient",
    "indices": "indices into the batch",
}


def pages() -> dict[str, str]:
    """The text of each page by its file name; raises BrokenLoss where one would be missing."""
    losses = catalogue.complete()
    return {INDEX: index(losses), **{f"{loss.name}.md": page(loss) for loss in losses}}


def index(losses: Iterable[Loss]) -> str:
    rows = [
        (f"[{loss.title}]({loss.name}.md)", ", ".join(v.name for v in loss.variants), loss.source)
        for loss in losses
    ]
    lines = (
        _origin("the losses' declarations"), "# The losses",
        "Each page has the exact definition, the source, the options and the implementations. "
        f"{_WORDS}",
        table(("loss", "variants", "source"), rows),
        "To add one, see [Add a loss](../add-a-loss.md).",
    )  # fmt: skip
    return "\n\n".join(lines) + "\n"


def page(loss: Loss) -> str:
    """The page of one loss."""
    folder = f"kernels/marginbench/{folder_of(loss.name)}"
    lead, notes = _docstring(loss)
    parts = [_origin(f"{folder}/__init__.py"), f"# {loss.title}", lead]
    parts.append(f"Name in the suite: `{loss.name}`. Source: {loss.source}.")
    parts += [*_public(loss), *_pictures(loss)]
    parts.append(table(("variant", "what it is"), [
        (f"[{v.name}](#{v.name})", v.summary) for v in loss.variants
    ]))  # fmt: skip
    parts.append(_WORDS)
    for variant in loss.variants:
        parts += _variant(variant)
    parts += _training(loss)
    if notes:
        parts += ["## Notes", notes]
    parts.append("[All losses](README.md) · [The library](../api.md) · [Train](../train.md)")
    return "\n\n".join(part for part in parts if part) + "\n"


def _origin(source: str) -> str:
    return f"<!-- Made from {source} by: {COMMAND} -->"


def _docstring(loss: Loss) -> tuple[str, str]:
    """First sentence and the rest of the folder's own words."""
    text = inspect.getdoc(importlib.import_module(loss.package)) if loss.package else None
    lead, _, rest = (text or loss.title).replace("``", "`").partition("\n")
    return lead.strip(), rest.strip()


def _public(loss: Loss) -> list[str]:
    """What people import of the loss."""
    if not loss.public:
        return ["Not public yet: in the suite only."]
    return [f"Import: {', '.join(f'`marginbench.{name}`' for name in loss.public)}."]


def _variant(variant: Variant) -> list[str]:
    takes = snippets.arguments(variant) or {}
    facts = [
        ("source", variant.source),
        ("over", FAMILIES.get(variant.family, variant.family)),
        ("tensors", ", ".join(f"`{name}`" for name in takes)),
        ("gradients to", ", ".join(f"`{name}`" for name in variant.differentiable) or "none"),
        ("returns", _OUTPUTS.get(variant.output, variant.output)),
        ("version", f"{variant.version}"),
        ("in the library", _call(variant)),
    ]
    if variant.unit_embeddings:
        facts.append(("inputs of the suite", "embeddings of length 1"))
    facts.append(("sizes of its own", _sizes(variant)))
    options = [(f"`{name}`", f"`{value!r}`") for name, value in variant.options.items()]
    parts = [
        f"## {variant.name}", f"{variant.summary[:1].upper()}{variant.summary[1:]}.",
        f"```math\n{variant.equation}\n```",
        table(("", ""), [fact for fact in facts if fact[1]]),
    ]  # fmt: skip
    if variant.fields:
        parts.append(_fields(variant))
    if options:
        parts.append(table(("option", "default"), options))
    rows = [_implementation(contender) for contender in variant.contenders]
    rows += [(name, "not offered", "", reason) for name, reason in variant.excused.items()]
    made = table(("implementation", "needs", "dtypes", "notes"), rows)
    return [*parts, _details(f"Implementations of {variant.name}", made)]


def _call(variant: Variant) -> str:
    """What people call for it, and what chooses the variant there."""
    if not variant.public:
        return ""
    chosen = (variant.public_options or {}).items()
    named = ", ".join(f'`{name}="{one}"`' for name, one in chosen if isinstance(one, str))
    return f"`marginbench.{variant.public}`" + (f" with {named}" if named else "")


def _details(summary: str, content: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{content}\n\n</details>"


def _pictures(loss: Loss) -> list[str]:
    """The published figures that compare the loss's implementations, and the page they are from."""
    parts = []
    for path in sorted(PUBLISHED.glob(f"site/figures/*/{loss.name}/ratio-*.svg")):
        where = path.parent.parent.name
        said = f"Speed of each implementation relative to eager, measured on {where}"
        parts.append(f"![{said}](../../{path.relative_to(ROOT)})")
    if (PUBLISHED / "site" / "losses" / f"{loss.name}.html").is_file():
        page = f"reports/published/site/losses/{loss.name}.html"
        parts.append(f"All figures of this loss, with their records: [{page}](../../{page}).")
    return parts


def _sizes(variant: Variant) -> str:
    """The sizes beyond B, D and C, as they are in the example on the page."""
    shape = sized(variant, Shape(snippets.BATCH, snippets.DIM, snippets.CLASSES))
    own = ", ".join(f"{letter} = {size:,}" for letter, size in shape.more)
    varies = any(callable(size) for size in variant.sizes.values())
    at = f" at B = {shape.batch}, D = {shape.dim}, C = {shape.classes}" if varies else ""
    return f"{own}{at}"


def _fields(variant: Variant) -> str:
    rows = []
    for field in variant.fields:
        size = " x ".join(field.sizes) or "a number"
        rows.append((f"`{field.name}`", size, field.summary, _KINDS[field.kind]))
    return table(("tensor of its own", "size", "what it is", "in a training"), rows)


def _implementation(contender: Contender) -> tuple[str, str, str, str]:
    needs = [
        _NEEDS.get(need, f"`{need.removeprefix('package:')}`")
        for need in contender.needs
        if not (need == "cuda" and "hopper" in contender.needs)
    ]
    if contender.devices == ("cpu",):
        needs.append("runs on a CPU only")
    dtypes = [name for name in _DTYPES if name in contender.dtypes]
    shown = "all" if len(dtypes) == len(_DTYPES) else ", ".join(dtypes)
    notes = [contender.note.replace("``", "`")] if contender.note else []
    notes += [f"on {kind} data: {why}" for kind, why in contender.unfit.items()]
    return contender.name, ", ".join(needs) or "nothing more", shown, "; ".join(notes)


def _training(loss: Loss) -> list[str]:
    """How the suite trains a network with it."""
    training = loss.effective_training()
    if training is None:
        return []
    said = [f"The training suite uses the variant `{training.variant}`."]
    for field, name in training.updates.items():
        said.append(f"After each step `{name}` computes the new `{field}`.")
    if training.source:
        said.append(f"Schedule and updates are from: {training.source}.")
    parts = ["## In training", " ".join(said)]
    if training.search:
        rows = [(f"`{name}`", *_range(found)) for name, found in training.search.items()]
        division = "The [open division](../training-quality.md) tunes each loss by a search:"
        parts += [division, table(("option", "from", "to", "spaced"), rows)]
    return parts


def _range(found: Range) -> tuple[str, str, str]:
    spaced = "evenly in the logarithm" if found.log else "evenly"
    return f"{found.low:g}", f"{found.high:g}", spaced


def wanted() -> markdown_blocks.Wanted:
    """The text of each page; none of a page there that no loss has."""
    made = {FOLDER / name: text for name, text in pages().items()}
    return dict.fromkeys(FOLDER.glob("*.md")) | made


def main(words: Sequence[str]) -> int:
    return markdown_blocks.command(PROGRAM, __doc__, words, wanted)


if __name__ == "__main__":
    run(main)
