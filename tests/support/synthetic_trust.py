"""Records of the gate's trial that were never measured: log-ratios of groups from a normal law, put
through the gate's own rule as a process would."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.gate.decision import Rule, Sample, judge

CASES = ("softmax/linear.v1/eager/B64-D64-C1000/float32/cpu",
         "triplet/semi-hard.v1/eager/B128-D64-C32/float32/cpu")  # fmt: skip
# Trials by load and fraction put in.
NULL = {("quiet", 0.0): 10, ("loaded", 0.0): 10}
SLOWED = {("quiet", 0.02): 4, ("quiet", 0.05): 2, ("loaded", 0.03): 4}
PACE_S = 0.13
BASE_S = 1e-3


@dataclass(frozen=True)
class Noise:
    """Of log-ratios: ``bias`` is everywhere the same, ``between`` the standard deviation of
    processes about it, ``within`` that of groups in a process."""

    bias: float = 0.0
    between: float = 0.0
    within: float = 0.01


class Maker:
    """Lines of a record; ``counts``: trials by load and fraction put in."""

    def __init__(self, counts: dict[tuple[str, float], int], noise: Noise | None = None,
                 seed: int = 0) -> None:  # fmt: skip
        self.counts, self.noise = counts, noise or Noise()
        self.random = np.random.default_rng(seed)
        self.rule = Rule()

    def lines(self) -> Iterator[dict]:
        yield {
            "kind": "session", "command": "make gate-trust", "started_at": "2026-01-01T00:00:00Z",
            "seed": 0, "commit": "0" * 40, "dirty": False, "code": "1" * 40,
            "identity": {"cpu": "Example CPU", "cores": 2, "versions": {"torch": "2.13.0"}},
            "information": {"load_average": [0.1, 0.1, 0.1]}, "rule": asdict(self.rule),
            "cases": list(CASES), "unit_ns": 100,
        }  # fmt: skip
        for (load, fraction), count in self.counts.items():
            for number in range(count):
                yield from self.trial(load, fraction, f"{load}/{fraction:g}/{number}")

    def trial(self, load: str, fraction: float, name: str) -> Iterator[dict]:
        screens = [self.sample("screen", fraction) for _ in CASES]
        again = [self.sample("confirmation", fraction)
                 if one.finding in ("SLOWER", "FASTER") else None for one in screens]  # fmt: skip
        judged = judge(screens, again, len(CASES))
        verdicts = []
        for case, screen, confirmation, one in zip(CASES, screens, again, judged, strict=True):
            samples = [sample for sample in (screen, confirmation) if sample is not None]
            for sample in samples:
                yield self.legs(name, case, sample)
            last, found = samples[-1], one.ratio
            assert found is not None
            detectable = last.detectable(len(last.groups) * PACE_S)
            verdicts.append({
                "case": case, "verdict": one.verdict, "reason": one.reason, "ratio": found.estimate,
                "low": found.low, "high": found.high, "p_value": one.p_value, "base_s": BASE_S,
                "candidate_s": BASE_S, "groups": len(last.groups), "shared": True,
                "seconds": sum(len(sample.groups) for sample in samples) * PACE_S,
                "detectable": detectable if math.isfinite(detectable) else None,
            })  # fmt: skip
        yield {"kind": "trial", "trial": name, "load": load, "fraction": fraction, "seed": 1,
               "at": "2026-01-01T00:00:00Z", "seconds": 9.0, "load_average": [0.1, 0.2],
               "verdicts": verdicts}  # fmt: skip

    def sample(self, stage, fraction: float) -> Sample:
        sample = Sample(self.rule, stage, len(CASES))
        middle = math.log1p(fraction) + self.noise.bias
        middle += self.random.normal(0, self.noise.between) if self.noise.between else 0.0
        while not sample.settled and len(sample.groups) * PACE_S < self.rule.stage_s:
            sample.add(float(self.random.normal(middle, self.noise.within)))
        return sample

    def legs(self, trial: str, case: str, sample: Sample) -> dict:
        """One block a group, so that its log-ratio is the group's but for rounding (5e-5)."""
        groups = []
        for value in sample.groups:
            a, b = BASE_S * 1e7 * np.exp(self.random.normal(0, 0.02, 2))
            groups.append([[round(a), round(b), *(round(leg * math.exp(value)) for leg in (a, b))]])
        return {
            "kind": "legs", "trial": trial, "case": case, "stage": sample.stage, "calls": 1,
            "seconds": round(len(groups) * PACE_S, 3), "retaken": 0, "interrupted": 0,
            "base_first": ["1"] * len(groups), "legs": groups,
        }  # fmt: skip


def write(folder: Path, maker: Maker) -> Path:
    """The record in a folder; returns the folder."""
    text = "".join(json.dumps(line) + "\n" for line in maker.lines())
    (folder / "trust.jsonl").write_text(text)
    return folder
