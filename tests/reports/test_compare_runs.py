"""``marginbench compare`` on runs: times by processes, exact figures exactly, a page and a code."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from compared_runs import VERSIONS, call, changed, is_timed, lines, slowed, timed_by
from synthetic_run import IDENTITY, texts, unprotected, write

import marginbench
from benchmarks.records import folders, kinds
from benchmarks.records.loading import Result
from reports.compare import sides
from reports.compare.runs import load


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("base"), lines())


def test_a_run_that_is_four_times_as_slow_is_1_and_stands_first(base: Path, tmp_path: Path):
    other = write(tmp_path / "b", slowed(lines(1), 4.0, "eager"))
    code, output, page = call(tmp_path / "page", base, other)
    assert code == 1 and page is not None
    assert "times: " in output and "slower" in output
    rows = [line for line in (tmp_path / "page/report.md").read_text().splitlines()
            if line.startswith("| `speed/") or line.startswith("| `real/")]  # fmt: skip
    eager = [row for row in rows if "| eager |" in row]
    assert rows[: len(eager)] == eager and all("| **slower** |" in row for row in eager)
    assert "3.1%" in page.seen and "Provenance" in page.seen
    assert f"marginbench compare {base} {other}" in page.seen
    (tmp_path / "page" / folders.MARKER).unlink()
    assert folders.found(tmp_path / "page") is kinds.COMPARISON, "as one from before markers"
    assert {"index.html", "figures/times.svg"} <= kinds.COMPARISON.listed(tmp_path / "page")


def test_another_run_of_the_same_code_is_inconclusive_not_the_same(base: Path, tmp_path: Path):
    """Two processes can't show that nothing changed; exact figures can."""
    code, output, page = call(tmp_path / "page", base, write(tmp_path / "b", lines(1)))
    assert code == 3 and "inconclusive" in output and page is not None
    assert "exact figures: " in output and " same" in output
    code, output, _ = call(tmp_path / "page", base, tmp_path / "b", "--smallest-effect", "40%")
    assert "equivalent" in output and "inconclusive" not in output


def test_a_byte_more_is_a_regression_and_a_byte_less_is_none(base: Path, tmp_path: Path):
    for factor, code, state in ((1, 1, "worse"), (-1, 0, "better")):
        run = [
            changed(one, value=one.value + factor)
            if isinstance(one, Result) and one.metric == "peak_bytes" and one.value else one
            for one in lines(1)
        ]  # fmt: skip
        other = write(tmp_path / state, run)
        found, output, page = call(tmp_path / "page", base, other, "--smallest-effect", "40%")
        assert found == code and state in output and page is not None
        assert "exact figures: " in output


def test_times_of_another_machine_are_refused_and_exact_figures_are_not(base: Path, tmp_path: Path):
    identity = {**IDENTITY, "cpu": "Another CPU, 64 cores"}
    other = write(tmp_path / "b", slowed(lines(1, identity=identity), 3.0))
    code, output, page = call(tmp_path / "page", base, other)
    assert code == 3 and page is not None and "slower" not in page.seen.replace("← faster", "")
    for text in (output, page.seen):
        assert "the machines differ: cpu: 'Example CPU, 2 cores'" in text
        assert "--across-machines" in text
    assert "Exact figures" in page.seen
    code, output, page = call(tmp_path / "page", base, other, "--across-machines")
    assert code == 1 and page is not None and "slower" in output
    assert "a ratio reflects the machines as well as the code" in page.seen


def test_a_machine_that_drifted_is_reported_and_no_regression(base: Path, tmp_path: Path):
    """Everything 30% slower, and many times void: the table still shows what moved most."""
    drifted = [timed_by(one, 1.3) if is_timed(one) else one for one in lines(1)]
    void = [
        changed(one, value=one.rounds[0], rounds=one.rounds[:1])
        if is_timed(one) and one.contender == "compiled"
        else one
        for one in drifted
    ]
    code, output, page = call(tmp_path / "page", base, write(tmp_path / "b", void))
    assert code == 3 and page is not None and "most first" in output
    for text in (" ".join(output.split()), page.seen):
        assert "times as long as" in text and "one run a side cannot separate the two" in text
    assert "Dashed: the median shift of all times" in page.seen
    assert "the machine may be the cause" in page.seen


def test_two_contenders_inside_one_run(base: Path, tmp_path: Path):
    code, output, page = call(tmp_path / "page", base, "--contender", "eager",
                              "--contender", "compiled")  # fmt: skip
    assert code == 0 and page is not None
    assert "faster" in output and "compiled against eager" in output
    # Planted: compiled is 1.9 times as fast, so it takes 0.53 of the time.
    ratios = [float(line.split("|")[5]) for line in (tmp_path / "page/report.md").read_text()
              .splitlines() if line.startswith("| `speed/") and "| faster" in line]  # fmt: skip
    assert ratios and ratios == pytest.approx([1 / 1.9] * len(ratios), rel=0.1)
    assert call(tmp_path / "page", base)[0] == 2, "one run alone is compared with nothing"


def test_one_contender_of_two_runs(base: Path, tmp_path: Path):
    other = write(tmp_path / "b", slowed(lines(1), 2.0, "compiled"))
    code, output, _ = call(tmp_path / "page", base, other, "--contender", "eager")
    assert code == 3 and "│ slower" not in output and "compiled" not in output
    assert " slower" not in output.split("times: ")[1]
    assert call(tmp_path / "page", base, other, "--contender", "compiled")[0] == 1


def test_several_candidates_and_several_processes(base: Path, tmp_path: Path):
    others = [write(tmp_path / str(i), lines(i)) for i in (1, 2)]
    code, _, page = call(tmp_path / "page", base, *others)
    assert page is not None and code == 3
    assert {"answer", "times-2", "exact-1", "exact-2", "provenance"} <= {
        section["id"] for section in page.named("section")
    }
    code, output, _ = call(tmp_path / "page", "--base", base, "--base", others[0],
                           "--candidate", others[1])  # fmt: skip
    assert "inconclusive" in output or "equivalent" in output


def test_a_run_is_not_compared_with_itself(base: Path, tmp_path: Path):
    code, output, page = call(tmp_path / "page", base, base)
    assert code == 3 and "expected another process" in output and page is None


def test_a_damaged_run_is_3_and_says_the_line(base: Path, tmp_path: Path):
    text = (base / "records.jsonl").read_text()
    (tmp_path / "records.jsonl").write_text(text[:-40])
    code, output, page = call(tmp_path / "page", base, tmp_path)
    assert code == 3 and "cut off" in output and page is None


def test_hostile_text_stays_text(base: Path, tmp_path: Path):
    hostile = '<script>alert(1)</script>"><img src=http://evil.example/x>'
    identity = {**IDENTITY, "gpu": hostile}
    code, _, page = call(tmp_path / "page", base,
                         write(tmp_path / "b", lines(1, identity=identity)))  # fmt: skip
    assert code == 3 and page is not None
    assert page.named("script") == [{}] and not page.named("img") and hostile in page.seen


def test_the_page_says_which_records_are_protected(tmp_path: Path):
    base = write(tmp_path / "a", lines()) / "records.jsonl"
    base.write_text(unprotected(base.read_text()))
    _, _, page = call(tmp_path / "page", base.parent, write(tmp_path / "b", lines(1)))
    assert page is not None and "not protected" in page.seen and "by digests" in page.seen


def test_words_choose_stored_runs(tmp_path: Path):
    identity = {"cpu": "Example CPU", "gpu": "Some GPU", "versions": VERSIONS}
    run = write(tmp_path / "store/a", lines(identity=identity)) / "records.jsonl"
    packed = tmp_path / "store/b/records.jsonl.xz"
    packed.parent.mkdir()
    newer = json.loads(json.dumps(identity)) | {"versions": {**VERSIONS, "torch": "2.14.0"}}
    other = texts(changed(line, run="another") for line in lines(1, identity=newer))
    packed.write_bytes(lzma.compress("".join(other).encode()))
    copy = tmp_path / "store/published/records.jsonl.xz"
    copy.parent.mkdir()
    copy.write_bytes(lzma.compress(run.read_bytes()))
    (tmp_path / "store/c").mkdir()
    (tmp_path / "store/c/records.jsonl").write_text("no record\n")
    store, root = [tmp_path / "store"], Path(marginbench.__file__).parent
    assert sides.resolve("torch:2.13.0", store, root).paths == (run,)
    assert sides.resolve("torch:2.14.0", store, root).paths == (packed,)
    assert set(sides.resolve("machine:some gpu", store, root).paths) == {run, packed}
    assert load(packed).timed.identity["version of torch"] == "2.14.0"
    for word in ("torch:1.0", "machine:H100", "no-such-revision", "HEAD"):
        with pytest.raises(sides.Unknown):
            sides.resolve(word, store, root)
