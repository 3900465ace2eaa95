"""The one table of metrics: name, unit, which way is better, and how it may be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """``kind``: ``exact`` figures repeat bit for bit, ``timed`` ones only compare within one
    session on one machine, ``error`` is a distance from the float64 reference, ``quality`` is
    measured on a trained network.

    ``instrument`` is what measures it on a trained network, as ``"module:function"`` in
    `benchmarks.training`: it takes an `Embedded` and returns its figures by name. ``head`` says
    that it needs class weights, and images of the classes' identities.

    ``title`` heads a column, if the name in words is too long; ``column`` is the table of training
    quality that it stands in: what losses are compared by, what is shown beside, or what training
    costs, where neither way is better. The order is this table's. A ``share`` lies between 0 and
    1."""

    name: str
    unit: str
    better: Literal["lower", "higher", "neither"]
    kind: Literal["exact", "timed", "error", "quality"]
    summary: str
    title: str = ""
    column: Literal["", "main", "more", "cost"] = ""
    instrument: str = ""
    head: bool = False
    share: bool = False

    @property
    def arrow(self) -> str:
        """Which way is better, behind a column's title."""
        return {"lower": " ↓", "higher": " ↑", "neither": ""}[self.better]

    @property
    def range(self) -> tuple[float, float]:
        """Between what a figure of ours can lie; outside, the record was changed."""
        if self.unit == "s":
            return 1e-12, 1e9
        return (-_HUGE if self.kind == "quality" else 0.0), _HUGE


# No figure of ours is near it, and its square is a number still.
_HUGE = 1e150

_TABLE = (
    Metric("forward_time_s", "s", "lower", "timed", "forward pass with gradients required"),
    Metric("backward_time_s", "s", "lower", "timed", "backward pass to every differentiable input"),
    Metric("both_time_s", "s", "lower", "timed", "forward and backward of the same call"),
    Metric("first_call_s", "s", "lower", "timed",
           "first forward and backward, compilation included"),
    Metric("tile_time_s", "s", "lower", "timed",
           "one pass of a head with one of the tiles that it may have, as a CUDA graph"),
    Metric("peak_bytes", "bytes", "lower", "exact", "peak of live bytes beyond the inputs"),
    Metric("peak_reserved_bytes", "bytes", "lower", "exact",
           "peak that the CUDA allocator reserved"),
    Metric("total_bytes", "bytes", "lower", "exact", "all that a call allocates, summed"),
    Metric("allocations", "count", "lower", "exact", "how often a call allocates"),
    Metric("operators", "count", "lower", "exact", "operators dispatched, forward and backward"),
    Metric("launches", "count", "lower", "exact", "kernels launched, forward and backward"),
    Metric("growth_share", "1", "lower", "exact",
           "memory that grows with B x C, part of such a matrix"),
    Metric("relative_error", "1", "lower", "error", "||out - ref|| / ||ref|| against float64"),
    Metric("error_over_eager", "1", "lower", "error",
           "relative error as a multiple of eager's own"),
    Metric("index_mismatches", "count", "lower", "error", "indices that differ from the reference"),
    Metric("index_regret", "1", "lower", "error", "distance lost by a differing index, relative"),
    Metric("checker_errors", "count", "lower", "exact",
           "errors found by a checker: compute-sanitizer, or Triton's own for overflow"),
    Metric("train_loss", "1", "lower", "quality", "mean training loss of the last epoch"),
    Metric("map_at_r", "1", "higher", "quality", "mean average precision at R",
           "MAP@R", "main", "instruments:retrieved", share=True),
    Metric("recall_at_1", "1", "higher", "quality", "nearest neighbour has the same identity",
           "recall@1", "main", "instruments:retrieved", share=True),
    Metric("verification_accuracy", "1", "higher", "quality",
           "over pairs, threshold of other folds",
           "verification", "main", "instruments:verified", share=True),
    Metric("equal_error_rate", "1", "lower", "quality",
           "where false accept and false reject rates are equal",
           "EER", "main", "instruments:verified", share=True),
    Metric("tar_at_far_1_percent", "1", "higher", "quality",
           "same pairs accepted at 1% false accepts",
           "TAR at FAR 1%", "more", "instruments:verified", share=True),
    Metric("tar_at_far_0_1_percent", "1", "higher", "quality",
           "same pairs accepted at 0.1% false accepts",
           "TAR at FAR 0.1%", "more", "instruments:verified", share=True),
    Metric("intra_class_angle_deg", "deg", "lower", "quality",
           "embedding to its class's mean direction",
           "angle inside (°)", "more", "instruments:directions"),
    Metric("inter_class_angle_deg", "deg", "higher", "quality",
           "between the classes' mean directions",
           "angle between (°)", "more", "instruments:directions"),
    Metric("intra_class_distance", "1", "lower", "quality",
           "embedding to its class's mean, Euclidean", instrument="instruments:distances"),
    Metric("inter_class_distance", "1", "higher", "quality", "between the classes' means",
           instrument="instruments:distances"),
    Metric("negative_distance_p5", "1", "higher", "quality",
           "5% quantile of the distances between different identities",
           instrument="instruments:distances"),
    Metric("positive_distance_mean", "1", "lower", "quality",
           "distance between images of one identity", instrument="instruments:distances"),
    Metric("embedding_norm_mean", "1", "neither", "quality", "length of an embedding",
           instrument="instruments:distances"),
    Metric("embedding_spread", "1", "higher", "quality",
           "0 if all directions are one (collapsed), to 1",
           "spread (0: collapsed)", "more", "instruments:directions", share=True),
    Metric("embedding_diameter", "1", "neither", "quality",
           "mean distance between two embeddings, 0 if all are one (collapsed)",
           instrument="instruments:distances"),
    Metric("classifier_accuracy", "1", "higher", "quality", "seen identities classified right",
           instrument="instruments:classified", head=True, share=True),
    Metric("norm_free_accuracy", "1", "higher", "quality",
           "seen identities classified right by the angle to the class weights alone",
           instrument="instruments:classified", head=True, share=True),
    Metric("class_weight_angle_deg", "deg", "higher", "quality",
           "class weight to the nearest other class weight",
           instrument="instruments:classified", head=True),
    Metric("angular_margin_ratio", "1", "higher", "quality",
           "part of the angle between two class weights that their embeddings leave free",
           instrument="instruments:classified", head=True, share=True),
    Metric("train_accuracy", "1", "higher", "quality", "training images classified right",
           share=True),
    Metric("train_time_s", "s", "lower", "timed", "training, evaluation left out"),
    Metric("samples_per_second", "1/s", "higher", "timed", "images trained on in a second",
           "images/s", "cost"),
    Metric("data_wait_share", "1", "lower", "timed", "part of the training spent waiting for data",
           share=True),
    Metric("peak_memory_bytes", "bytes", "lower", "timed", "peak memory of the training",
           "peak memory", "cost"),
)  # fmt: skip


def with_variants(metric: Metric) -> Iterator[Metric]:
    """The metric, and what else is recorded of the same kind.

    What is measured on a trained network is measured on new identities and, as ``seen_``, on other
    images of those that were trained on: what was learnt about them, beside what transfers. Times
    are taken in two more ways in a GPU session, beside the cold ones that everything else uses.
    """
    if not metric.head:
        yield metric
    if metric.instrument:
        title = f"seen {metric.title}" if metric.title else ""
        summary = metric.summary if metric.head else f"seen identities: {metric.summary}"
        yield replace(
            metric, name=f"seen_{metric.name}", summary=summary, title=title, column="",
            instrument=metric.instrument if metric.head else "",
        )  # fmt: skip
    if metric.name in ("forward_time_s", "backward_time_s", "both_time_s"):
        for way, said in (("warm", "L2 as the calls before left it"), ("graph", "as CUDA graphs")):
            summary = f"{said}: {metric.summary}"
            yield replace(metric, name=f"{way}_{metric.name}", summary=summary)


METRICS = {metric.name: metric for entry in _TABLE for metric in with_variants(entry)}


def range_of(name: str) -> tuple[float, float]:
    """Of the metric's figures; any number for one that is unknown here."""
    return METRICS[name].range if name in METRICS else (-_HUGE, _HUGE)


def is_timed(name: str) -> bool:
    """Whether it depends on how busy the machine was."""
    return name in METRICS and METRICS[name].kind == "timed"
