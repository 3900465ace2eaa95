"""7. Training: what a small network reaches with each loss, and where the full log lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import mean

from benchmarks.instruments.metrics import METRICS
from benchmarks.records.loading import Training

from .. import units
from ..document import Block, Cell, Details, Figure, Section, Table, Text, table
from ..grouping import grouped
from ..matrices import Curve, curves, finals
from .context import Context, mark
from .flat import holders
from .place import Place

TITLE = "Training"
EPOCH = "epoch"
# The first of each that was logged is drawn: how the loss falls, and how good the embeddings are.
LOSS_CURVES = ("train_loss", "loss")
MAIN = ("recall_at_1", "map_at_r", "verification_accuracy", "train_loss", "train_time_s")
QUALITY = ("recall_at_1", "map_at_r", "verification_accuracy")


def section(context: Context) -> Section:
    trainings = list(context.records.trainings)
    if not trainings:
        return Section("training", TITLE, [Text("No network was trained in this run.")], empty=True)
    logged = list(dict.fromkeys(name for one in trainings for name in one.metrics))
    main = [name for name in MAIN if name in logged]
    rest = [name for name in logged if name not in main]
    blocks: list[Block] = [_table(trainings, main or logged)]
    if main and rest:
        blocks.append(Details(f"Other final metrics ({len(rest)})", [_table(trainings, rest)]))
    blocks += _figures(context, [t for t in trainings if t.status != "not_run"])
    blocks += [_where(trainings), _settings(trainings)]
    return Section("training", TITLE, blocks)


def group(training: Training) -> str:
    return f"{training.loss}/{training.variant}"


def _by_network(trainings: list[Training]) -> dict[tuple[str, str, str], list[Training]]:
    """The seeds of one network together."""
    return grouped(trainings, lambda one: (group(one), one.contender, one.dataset))


def _table(trainings: list[Training], metrics: list[str]) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for (name, contender, dataset), seeds in _by_network(trainings).items():
        ran = [one for one in seeds if one.status != "not_run"]
        cells = [_over_seeds(metric, ran) for metric in metrics]
        rows.append((name, mark(contender), dataset, str(len(ran)), *cells, _state(seeds)))
    columns = ("loss", "contender", "dataset", "seeds", *(_named(m) for m in metrics), "outcome")
    numeric = ("seeds", *(_named(m) for m in metrics))
    return table(columns, rows, "At the end of training", numeric=numeric)


def _named(metric: str) -> str:
    known = METRICS.get(metric)
    return metric.removesuffix("_s").replace("_", " ") + (known.arrow if known else "")


def _over_seeds(metric: str, seeds: list[Training]) -> str:
    """The mean, and the range where there are several seeds."""
    values = [v for one in seeds if (v := one.metrics.get(metric)) is not None]
    if not values:
        return units.NOTHING
    text = units.figure(metric, mean(values))
    if len(values) > 1:
        text += f" ({units.figure(metric, min(values))} to {units.figure(metric, max(values))})"
    return text


def _state(seeds: list[Training]) -> Cell:
    for one in seeds:
        if one.status == "worse":
            return Cell(f"✗ {one.reason}", tone="bad")
        if one.status == "not_run":
            return Cell(f"not run: {one.reason}", tone="quiet")
    return Cell("✓ ran", tone="good")


def _figures(context: Context, ran: list[Training]) -> list[Figure]:
    chosen = [_first_logged(names, ran) for names in (LOSS_CURVES, QUALITY)]
    by_metric = {
        metric: [curve for one in ran if (curve := _curve(one, metric))]
        for metric in chosen
        if metric
    }
    by_metric = {metric: found for metric, found in by_metric.items() if found}
    made = []
    if by_metric:
        data = _epochs(ran, list(by_metric))
        made.append(curves("training-curves", "Training curves", by_metric, context.styles, data))
    return [*made, *_finals(context, ran)]


def _finals(context: Context, ran: list[Training]) -> list[Figure]:
    metrics = [m for m in QUALITY if any(one.metrics.get(m) is not None for one in ran)]
    rows = []
    for (name, contender, _), seeds in _by_network(ran).items():
        values = [
            [v for one in seeds if (v := one.metrics.get(metric)) is not None] for metric in metrics
        ]
        if any(values):
            rows.append((name, contender, values))
    if not rows:
        return []
    data = table(
        ("loss", "contender", *metrics),
        [
            (name, mark(contender), *(", ".join(map(units.digits3, v)) for v in values))
            for name, contender, values in rows
        ],
    )
    title = "Quality at the end of training"
    return [finals("training-final", title, metrics, rows, context.styles, data)]


def _first_logged(names: tuple[str, ...], ran: list[Training]) -> str | None:
    logged = {name for one in ran for epoch in one.epochs for name in epoch}
    return next((name for name in names if name in logged), None)


def _curve(one: Training, metric: str) -> Curve | None:
    points = [
        (_number(epoch, number), value)
        for number, epoch in enumerate(one.epochs)
        if (value := epoch.get(metric)) is not None and math.isfinite(value)
    ]
    if not points:
        return None
    epochs, values = zip(*points, strict=True)
    return Curve(group(one), one.contender, epochs, values)


def _number(epoch: Mapping[str, float | None], place: int) -> float:
    """Epochs are numbered by the record, or else by their place; 0 is untrained."""
    number = epoch.get(EPOCH)
    return float(place if number is None else number)


def _epochs(ran: list[Training], names: list[str]) -> Table:
    rows = []
    for one in ran:
        for number, epoch in enumerate(one.epochs):
            values = (units.digits3(epoch.get(name)) for name in names)
            at = f"{_number(epoch, number):g}"
            rows.append((group(one), mark(one.contender), str(one.seed), at, *values))
    columns = ("loss", "contender", "seed", EPOCH, *(n.replace("_", " ") for n in names))
    return table(columns, rows, numeric=columns[2:])


def _where(trainings: list[Training]) -> Table:
    """Where to read on: the store's own keys, as they were recorded."""
    rows = []
    for one in trainings:
        store = ", ".join(f"{key} {value}" for key, value in sorted(one.mlflow.items()))
        rows.append(
            (group(one), mark(one.contender), str(one.seed), Cell(store or "not logged", code=True),
             Cell(one.provenance.command, code=True))
        )  # fmt: skip
    columns = ("loss", "contender", "seed", "MLflow", "command")
    return table(columns, rows, "Each network's log, and the command to train it again")


def _settings(trainings: list[Training]) -> Details:
    entries = [(group(one), (key, str(value))) for one in trainings
               for key, value in one.settings.items()]  # fmt: skip
    held = holders(entries, {group(one) for one in trainings})
    rows = [(key.replace("_", " "), value, names) for (key, value), names in sorted(held.items())]
    return Details("Settings", [table(("setting", "value", "networks"), rows)])


PLACES = (Place(80, section, "machine", weight=2),)
