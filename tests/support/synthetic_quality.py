"""Records of trainings that never were: embeddings on a circle, from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from page_reader import Page
from synthetic_run import COMMIT, IDENTITY, RUN, texts

from benchmarks.records.loading import Line, Provenance, RunEnd, Session, Training
from reports.quality import judging, published
from reports.quality.build import build
from suites.claims.claim import Claim, Estimate, Panel, Plot, Verdict
from suites.claims.claim import Line as Curve
from suites.jobs import Job, Settings, Term
from suites.published import Table
from suites.quality.intervals import interval

# Planted MAP@R by arm; the first two are too close to differ significantly.
ARMS = {"triplet/batch-hard": 0.80, "a-softmax/m4": 0.801, "softmax/linear": 0.60}
NOISE = 0.01
SEEDS = (0, 1, 2, 3, 4)
EPOCHS = 6
DIVERGED, MISSING = "diverged: loss is not finite", "needs the package that draws glyphs"


@dataclass
class Maker:
    """``images`` and ``identities``: of the embedding plots; ``dim`` names in settings only."""

    seeds: Sequence[int] = SEEDS
    images: int = 60
    identities: int = 5
    datasets: Sequence[str] = ("digits",)
    divisions: Sequence[str] = ("closed",)

    def training(
        self, study: str, arm: str, seed: int, level: float, dataset: str = "digits", **rest
    ) -> Training:
        loss, _, variant = arm.partition("/")
        job = Job(study, arm, (Term(loss, variant),), dataset, seed, Settings(EPOCHS))
        noise = np.random.default_rng([seed, *arm.encode(), *study.encode()])
        value = level + noise.normal(0, NOISE)
        epochs = [
            {"epoch": float(e), "train_loss": 2.0 * 0.7**e, **self.metrics(value, e / EPOCHS)}
            for e in range(EPOCHS + 1)
        ]
        fields = {
            "status": "ok", "epochs": epochs, "series": self.series(noise, value),
            "metrics": {k: v for k, v in epochs[-1].items() if k != "epoch"},
            "mlflow": {"store": "sqlite:///mlflow.db", "run_id": f"run{seed}{loss}"}, **rest,
        }  # fmt: skip
        if fields["status"] != "ok":
            fields |= {"epochs": epochs[:2] if fields["status"] == "worse" else [],
                       "metrics": {}, "series": {}, "mlflow": {}}  # fmt: skip
        return Training(
            run=RUN, session="s1", name=job.name, loss=loss, variant=variant, contender="eager",
            dataset=dataset, seed=seed, study=study, arm=arm, job=job.plain(),
            settings={"effective batch": 60, "verification": "10 folds, threshold of the others",
                      "flip": False, "disjoint": "train and test identities share none",
                      "optimiser": "adam", "dataset": {"images": 1797, "manifest": "ab" * 32}},
            provenance=Provenance(
                commit=COMMIT, dirty=False, machine="Example CPU, 2 cores",
                versions={"torch": "2.13.0"}, command="marginbench quality run",
                measured_at="2026-01-01T12:00:00+00:00"),
            **fields,
        )  # fmt: skip

    def metrics(self, value: float, share: float) -> dict[str, float | None]:
        reached = 0.2 + (value - 0.2) * share
        return {
            "recall_at_1": reached + 0.1, "map_at_r": reached, "seen_map_at_r": reached + 0.05,
            "verification_accuracy": reached + 0.08, "equal_error_rate": 0.5 - reached / 2,
            "tar_at_far_1_percent": reached - 0.1, "tar_at_far_0_1_percent": reached - 0.15,
            "intra_class_angle_deg": 40 - 20 * share, "inter_class_angle_deg": 50 + 20 * share,
            "embedding_spread": 0.6, "samples_per_second": 9000.0, "peak_memory_bytes": 2.0**26,
        }  # fmt: skip

    def series(self, noise: np.random.Generator, value: float) -> dict[str, list[float]]:
        kinds = np.arange(self.images) % self.identities
        angles = kinds * 2 * math.pi / self.identities
        radius = noise.normal(1, 0.1, self.images)
        far = np.logspace(-4, 0, 30)
        edges = np.linspace(0, 2, 41)
        middles = (edges[1:] + edges[:-1]) / 2
        same, other = (np.exp(-((middles - m) ** 2) / 0.05) for m in (0.6, 1.4))
        made = {"roc_far": far, "roc_tar": far ** (1 - value), "distance_edges": edges,
                "positive_distance_share": same / same.sum(),
                "negative_distance_share": other / other.sum()}  # fmt: skip
        for prefix in ("", "seen_"):
            made[f"{prefix}embedding_1"] = radius * np.cos(angles) + noise.normal(
                0, 0.1, len(kinds)
            )
            made[f"{prefix}embedding_2"] = radius * np.sin(angles) + noise.normal(
                0, 0.1, len(kinds)
            )
            made[f"{prefix}embedding_identity"] = kinds.astype(float)
        return {name: values.tolist() for name, values in made.items()}

    def trainings(self) -> Iterator[Training]:
        for dataset in self.datasets:
            for division in self.divisions:
                for arm, level in ARMS.items():
                    for seed in self.seeds:
                        yield self.training(division, arm, seed, level, dataset)
        last = self.seeds[-1]
        yield self.training("closed", "contrastive/all-pairs", 0, 0.5)
        yield self.training("closed", "contrastive/all-pairs", last, 0.5, status="worse",
                            reason=DIVERGED)  # fmt: skip
        yield self.training("closed", "center/joint", 0, 0.5, status="not_run", reason=MISSING)
        for trial in range(4):
            yield self.training("search", f"softmax/linear/trial-{trial}", 0, 0.4 + trial / 20)
        for m in (1, 2, 3, 4):
            for seed in self.seeds[:2]:
                yield self.training("claims/margin-grows", f"m{m}", seed, 0.5 + m / 20)
        yield self.training("claims/of-tomorrow", "any", 0, 0.5)

    def lines(self, trainings: Sequence[Training] | None = None) -> Iterator[Line]:
        made = list(self.trainings()) if trainings is None else list(trainings)
        yield session([one.name for one in made])
        yield from made
        yield RunEnd(run=RUN, session="s1", seconds=200)


def session(plan: Sequence[str], dirty: bool = False) -> Session:
    return Session(
        run=RUN, session="s1", command="marginbench quality run", preset="default", seed=0,
        started_at="2026-01-01T12:00:00+00:00", commit=COMMIT, dirty=dirty, identity=IDENTITY,
        information={"load": 0.4}, plan=list(plan),
    )  # fmt: skip


def write(folder: Path, lines: Sequence[Line] | Iterator[Line]) -> Path:
    """The folder, with the lines as its record file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.jsonl").write_text("".join(texts(lines)))
    return folder


def _judge(trainings) -> Verdict:
    found = {arm: interval([t.metrics["map_at_r"] for t in trainings if t.arm == arm])
             for arm in sorted({t.arm for t in trainings})}  # fmt: skip
    estimates = tuple(Estimate(f"MAP@R of {arm}", i.estimate, i.low, i.high, i.count)
                      for arm, i in found.items())  # fmt: skip
    return Verdict("reproduced", "MAP@R grows with m", estimates)


def _plots(trainings) -> list[Plot]:
    arms = sorted({t.arm for t in trainings})
    means = [interval([t.metrics["map_at_r"] for t in trainings if t.arm == a]) for a in arms]
    x = tuple(float(a[1:]) for a in arms)
    line = Curve("MAP@R", x, tuple(m.estimate for m in means), tuple(m.low for m in means),
                 tuple(m.high for m in means))  # fmt: skip
    one = trainings[0].series
    clouds = tuple(
        Curve(f"identity {k}", *(tuple(v for v, i in zip(one[name], one["embedding_identity"],
                                                         strict=True) if i == k)
                                 for name in ("embedding_1", "embedding_2")))
        for k in range(3)
    )  # fmt: skip
    steps = Curve(
        "one identity", tuple(one["distance_edges"]), tuple(one["positive_distance_share"])
    )
    return [
        Plot("map", "MAP@R against m", "lines", "m", "MAP@R", (Panel("", (line,)),), "It grows."),
        Plot("means", "Means", "points", "m", "MAP@R", (Panel("a", (line,)), Panel("b", (line,))),
             "They grow."),
        Plot("features", "Features", "scatter", "x", "y", (Panel("m1", clouds),), "Three clouds."),
        Plot("far", "Distances", "steps", "distance", "share", (Panel("m1", (steps,)),), "A bump."),
    ]  # fmt: skip


CLAIM = Claim(
    number=4, name="margin-grows", title="The margin grows with m",
    statement="Classes are farther apart with a larger m.", source="SphereFace 2017, section 3",
    criterion="MAP@R rises from each m to the next.", jobs=lambda form, seeds, device: [],
    judge=_judge, plots=_plots,
)  # fmt: skip


PUBLISHED = Table(
    "Accuracy on LFW", ("method", "accuracy"), (("A-Softmax, m = 4", "99.42"),),
    "SphereFace 2017, table 4", "V: read in the paper's text",
)  # fmt: skip


@contextmanager
def one_claim() -> Iterator[None]:
    """The claim and the table of the synthetic run, in place of the catalogue's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "known", lambda: [CLAIM])
        patch.setattr(published, "known", lambda: [PUBLISHED])
        yield


def report(folder: Path, lines: Sequence[Line] | Iterator[Line]) -> Page:
    build(write(folder, lines))
    return Page((folder / "index.html").read_text())
