"""``marginbench history``: planted steps are found, noise is left alone, machines are not mixed."""

from __future__ import annotations

import lzma
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from page_reader import Page
from synthetic_run import IDENTITY, Maker, write

from benchmarks.records import folders, kinds
from benchmarks.records.loading import CaseEnd, Line, RunEnd
from commands.root import cli
from reports import reading
from reports.history import commits, gathering
from suites.schema import CaseKey

CASE = CaseKey(
    suite="speed", loss="softmax", variant="linear", variant_version=1, family="head", batch=64,
    dim=8, classes=10, dtype="float32", device="cpu", data="drawn", seed=0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _needs_ruptures(request: pytest.FixtureRequest):
    if "ruptures" in request.keywords:
        pytest.importorskip("ruptures", reason="the extra history is not installed: make test")


def name_of(number: int) -> str:
    return f"{number:02d}" + "c" * 38


def store(
    folder: Path, number: int, time_s: float, peak: float = 4096.0, *, commit: str = "",
    identity: dict | None = None, dirty: bool = False, error: float = 1e-7,
) -> Path:  # fmt: skip
    """A run of one case at the commit of that number, measured in the minute of it."""
    maker = Maker(identity=identity or IDENTITY, dirty=dirty, session=f"s{number}")
    made = replace(
        maker.provenance(CASE.id), commit=commit or name_of(number),
        measured_at=f"2026-01-01T00:{number:02d}:00Z",
    )  # fmt: skip
    rows = [
        maker.result(CASE, "eager", "both_time_s", of={"instrument": "interleaved"}, value=time_s),
        maker.result(CASE, "eager", "peak_bytes", value=peak),
        *(
            maker.result(CASE, "eager", "relative_error", of={"quantity": q}, value=error * share)
            for q, share in (("forward", 0.5), ("embeddings", 1.0))
        ),
    ]
    start = maker.start([CASE.id])
    rows = [replace(row, provenance=made) for row in rows]
    end = CaseEnd(run=start.run, session=maker.session, case=CASE.id, seconds=1)
    last = RunEnd(run=start.run, session=maker.session, seconds=1)
    lines: list[Line] = [start, *rows, end, last]
    own = [replace(line, run=f"run{number}") for line in lines]
    return write(folder / f"run{number}", own)


def files(folders: list[Path]) -> list[Path]:
    return [file for file, _ in reading.stored(folders)]


def call(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(cli, ["history", *arguments])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def flat(seed: int, length: int = 40, sd: float = 0.03) -> np.ndarray:
    return 1e-3 * np.exp(np.random.default_rng(seed).normal(0, sd, length))


@pytest.mark.ruptures
def test_a_planted_step_is_found_within_one_commit(seed: int):
    """A step of 20% (six times the noise) in 40 commits, at any place but the ends, either way.
    Over 300 series each was found within one commit; one of 20 may miss by chance."""
    from reports.history.changes import changes

    draw = np.random.default_rng(seed)
    missed = 0
    for trial in range(20):
        at, factor = int(draw.integers(3, 37)), (1.2, 1 / 1.2)[trial % 2]
        values = flat(seed + trial)
        values[at:] *= factor
        found = changes(values.tolist(), "timed")
        nearest = min(found, key=lambda change: abs(change.at - at), default=None)
        good = nearest and abs(nearest.at - at) <= 1
        missed += not (good and nearest.ratio == pytest.approx(factor, rel=0.08))
    assert missed <= 1


@pytest.mark.ruptures
def test_flat_noise_is_seldom_cut():
    """100 seeds of 40 commits with 3% of noise: 1 is cut, and of 600 seeds 5 (0.8%). With
    Student's t of 4 degrees of freedom, which has outliers, 1.0% of 600."""
    from reports.history.changes import changes

    assert sum(bool(changes(flat(seed).tolist(), "timed")) for seed in range(100)) <= 3
    assert changes([1e-3] * 40, "timed") == []


@pytest.mark.ruptures
@pytest.mark.parametrize(
    ("values", "kind", "at"),
    [
        ([4096, 4096, 4097], "exact", [2]),
        ([4096, 4096], "exact", []),
        ([10**9, 10**9 + 1], "exact", [1]),
        ([0, 0, 8, 8, 0], "exact", [2, 4]),
        ([1e-7] * 5 + [2e-7] * 5, "error", [5]),
        ([0, 0, 0, 0, 1, 1, 1], "error", [4]),
        # A lone commit is an outlier until its successor agrees with it.
        ([1e-3] * 9 + [2e-3], "timed", []),
        ([1e-3] * 9 + [2e-3] * 2, "timed", [9]),
        # Steps below what two processes differ by say nothing of the code.
        ([1e-3] * 5 + [1.02e-3] * 5, "timed", []),
        ([1e-3], "timed", []),
    ],
)
def test_a_change_is_judged_by_the_kind_of_its_metric(values: list, kind: str, at: list[int]):
    from reports.history.changes import changes

    assert [change.at for change in changes(values, kind)] == at


def test_machines_and_versions_never_share_a_timed_series(tmp_path: Path):
    other = {**IDENTITY, "cpu": "another"}
    newer = {**IDENTITY, "torch": "2.14.0"}
    for number, identity in enumerate((IDENTITY, other, IDENTITY, newer, other)):
        store(tmp_path, number, 1e-3, identity=identity)
    gathered = gathering.gather(files([tmp_path]))
    series = gathered.series([name_of(n) for n in range(5)])
    timed = [one for one in series if one.key.metric == "both_time_s"]
    assert sorted([c[:2] for c in one.commits] for one in timed) == [
        ["00", "02"], ["01", "04"], ["03"],
    ]  # fmt: skip
    (peak,) = (one for one in series if one.key.metric == "peak_bytes")
    assert len(peak.commits) == 5 and peak.key.machine == gathering.ANY


def test_a_commit_measured_twice_is_one_point_and_an_error_is_its_largest(tmp_path: Path):
    for number, time_s in enumerate((1e-3, 2e-3, 9e-3)):
        store(tmp_path, number, time_s, commit="a" * 40)
    gathered = gathering.gather(files([tmp_path]))
    found = {one.key.metric: one.values for one in gathered.series(["a" * 40])}
    assert found == {"both_time_s": (2e-3,), "peak_bytes": (4096.0,), "relative_error": (1e-7,)}


def test_a_published_run_is_read_and_its_copy_is_not(tmp_path: Path):
    plain = store(tmp_path / "out", 1, 1e-3) / "records.jsonl"
    for name in ("published/m", "published/site/data/m"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "records.jsonl.xz").write_bytes(lzma.compress(plain.read_bytes()))
    assert files([tmp_path / "published"]) == [tmp_path / "published/m/records.jsonl.xz"]
    # Beside the file that it was made from, a compressed one is the same run.
    plain.with_suffix(".jsonl.xz").write_bytes(lzma.compress(plain.read_bytes(), preset=0))
    assert files([tmp_path / "out"]) == [plain]
    found = gathering.gather(files([tmp_path / "published"]))
    assert list(found.measured_at) == [name_of(1)] and not found.refused
    # Where it was measured and where it is published: once.
    assert files([tmp_path / "out", tmp_path / "published"]) == [plain]
    # A file that names no run is kept as it is: each is reported where it is read.
    damaged = [tmp_path / "damaged" / name / "records.jsonl" for name in "ab"]
    for path in damaged:
        path.parent.mkdir(parents=True)
        path.write_text('{"run": ["no name"]}')
    assert files([tmp_path / "damaged"]) == damaged


def test_uncommitted_changes_belong_to_no_commit(tmp_path: Path):
    store(tmp_path, 1, 1e-3)
    dirty = store(tmp_path, 2, 5e-3, dirty=True)
    gathered = gathering.gather(files([tmp_path]))
    assert list(gathered.measured_at) == [name_of(1)]
    assert gathered.dirty == [dirty / "records.jsonl"]


def test_commits_stand_in_gits_order_and_strangers_by_their_time():
    at = {"new": "2026-01-01", "old": "2026-01-03", "gone": "2026-01-02", "last": "2026-02-01"}
    known = ["root", "old", "unmeasured", "new"]
    assert commits.ordered(at, known) == ["gone", "old", "new", "last"]
    assert commits.ordered(at, []) == ["new", "gone", "old", "last"]


def test_the_log_has_no_parent_after_its_child(tmp_path: Path):
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout.strip()

    assert commits.log(tmp_path) == []
    git("init", "-q")
    made = []
    for number in range(3):
        git("commit", "-q", "--allow-empty", "-m", str(number))
        made.append(git("rev-parse", "HEAD"))
    git("checkout", "-q", "-b", "side", made[1])
    git("commit", "-q", "--allow-empty", "-m", "side")
    log = commits.log(tmp_path)
    assert [commit for commit in log if commit in made] == made and len(log) == 4


@pytest.mark.ruptures
def test_the_page_and_the_table_name_the_commits_around_the_change(tmp_path: Path):
    runs = tmp_path / "runs"
    noise = flat(0, 20, 0.01) / 1e-3
    for number in range(20):
        slow = 1.5 if number >= 12 else 1.0
        store(runs, number, 2e-3 * slow * noise[number], peak=8192 if number >= 17 else 4096)
    damaged = runs / "cut"
    damaged.mkdir()
    (damaged / "records.jsonl").write_text('{"schema_version": 1')
    code, output = call(str(runs), "--out", str(tmp_path / "out"))
    assert code == 0, output
    rows = [[c.strip() for c in line.split("│")] for line in output.splitlines() if "eager" in line]
    found = {row[1]: row for row in rows}
    assert set(found) == {"both_time_s", "peak_bytes"} and len(rows) == 2
    for metric, before, after, ratio in (
        ("both_time_s", 11, 12, 1.5), ("peak_bytes", 16, 17, 2.0)
    ):  # fmt: skip
        row = found[metric]
        assert row[2:6] == [CASE.id, "eager", name_of(before)[:12], name_of(after)[:12]]
        assert float(row[8].removesuffix("×")) == pytest.approx(ratio, rel=0.03)
    assert "not read: " in output and "cut" in output
    page = Page((tmp_path / "out" / "index.html").read_text())
    assert name_of(12)[:12] in page.seen and "Not read: " in page.seen
    assert page.named("script") == [{}] and page.named("svg")
    figures = sorted((tmp_path / "out" / "figures").glob("*.svg"))
    assert [figure.stem for figure in figures] == [
        f"{metric}-softmax-linear-v1" for metric in ("both-time-s", "peak-bytes", "relative-error")
    ]
    for figure in figures:
        ElementTree.fromstring(figure.read_text())
    (tmp_path / "out" / folders.MARKER).unlink()
    assert folders.found(tmp_path / "out") is kinds.HISTORY, "as one made before there were markers"
    assert len(kinds.HISTORY.listed(tmp_path / "out")) == len(figures) + 2


@pytest.mark.ruptures
@pytest.mark.parametrize(("known", "warning"), [(0, "3 commits not"), (2, "1 commit not"), (3, "")])
def test_an_order_that_git_does_not_know_is_called_a_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: int, warning: str
):
    """A shallow clone knows few commits, and without git none is known."""
    for number in range(3):
        store(tmp_path / "runs", number, 1e-3)
    monkeypatch.setattr(commits, "log", lambda root: [name_of(n) for n in range(known)])
    code, output = call(str(tmp_path / "runs"), "--out", str(tmp_path / "out"))
    seen = Page((tmp_path / "out" / "index.html").read_text()).seen
    assert code == 0
    for text in (output, seen):
        assert ("in this clone's history" in text) is bool(warning) and warning in text


@pytest.mark.ruptures
def test_one_commit_is_no_history_and_no_failure(tmp_path: Path):
    store(tmp_path, 1, 1e-3)
    code, output = call(str(tmp_path), "--out", str(tmp_path / "out"))
    assert code == 0 and "nothing to draw yet" in output


@pytest.mark.ruptures
@pytest.mark.parametrize("damaged", [False, True])
def test_nothing_to_read_is_3(tmp_path: Path, damaged: bool):
    if damaged:
        (tmp_path / "records.jsonl").write_text("hello\n")
    code, output = call(str(tmp_path), "--out", str(tmp_path / "out"))
    assert code == 3 and "error: " in output


def test_a_folder_that_is_not_there_is_2(tmp_path: Path):
    assert call(str(tmp_path / "missing"))[0] == 2


def test_without_ruptures_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, output = call()
    assert code == 3 and "make history" in output and "'.[history]'" in output
