"""The sanitizer finds what is planted in copies of real kernels, names it, and is silent else."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.sanitizer import checked, far, jobs, sanitize
from marginbench import catalogue
from marginbench.shared import launching, pairwise

pytestmark = pytest.mark.skipif(not launching.INTERPRETED, reason="compiled kernels run unchecked")

KERNELS = Path(launching.__file__).parents[1]
NORMS = "shared/pairwise_launch.py"
WIDE = "row_M.to(tl.int64) * x_stride"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Imports a copy of the kernels with one edit, under another name, and returns a module."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(path: str = NORMS, old: str = "", new: str = ""):
        name = f"copy_{len(list(tmp_path.iterdir()))}_{abs(hash((tmp_path, old, new)))}"
        tree = tmp_path / name
        shutil.copytree(KERNELS, tree, ignore=shutil.ignore_patterns("__pycache__"))
        source = (tree / path).read_text()
        assert not old or source.count(old) == 1, f"{path} holds {old!r} {source.count(old)} times"
        (tree / path).write_text(source.replace(old, new))
        importlib.invalidate_caches()
        return importlib.import_module(f"{name}.{path.removesuffix('.py').replace('/', '.')}")

    yield make
    for name in [n for n in sys.modules if n.startswith("copy_")]:
        del sys.modules[name]


def norms(module) -> str:
    """What the check says of the norms of 17 rows (a tile is 16), which lie apart."""
    x = torch.zeros(34, 8)[::2, :5]
    try:
        with checked.checked():
            module.squared_norms(x)
    except checked.OutOfBounds as error:
        return str(error)
    return ""


def far_norms(module, rows: int = 4_300_000) -> str:
    """The same of the last program over rows x 512 elements."""
    launching_copy = sys.modules[module.launch.__module__]
    with launching_copy.recorded() as launches:
        module.squared_norms(far.lazily((rows, 512), torch.float32))
    try:
        with checked.checked():
            far.run_program(launches[0], launches[0].programs - 1)
    except checked.OutOfBounds as error:
        return str(error)
    return ""


def test_a_copy_is_clean(copied):
    module = copied()
    assert norms(module) == ""
    assert far_norms(module) == ""


def test_an_off_by_one_mask_is_found(copied):
    said = norms(copied(old="    mask_M = row_M < B\n", new="    mask_M = row_M <= B\n"))
    assert "_squared_norms_kernel: store through norm_ptr, 1 lanes up to 1 elements after" in said
    assert "load through x_ptr, 5 lanes" in said
    assert re.search(r"pairwise_launch\.py:\d+: tl\.store\(norm_ptr", said)


def test_an_unmasked_tail_is_found(copied):
    old = "tl.store(norm_ptr + row_M, tl.sum(square_MK, axis=1), mask=mask_M)"
    said = norms(copied(old=old, new=old.replace(", mask=mask_M", "")))
    assert "store through norm_ptr, 15 lanes up to 15 elements after its last (program 1" in said


def test_a_32_bit_offset_is_found_far_out(copied):
    module = copied(old=WIDE, new="row_M * x_stride")
    assert norms(module) == ""
    said = far_norms(module)
    assert "load through x_ptr" in said and "before its first" in said


def test_an_output_of_whole_tiles_alone_is_found(copied):
    """Allocated by floor division, under a grid that is rounded up."""
    old = "norm_B = torch.empty(batch,"
    said = norms(copied(old=old, new="norm_B = torch.empty(batch // ROWS * ROWS,"))
    assert "store through norm_ptr, 1 lanes up to 1 elements after its last" in said


def test_an_atomic_outside_is_found(copied):
    old = "tl.store(norm_ptr + row_M, tl.sum(square_MK, axis=1), mask=mask_M)"
    new = "tl.atomic_add(norm_ptr + row_M + 1, tl.sum(square_MK, axis=1), mask=mask_M)"
    assert "atomic through norm_ptr, 1 lanes up to 1 elements after its last" in norms(
        copied(old=old, new=new)
    )


def test_what_was_found_before_a_launch_is_given_up_is_reported(copied):
    module = copied(old="    mask_M = row_M < B\n", new="    mask_M = row_M <= B\n")
    with checked.checked() as watch:
        watch.patience = 3  # either program loads once and stores once
        with pytest.raises(checked.OutOfBounds, match="load through x_ptr, 5 lanes"):
            module.squared_norms(torch.zeros(34, 8)[::2, :5])


def test_the_gap_between_rows_belongs_to_nobody(copied):
    """Columns of a wider matrix: what lies beside them is within the extent."""
    old = "mask_MK = mask_M[:, None] & (start + depth_K < D)[None, :]"
    said = norms(copied(old=old, new=old.replace("< D", "<= D")))
    # Sixteen of the lanes lie between two rows, one behind the last.
    assert "load through x_ptr, 17 lanes" in said


def test_a_lane_that_strays_into_another_tensor_is_found(copied):
    """Whatever lies there: each lane must hit the argument that its pointer came from."""
    module = copied(old=WIDE, new=WIDE.replace("x_stride", "x_stride + 10 * x_stride"))
    memory = torch.zeros(64, 8)
    with checked.checked() as watch, pytest.raises(checked.OutOfBounds):
        module.squared_norms(memory[:17])
    assert [finding.argument for finding in watch.findings] == ["x_ptr"]


def test_a_kernel_that_is_never_run_is_a_failure(tmp_path):
    """All lines that reach memory are known from the source, whether they run or not."""
    (tmp_path / "one.py").write_text(
        "@triton.jit\ndef f(p):\n    tl.store(p, tl.load(p))\n\ndef g(p):\n    p.store(1)\n"
    )
    known = sanitize.sites(tmp_path)
    assert [(site.function, site.first) for site in known] == [("f", 3), ("f", 3)]
    everything = {(site.path, site.function) for site in sanitize.sites()}
    assert (str(KERNELS / NORMS), "_squared_norms_kernel") in everything
    rows = sanitize.rows(sanitize.Tally(), sanitize.sites())
    assert {row.verdict for row in rows} == {"never ran"}


def test_a_sample_has_every_variant_and_every_far_shape():
    """A variant that no job of the sample runs would never be searched before it lands."""
    every, sample = jobs.jobs(), jobs.jobs(sample=True)
    assert {job.name for job in sample} == {job.name for job in every}
    for family in far.SHAPES:
        of = [job for job in every if (job.kind, job.name) == ("far", family)]
        some = [job for job in sample if (job.kind, job.name) == ("far", family)]
        assert {job.shape for job in some} == {job.shape for job in of}
        assert sorted(n for job in some for n in job.launching) == sorted(of[0].launching)


@pytest.mark.parametrize("lacking", ["jobs", "sites"])
def test_with_nothing_to_check_nothing_is_clean(lacking: str, monkeypatch):
    only = {"jobs": "no such job", "sites": "ragged center/term/triton float32"}[lacking]
    if lacking == "sites":
        monkeypatch.setattr(sanitize, "sites", list)
    tally, _, code = sanitize.check(lambda *_: None, only=only)
    assert code == sanitize.COULD_NOT_RUN
    assert [problem.startswith("nothing was checked") for problem in tally.problems] == [True]


def test_a_far_argument_that_is_never_reached_beyond_is_a_failure():
    """A launch that was given more than 2^31 elements and stayed below has proven nothing."""
    site = next(s for s in sanitize.sites() if s.function == "_squared_norms_kernel")
    known = [s for s in sanitize.sites() if s.function == site.function]
    argument = (site.path, site.function, "x_ptr")
    reached = sanitize.Tally(large={argument}, farthest={argument: far.FAR})
    for line in known:
        reached.lanes[line.path, line.first] += 1
    (row,) = sanitize.rows(reached, known)
    assert (row.beyond, row.verdict) == ((), "clean; not reached past 2^31: x_ptr")
    (row,) = sanitize.rows(reached, known, sample=True)
    assert row.verdict == "clean"  # a sample's far shapes have only some of the variants
    reached.farthest[argument] += 1
    (row,) = sanitize.rows(reached, known)
    assert (row.beyond, row.verdict) == (("x_ptr",), "clean")


def test_near_rows_that_lie_far_apart_are_read_beyond():
    """The few far rows are pairs of neighbours: with their norms, which a launch that isn't carried
    out would have written, a tile finds them near and reads the embeddings again."""
    shape = next(s for s in far.SHAPES["batch"] if far.sparse(s))
    loss = catalogue.get("triplet")
    found = far.launches(
        loss, loss.variant("batch-hard"), "triton", shape, "float32", far.PROCESSORS[1]
    )
    hardest = next(launch for launch in found if launch.kernel.fn.__name__ == "_hardest_kernel")
    source = Path(pairwise.__file__).read_text().splitlines()
    column = 1 + next(n for n, line in enumerate(source) if "tl.load(right + column_K" in line)
    for norms_known in (False, True):
        if norms_known:
            far.fill_norms(found)
        with checked.checked() as watch:
            far.run_program(hardest, hardest.programs - 1)
        beyond = [name for (*_, name), at in watch.farthest.items() if at > far.FAR]
        # Equal distances are compared exactly, so embeddings are read beyond either way; only a
        # near pair's column is read as a row of its own.
        assert beyond == ["x_ptr"]
        assert ((pairwise.__file__, column) in watch.lanes) == norms_known


def test_an_interpreter_that_is_built_otherwise_is_refused(monkeypatch):
    monkeypatch.delattr("triton.runtime.interpreter.GridExecutor._init_args_hst")
    with pytest.raises(checked.CannotCheck, match="_init_args_hst"), checked.checked():
        pass


@pytest.mark.parametrize("shape, stride", [((3, 4), (8, 1)), ((4, 3), (1, 8)), ((5,), (2,))])
def test_the_elements_of_a_view_are_distinguished_from_its_gaps(shape, stride):
    tensor = torch.zeros(64).as_strided(shape, stride)
    view = checked.View("x", tensor)
    own = {
        4 * (i * stride[0] + j * (stride[1] if len(stride) > 1 else 0))
        for i in range(shape[0])
        for j in range(shape[1] if len(shape) > 1 else 1)
    }
    offsets = np.arange(-8, 256, dtype=np.int64)
    assert {int(o) for o in offsets[view.inside(offsets, 4)]} == own
