"""The one table of metrics: name, unit, which way is better, and how it may be compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """``kind``: ``exact`` figures repeat bit for bit, ``timed`` ones only compare within one
    session on one machine, ``error`` is a distance from the float64 reference, ``quality`` is
    measured on a trained network. ``title`` is its name for people, where that is not its name with
    spaces; a ``share`` lies between 0 and 1."""

    name: str
    unit: str
    better: Literal["lower", "higher", "neither"]
    kind: Literal["exact", "timed", "error", "quality"]
    summary: str
    title: str = ""
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
    Metric("recall_at_1", "1", "higher", "quality", "nearest neighbour has the same identity",
           title="recall@1", share=True),
    Metric("map_at_r", "1", "higher", "quality", "mean average precision at R", title="MAP@R",
           share=True),
    Metric("verification_accuracy", "1", "higher", "quality",
           "over pairs, threshold of other folds", title="verification", share=True),
    Metric("equal_error_rate", "1", "lower", "quality",
           "where false accept and false reject rates are equal", title="EER", share=True),
    Metric("tar_at_far_1_percent", "1", "higher", "quality",
           "same pairs accepted at 1% false accepts", title="TAR at FAR 1%", share=True),
    Metric("tar_at_far_0_1_percent", "1", "higher", "quality",
           "same pairs accepted at 0.1% false accepts", title="TAR at FAR 0.1%", share=True),
    Metric("intra_class_angle_deg", "deg", "lower", "quality",
           "embedding to its class's mean direction", title="angle inside (°)"),
    Metric("inter_class_angle_deg", "deg", "higher", "quality",
           "between the classes' mean directions", title="angle between (°)"),
    Metric("intra_class_distance", "1", "lower", "quality",
           "embedding to its class's mean, Euclidean"),
    Metric("inter_class_distance", "1", "higher", "quality", "between the classes' means"),
    Metric("negative_distance_p5", "1", "higher", "quality",
           "5% quantile of the distances between different identities"),
    Metric("positive_distance_mean", "1", "lower", "quality",
           "distance between images of one identity"),
    Metric("embedding_norm_mean", "1", "neither", "quality", "length of an embedding"),
    Metric("embedding_spread", "1", "higher", "quality",
           "0 if all directions are one (collapsed), to 1", title="spread (0: collapsed)",
           share=True),
    Metric("embedding_diameter", "1", "neither", "quality",
           "mean distance between two embeddings, 0 if all are one (collapsed)"),
    Metric("train_accuracy", "1", "higher", "quality", "training images classified right",
           share=True),
    Metric("train_time_s", "s", "lower", "timed", "training, evaluation left out"),
    Metric("samples_per_second", "1/s", "higher", "timed", "images trained on in a second",
           title="images/s"),
    Metric("data_wait_share", "1", "lower", "timed", "part of the training spent waiting for data",
           share=True),
    Metric("peak_memory_bytes", "bytes", "lower", "timed", "peak memory of the training",
           title="peak memory"),
)  # fmt: skip

# These need class weights, and images of the classes' identities.
_HEAD = (
    Metric("seen_classifier_accuracy", "1", "higher", "quality",
           "seen identities classified right", share=True),
    Metric("seen_norm_free_accuracy", "1", "higher", "quality",
           "seen identities classified right by the angle to the class weights alone", share=True),
    Metric("seen_class_weight_angle_deg", "deg", "higher", "quality",
           "class weight to the nearest other class weight"),
    Metric("seen_angular_margin_ratio", "1", "higher", "quality",
           "part of the angle between two class weights that their embeddings leave free",
           share=True),
)  # fmt: skip

# On other images of the identities that were trained on: what was learnt about them, beside what
# transfers to new ones.
_SEEN = tuple(
    replace(metric, name=f"seen_{metric.name}", summary=f"seen identities: {metric.summary}")
    for metric in _TABLE
    if metric.kind == "quality" and not metric.name.startswith("train_")
)

# Of a GPU session, beside the cold times that everything else uses.
_WAYS = tuple(
    replace(metric, name=f"{way}_{metric.name}", summary=f"{said}: {metric.summary}")
    for way, said in (("warm", "L2 as the calls before left it"), ("graph", "as CUDA graphs"))
    for metric in _TABLE[:3]
)

METRICS = {metric.name: metric for metric in (*_TABLE, *_WAYS, *_SEEN, *_HEAD)}


def range_of(name: str) -> tuple[float, float]:
    """Of the metric's figures; any number for one that is unknown here."""
    return METRICS[name].range if name in METRICS else (-_HUGE, _HUGE)
