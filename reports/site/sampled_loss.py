"""What sampling classes costs: the loss and its gradients by rate, and a step's time and memory."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.sampled_loss import Bias, Step

from .. import drawing, units
from ..document import Document, Fact, Figure, Section, Table, Text, table
from ..plot import Axis, Panel, Plot, Rule, Series
from ..rows import Rows
from ..style import SOFT, style_at
from .program_records import Record

SCHEMA_VERSION = 1
TITLE = "What sampling classes costs"
_AS = {False: "as published", True: "corrected"}
# What a panel shows of each draw, and the axis that says so.
_SHOWN = {"loss": "loss", "class_weights": "part of the gradient"}
_ALL = 1.0


def document(record: Record) -> Document:
    biases = Rows(Bias(**one) for one in record["biases"])
    steps = [Step(**one) for one in record["steps"]]
    measured = record["measured"]
    whole, few = steps[0], steps[-1]
    taken = (
        f"A step at a rate of {few.rate:g} takes {few.median_ms / whole.median_ms:.2f} of the time "
        f"and {few.peak_bytes / whole.peak_bytes:.2f} of the memory of one over all classes "
        f"({few.median_ms:,.0f} of {whole.median_ms:,.0f} ms, {units.size(few.peak_bytes)} of "
        f"{units.size(whole.peak_bytes)}, beyond weights and momentum, which stay as they are)."
    )
    return Document(
        title=TITLE, subtitle="Partial FC: a step over the batch's classes and a share of others",
        lead=_answer(biases),
        facts=[Fact("Measured on", measured["machine"]), Fact("Commit", measured["commit"][:12])],
        sections=[
            Section("bias", "The loss and its gradients by the rate", [
                figure(biases), Text(measured["how"], "note"),
            ]),
            Section("step", "A step's time and memory", [
                Text(taken, "answer"), _steps(steps),
                Text("Measure it again with:", "note"), Text(str(measured["command"]), "code"),
            ]),
        ],
    )  # fmt: skip


def _answer(biases: Rows[Bias]) -> str:
    """Where training ends up: the largest cosine, at the rate that is nearest a tenth."""
    cosine = max(biases.each(lambda one: one.cosine))
    own = biases.where(cosine=cosine)
    (whole,) = own.where(rate=_ALL)
    rate = min((one.rate for one in own if one.rate < _ALL), key=lambda one: abs(one - 0.1))
    (plain,) = own.where(rate=rate, corrected=False)
    (corrected,) = own.where(rate=rate, corrected=True)
    return (
        f"With a share of {rate:g} of the classes and targets at a cosine of {cosine:g}, the loss "
        f"is {plain.loss:.2f} as published, {corrected.loss:.2f} corrected and {whole.loss:.2f} "
        f"over all classes; of the class weights' gradient {plain.class_weights:.2f} and "
        f"{corrected.class_weights:.2f} are left. As training starts (a cosine of 0) neither "
        "matters much."
    )


def figure(biases: Rows[Bias]) -> Figure:
    by_cosine = biases.by(lambda one: one.cosine)
    panels = [
        _panel(own, name, f"cosine of the target {cosine:g}" if name == "loss" else "")
        for name in _SHOWN for cosine, own in by_cosine.items()
    ]  # fmt: skip
    columns = ("cosine", "rate", "how", "loss", "deviation", "embeddings", "class_weights")
    made = [
        (f"{one.cosine:g}", f"{one.rate:g}", "all" if one.rate == _ALL else _AS[one.corrected],
         *(f"{getattr(one, name):.4g}" for name in columns[3:]))
        for one in biases
    ]  # fmt: skip
    return drawing.draw(Plot(
        "sampled-loss", TITLE,
        "A column a cosine of the target. The rule is what all classes give. Of the class "
        "weights' gradient the part along that of all classes is shown, so 1 is no bias; that of "
        "embeddings is in the data.",
        f"Lines over the rate, as published and corrected. {_answer(biases)}",
        table(columns, made, numeric=columns[3:]), panels, 8.6, 5.8, columns=len(by_cosine),
        legend="below",
    ))  # fmt: skip


def _panel(own: Rows[Bias], name: str, title: str) -> Panel:
    (whole,) = own.where(rate=_ALL)
    series = []
    for corrected, label in _AS.items():
        found = [*own.where(corrected=corrected).but(rate=_ALL), whole]
        series.append(Series(
            [one.rate for one in found], [getattr(one, name) for one in found],
            style_at(int(corrected)), label,
        ))  # fmt: skip
    limits = (0.0, None) if name == "loss" else (0.0, 1.1)
    return Panel(
        Axis("rate", log=True), Axis(_SHOWN[name], limits=limits), series, title,
        rules=[Rule("y", getattr(whole, name), colour=SOFT, dashed=True)],
    )  # fmt: skip


def _steps(steps: Sequence[Step]) -> Table:
    columns = ("rate", "step", "least", "live bytes at most")
    rows = [
        (f"{one.rate:g}", f"{one.median_ms:,.0f} ms", f"{one.least_ms:,.0f} ms",
         units.size(one.peak_bytes)) for one in steps
    ]  # fmt: skip
    return table(columns, rows, numeric=columns)
