"""Cases are named by ids that say everything, and a plan holds every variant that was declared."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import guide_losses
import pytest

from marginbench import catalogue
from marginbench.catalogue import UnknownName
from suites import gate, presets, selection
from suites.cases import few, plan

GOOD = "speed/softmax/linear/B512-D128-C1000/float32/cpu/drawn/s0"


@pytest.mark.parametrize("preset", presets.PRESETS.values(), ids=lambda p: p.name)
@pytest.mark.parametrize("device", selection.DEVICES)
def test_every_variant_is_in_every_suite_and_ids_come_back(preset: presets.Preset, device: str):
    cases = plan(preset, device, seed=3)
    assert len({case.id for case in cases}) == len(cases)
    for suite in ("agreement", "speed", "real"):
        planned = {(c.loss, c.variant) for c in cases if c.suite == suite}
        assert planned == {(ls.name, v.name) for ls in catalogue.losses() for v in ls.variants}
    for case in cases:
        parsed = selection.parse(case.id)
        assert parsed.id == case.id and parsed.measures == case.measures


def test_a_variant_brings_sizes_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    guide_losses.adopt("tour", tmp_path, monkeypatch)
    ids = [case.id for case in plan(presets.FAST, "cpu", 0) if case.loss == "tour"]
    assert "agreement/tour/pull/B37-D19-C23-K3-M74/float32/cpu/drawn/s0" in ids
    # Brought by it, in place of the family's.
    (timed,) = [one for one in ids if one.startswith("speed/tour/pull/")]
    assert timed == "speed/tour/pull/B32-D16-C50-K3-M64/float32/cpu/drawn/s0"
    assert [selection.parse(one).id for one in ids] == ids
    given = selection.parse(timed.replace("K3-M64", "K2-M7"))
    assert given.shape.more == (("K", 2), ("M", 7)) and given.shape["M"] == 7
    for wrong in ("K3", "M64-K3", "K3-M64-L1", "K3-M0"):
        with pytest.raises(selection.BadCase, match="a size like B512-D128-C10000-K3-M1024"):
            selection.parse(timed.replace("K3-M64", wrong))
    assert [case.shape.of(("M", "K", "D")) for case in gate.plan("smoke", "cpu")
            if case.loss == "tour"] == [(64, 3, 16)]  # fmt: skip


def test_what_takes_seconds_is_kept_to_what_a_preset_affords():
    """Else a run's time is spent before anything is timed: it grows with every loss."""
    for preset in (presets.FAST, presets.DEFAULT):
        made = plan(preset, "cpu", seed=0)
        assert Counter(case.family for case in made if case.compile) == {
            "head": 1, "batch": 1, "rows": 1,
        }  # fmt: skip
        sizes = Counter((c.loss, c.variant) for c in made if c.suite == "speed")
        assert sum(count > 1 for count in sizes.values()) <= 3
        for case in made:
            first = catalogue.get(case.loss).variants[0].name
            if case.suite == "agreement":
                assert case.interpret == (case.data == "drawn" and case.variant == first)
    thorough = [case for case in plan(presets.RIGOROUS, "cpu", seed=0) if case.suite == "speed"]
    assert all(case.compile for case in thorough)
    swept = {(c.loss, c.variant) for c in thorough if c.shape != thorough[0].shape}
    assert swept >= {(one.name, one.variants[0].name) for one in catalogue.losses()}


def test_a_gpu_affords_every_size():
    sizes = Counter((c.loss, c.variant) for c in plan(presets.DEFAULT, "cuda", seed=0)
                    if c.suite == "speed")  # fmt: skip
    for loss in catalogue.losses():
        for variant in loss.variants:
            assert (sizes[loss.name, variant.name] > 2) == variant.sweep


def test_the_few_are_those_with_most_to_compare():
    assert {variant.family: variant.name for variant in few()}["head"] == "linear"


def test_a_case_is_compiled_when_it_is_asked_for_by_name():
    assert selection.parse(GOOD).compile


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("speed", "sped", "did you mean 'speed'"),
        ("softmax", "sofmax", "did you mean 'softmax'"),
        ("linear", "liner", "did you mean 'linear'"),
        ("B512", "B0", "B512-D128-C10000"),
        ("B512", "512", "B512-D128-C10000"),
        ("float32", "float3", "did you mean 'float32'"),
        ("cpu", "gpu", "did you mean 'cpu'"),
        ("drawn", "lfw", "one of drawn, digits"),
        ("/s0", "/0", "a seed like s0"),
        ("/s0", "", "SUITE/LOSS/VARIANT"),
    ],
)
def test_a_bad_id_says_which_part(old: str, new: str, says: str):
    with pytest.raises((selection.BadCase, UnknownName), match="--case") as caught:
        selection.parse(GOOD.replace(old, new))
    assert says in str(caught.value)


def test_selection_keeps_the_named_suites_and_losses():
    cases = selection.select(presets.FAST, "cpu", 0, ["speed"], ["softmax"])
    assert cases and {(c.suite, c.loss) for c in cases} == {("speed", "softmax")}
    assert len(selection.select(presets.FAST, "cpu", 0, [], [])) == len(
        plan(presets.FAST, "cpu", 0)
    )
    with pytest.raises(UnknownName, match="--loss: "):
        selection.select(presets.FAST, "cpu", 0, [], ["softmx"])
