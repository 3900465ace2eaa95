"""How to check what the site says: commands, from a clone, and what the site is made of."""

from __future__ import annotations

from ..document import Block, Cell, Document, Fact, Section, Text, table
from .frame import FOOTER
from .sources import Published

_STEPS = (
    ("Install", "From the root of a clone; make installs into .venv what requirements.lock pins. "
                "Type the other commands there too.",
     "make .venv/.bench\n. .venv/bin/activate"),
    ("Look at what is committed", "Measures nothing: rebuilds this site from the committed "
                                  "records and checks that it equals what you read.",
     "marginbench verify reports/published"),
    ("Is it right?", "Every kernel against its float64 reference: values and gradients, in "
     "Triton's interpreter where there is no GPU, compiled where there is one.",
     "marginbench run --suite agreement\nmake test\nmake sanitize"),
    ("Measure one figure again", "Each linked figure leads to its record, which has the command "
                                 "for that one case, such as:",
     "marginbench run --case speed/triplet/batch-hard/B512-D128-C128/float32/cpu/drawn/s0"),
    ("Measure all of it", "A rigorous run takes up to two hours on two cores; a fast one a minute.",
     "make bench ARGS=--rigorous"),
    ("Train again", "The tables of training quality, and one row of them.",
     "marginbench quality run\nmarginbench quality again RECORDS NAME"),
    ("What the kernels compile to", "Needs no GPU.", "marginbench static"),
    ("Publish", "A finished run's records go into a folder of their own under reports/published; "
     "beside them machine.json, with the rates that the roofline is drawn from, measured on the "
     "same machine. Then the site is built.",
     "mkdir reports/published/NAME\n"
     "xz -c reports/out/RUN/records.jsonl > reports/published/NAME/records.jsonl.xz\n"
     "python -m benchmarks.rates reports/published/NAME\n"
     "marginbench publish\nmarginbench verify reports/published"),
)  # fmt: skip


def document(published: Published) -> Document:
    sections: list[Section] = []
    for number, (title, text, command) in enumerate(_STEPS, start=1):
        sections.append(Section(f"step-{number}", title, [Text(text), Text(command, "code")]))
    rows = [
        (kind, Cell(str(folder.typed), href=folder.address(folder.records.name)),
         f"{folder.records.stat().st_size:,}")
        for kind, folders in (("run", published.machines), ("quality", published.quality),
                              ("gate's trial", published.gate))
        for folder in folders
    ]  # fmt: skip
    blocks: list[Block] = [
        table(("kind", "record file, in a clone", "bytes"), rows, "What this site is made of",
              numeric=("bytes",)),
        Text("manifest.json lists the SHA-256 of each of these and of each file of the site. Its "
             "declared field holds the versions that the site was built with; all else comes from "
             "the records alone."),
    ]  # fmt: skip
    if published.left_out:
        said = ", ".join(published.left_out)
        blocks.append(Text(f"Folders without records, which are left out: {said}.", "note"))
    sections.append(Section("sources", "What it is made of", blocks))
    lead = (
        "Every figure here comes from a committed record with all its raw rounds. Times differ "
        "between machines: compare ratios within one session, never times across machines. Exact "
        "figures (bytes, counts, what kernels compile to) repeat exactly."
    )
    return Document(
        title="How do I check that myself?", subtitle="commands, from a clone", lead=lead,
        facts=[Fact("Record files", str(len(rows)))], sections=sections, footer=FOOTER,
    )  # fmt: skip
