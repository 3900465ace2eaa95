"""``marginbench compare`` on runs: times by processes, exact figures exactly, a page and a code."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from page_reader import Page
from synthetic_run import IDENTITY, LOSSES, Maker, write

import marginbench
from benchmarks.records import Line, Result
from reports.compare import sides
from reports.compare.runs import load

FEW = LOSSES[1:3]
VERSIONS = {"python": "3.11.7", "torch": "2.13.0+cpu"}


def lines(process: int = 0, **rest) -> list[Line]:
    """The same code in another process: each figure's rounds share a factor, 2% as its sd."""
    draw = np.random.default_rng(process)
    made = list(Maker(losses=FEW, agreement_shapes=((37, 19, 7),), **rest).lines())
    return [
        _times(one, float(np.exp(draw.normal(0, 0.02)))) if process and _timed(one) else one
        for one in made
    ]


def _timed(line: Line) -> bool:
    return isinstance(line, Result) and bool(line.rounds)


def _times(line: Line, factor: float) -> Line:
    assert isinstance(line, Result) and line.value is not None
    return changed(line, value=line.value * factor, rounds=[r * factor for r in line.rounds])


def changed(line: Line, **fields) -> Line:
    return type(line).model_validate({**line.model_dump(), **fields})


def slowed(run: list[Line], factor: float, contender: str = "eager") -> list[Line]:
    return [
        _times(one, factor) if _timed(one) and one.contender == contender else one for one in run
    ]


def call(out: Path, *arguments: object) -> tuple[int, str, Page | None]:
    words = ["compare", *map(str, arguments), "--out", str(out)]
    found = CliRunner().invoke(marginbench.cli, words)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    file = out / "index.html"
    return found.exit_code, found.output, Page(file.read_text()) if file.exists() else None


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


def test_another_run_of_the_same_code_is_undecided_not_the_same(base: Path, tmp_path: Path):
    """Two processes can't show that nothing changed; exact figures can."""
    code, output, page = call(tmp_path / "page", base, write(tmp_path / "b", lines(1)))
    assert code == 3 and "undecided" in output and page is not None
    assert "exact figures: " in output and " same" in output
    code, output, _ = call(tmp_path / "page", base, tmp_path / "b", "--smallest-effect", "40%")
    assert "equivalent" in output and "undecided" not in output


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
    assert "a ratio is one of machines as well as of code" in page.seen


def test_a_machine_that_drifted_is_told_and_no_regression(base: Path, tmp_path: Path):
    """Everything 30% slower, and many times void: the table still shows what moved most."""
    drifted = [_times(one, 1.3) if _timed(one) else one for one in lines(1)]
    void = [changed(one, value=one.rounds[0], rounds=one.rounds[:1])
            if _timed(one) and one.contender == "compiled" else one for one in drifted]  # fmt: skip
    code, output, page = call(tmp_path / "page", base, write(tmp_path / "b", void))
    assert code == 3 and page is not None and "most first" in output
    for text in (" ".join(output.split()), page.seen):
        assert "times as long as" in text and "one run a side does not tell which" in text
    assert "Dashed: what all times moved by" in page.seen
    assert "it can be the machine's" in page.seen


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
    assert "undecided" in output or "equivalent" in output


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


def test_words_choose_stored_runs(tmp_path: Path):
    identity = {"cpu": "Example CPU", "gpu": "Some GPU", "versions": VERSIONS}
    run = write(tmp_path / "store/a", lines(identity=identity)) / "records.jsonl"
    packed = tmp_path / "store/b/records.jsonl.xz"
    packed.parent.mkdir()
    newer = json.loads(json.dumps(identity)) | {"versions": {**VERSIONS, "torch": "2.14.0"}}
    packed.write_bytes(lzma.compress(b"".join(
        changed(line, run="another").model_dump_json().encode() + b"\n"
        for line in lines(1, identity=newer))))  # fmt: skip
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


def test_what_is_measured_once_a_process_is_not_compared(tmp_path: Path):
    """A first call has one round by design; as a row that can't be judged no run would exit 0."""
    made = lines()
    once = [one for one in made if isinstance(one, Result) and one.metric == "first_call_s"]
    assert once and all(one.rounds == [one.value] for one in once)
    loaded = load(write(tmp_path, made))
    assert loaded.timed.timings and not any(key.metric == "first_call_s"
                                            for key in loaded.keys.values())  # fmt: skip


def in_rounds(count: int, run: list[Line]) -> list[Line]:
    """The run with that many rounds of each of compiled's times."""
    return [
        changed(line, rounds=line.rounds[:count], value=float(np.median(line.rounds[:count])))
        if isinstance(line, Result) and line.rounds[count:] and line.contender == "compiled"
        else line
        for line in run
    ]


def test_what_neither_side_timed_often_enough_is_not_judged(tmp_path: Path):
    """A slow rival gets two or three rounds of a default run; that is nothing the code did."""
    sides_ = [write(tmp_path / name, in_rounds(3, lines(seed))) for seed, name in enumerate("ab")]
    _, _, page = call(tmp_path / "page", *sides_)
    assert page is not None and "invalid" not in page.seen and "in too few rounds" in page.seen
    assert "undecided" in page.seen and "too few rounds: " not in page.seen


@pytest.mark.parametrize("few_first", [False, True])
def test_too_few_rounds_on_one_side_are_undecided(tmp_path: Path, few_first: bool):
    """It was run on both: nothing vanished, nothing is new, and nothing is wrong with it."""
    sides_ = [write(tmp_path / "full", in_rounds(5, lines())),
              write(tmp_path / "few", in_rounds(4, lines(1)))]  # fmt: skip
    code, output, page = call(tmp_path / "page", *sides_[:: -1 if few_first else 1])
    assert code == 3 and page is not None
    for word in ("vanished", "invalid", " new"):
        assert word not in output.split("times: ")[1].split(";")[0] and word not in page.seen
    rows = [line for line in (tmp_path / "page/report.md").read_text().splitlines()
            if "too few rounds: expected at least 5; got 4" in line]  # fmt: skip
    assert rows and all("| compiled |" in row and "undecided" in row for row in rows)
    assert f"{tmp_path / 'few'}: too few rounds" in page.seen


def test_a_contender_with_too_few_rounds_inside_a_run_is_undecided(tmp_path: Path):
    run = write(tmp_path / "run", in_rounds(4, lines()))
    _, output, page = call(tmp_path / "page", run, "--contender", "eager", "--contender",
                           "compiled")  # fmt: skip
    assert page is not None and "got 4 of both" in page.seen
    assert "undecided" in output and "invalid" not in output + page.seen


def test_two_record_files_in_a_folder_are_refused(base: Path, tmp_path: Path):
    content = (base / "records.jsonl").read_bytes()
    (tmp_path / "records.jsonl").write_bytes(content)
    (tmp_path / "records.jsonl.xz").write_bytes(lzma.compress(content))
    code, output, page = call(tmp_path / "page", base, tmp_path)
    assert code == 3 and page is None and "expected one record file" in output


def test_a_contender_that_the_run_lacks_is_named_with_the_nearest(base: Path, tmp_path: Path):
    other = write(tmp_path / "b", lines(1))
    for words in ((base, "--contender", "compiled"), (base, other)):
        code, output, page = call(tmp_path / "page", *words, "--contender", "eagre")
        assert code == 2 and "did you mean 'eager'?" in output and page is None


def test_first_calls_stand_in_no_comparison_of_contenders(base: Path, tmp_path: Path):
    _, _, page = call(tmp_path, base, "--contender", "eager", "--contender", "compiled")
    assert page is not None and "first call s" not in page.seen
