"""The figures of the page as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import answer, numbers
from .judging import Judged
from .reading import Quality, groups
from .searching import arm, best_of

# 2: told_apart_from is significantly_different_from, undecided is inconclusive.
VERSION = 2


def summary(quality: Quality, judged: Sequence[Judged]) -> dict[str, Any]:
    """Tables, differences, claims and trainings; means and bounds to nine digits, each seed's
    value as it was recorded."""
    return {
        "version": VERSION,
        "tables": [_table(quality, *key) for key in quality.tables()],
        "search": _search(quality),
        "claims": [_claim(one) for one in judged],
        "trainings": [
            {"name": one.name, "status": one.status, "reason": one.reason, "mlflow": one.mlflow}
            for one in quality.trainings
        ],
        "missing": quality.records.missing,
    }


def _table(quality: Quality, division: str, dataset: str) -> dict[str, Any]:
    found = groups(quality.of_study(division, dataset))
    metric, metrics = numbers.main_metric(found), numbers.columns(found)
    best = answer.best(quality, division, dataset)
    before = numbers.untrained(found)
    rows = {group.label: _row(group, metrics) for group in found}
    return {
        "division": division,
        "dataset": dataset,
        "main_metric": metric,
        "highest_mean": best.leader.label if best else None,
        "significantly_different_from": best.apart if best else [],
        "rows": rows,
        "untrained": _row(before, metrics) if before else None,
        "differences": [
            {"a": one.a, "b": one.b, **(numbers.plain(one.difference) or {}),
             "p": numbers.rounded(one.p_value), "p_holm": numbers.rounded(one.adjusted)}
            for one in numbers.compare(found, metric)
        ],
    }  # fmt: skip


def _row(group: Any, metrics: Sequence[str]) -> dict[str, Any]:
    ran, diverged, missing = numbers.state(group.trainings)
    figures = {}
    for metric in metrics:
        values = numbers.by_seed(group, metric)
        over = numbers.plain(numbers.over_seeds(values))
        if over is not None:
            figures[metric] = {**over, "by_seed": {str(seed): v for seed, v in values.items()}}
    return {"ran": ran, "diverged": diverged, "not_run": missing, "metrics": figures}


def _search(quality: Quality) -> list[dict[str, Any]]:
    found = []
    for dataset, trials in quality.of_study("search").by("dataset").items():
        for loss, some in trials.by(arm).items():
            best = best_of(some)
            found.append({
                "dataset": dataset, "loss": loss, "trials": len(some),
                "best": best[0].name if best else None, "best_score": best[1] if best else None,
            })  # fmt: skip
    return found


def _claim(one: Judged) -> dict[str, Any]:
    verdict = one.verdict
    estimates = [
        {"label": e.label, "value": numbers.rounded(e.value), "low": numbers.rounded(e.low),
         "high": numbers.rounded(e.high), "seeds": e.count, "unit": e.unit}
        for e in verdict.estimates
    ]  # fmt: skip
    parts = [
        {"label": p.label, "title": p.title, "outcome": p.outcome, "reason": p.reason}
        for p in verdict.parts
    ]
    return {
        "number": one.claim.number, "name": one.claim.name, "outcome": verdict.outcome,
        "reason": verdict.reason, "parts": parts, "estimates": estimates,
        "trainings": len(one.trainings),
    }  # fmt: skip
