"""``marginbench compare``: what two files of pytest-benchmark can say, and what they can't."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from commands.root import cli
from reports.compare.loading import Measured, Timing, load
from reports.compare.ratios import PROCESS_SD, Rule, compare

MACHINE = {
    "node": "a", "processor": "", "machine": "x86_64", "python_implementation": "CPython",
    "python_version": "3.11.7", "release": "6.1", "system": "Linux",
    "cpu": {"brand_raw": "Example CPU", "arch": "X86_64", "count": 2, "hz_actual": [1, 0]},
}  # fmt: skip
NAME = "test_speed.py::test_forward"


def benchmark(median: Any = 1e-3, name: str = NAME, **given: Any) -> dict[str, Any]:
    """An entry as pytest-benchmark 5.3 writes it, as far as it is read."""
    stats = {"median": median, "iqr": 1e-5, "rounds": 100, "mean": median, "stddev": 2e-5}
    return {
        "group": None, "name": name.split("::")[1], "fullname": name, "params": None,
        "options": {"timer": "perf_counter", "disable_gc": False},
        "stats": {**stats, **given.pop("stats", {})}, **given,
    }  # fmt: skip


def save(path: Path, *benchmarks: dict[str, Any], **fields: Any) -> str:
    content = {
        "machine_info": MACHINE, "commit_info": {"id": "abc"}, "benchmarks": list(benchmarks),
        "datetime": "2026-01-01T00:00:00", "version": "5.3.1", **fields,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return str(path)


def pair(tmp_path: Path, median: float, **fields: Any) -> tuple[str, str]:
    """One benchmark that takes 1 ms, then ``median`` seconds, beside eleven that did not change."""
    others = [benchmark(1e-3, f"t.py::other{i}") for i in range(11)]
    a = save(tmp_path / "a.json", benchmark(1e-3), *others)
    return a, save(tmp_path / "b.json", benchmark(median), *others, **fields)


def call(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(cli, ["compare", *arguments])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


@pytest.mark.parametrize(
    ("median", "options", "code", "says"),
    [
        (1.10e-3, [], 1, "SLOWER        test_speed.py::test_forward  1.100 (1.00"),
        (0.90e-3, [], 3, "FASTER        test_speed.py::test_forward  0.900"),
        # Twelve pairs: 2.9 x 3.1% is wider than 3%, so that they can't show that nothing changed.
        (1.001e-3, [], 3, "INCONCLUSIVE  test_speed.py::test_forward"),
        (1.05e-3, [], 3, "INCONCLUSIVE  test_speed.py::test_forward"),
        (1.001e-3, ["--smallest-effect", "10%"], 0, "12 equivalent"),
        (0.80e-3, ["--smallest-effect", "10%"], 0, "1 faster"),
        (1.05e-3, ["--process-sd", "1%"], 1, "SLOWER"),
        (1.10e-3, ["--process-sd", "0.08"], 3, "INCONCLUSIVE  test_speed.py::test_forward"),
    ],
)
def test_a_pair_is_judged_by_its_process_to_process_interval(
    tmp_path: Path, median: float, options: list[str], code: int, says: str
):
    found, output = call(*pair(tmp_path, median), *options)
    assert found == code and says in output, output
    assert "took 1.00 times as long as the base in the median of 12 times" in output


def test_one_benchmark_alone_does_not_distinguish_a_change_from_the_machine(tmp_path: Path):
    """With two runs a side it does, where those of one side agree."""
    a = save(tmp_path / "a.json", benchmark(1e-3))
    b = save(tmp_path / "b.json", benchmark(2e-3))
    code, output = call(a, b)
    assert code == 3 and "INCONCLUSIVE" in output and "the machine may be the cause" in output
    assert "took 2.00 times as long" in output and "one run a side cannot separate" in output
    more = (save(tmp_path / f"{s}.json", benchmark(s * 1e-3)) for s in (1.01, 2.02))
    sides = zip(("--base", "--candidate"), (a, b), more, strict=True)
    code, output = call(*(word for name, *files in sides for f in files for word in (name, f)))
    assert code == 1 and "the machine alone can cause" in output and "not all of it" in output


def test_the_interval_is_that_of_the_processes():
    """Against the formula: rounds that are exact leave the process-to-process part alone."""
    base, candidate = (
        Measured(Path(name), {}, {NAME: Timing(math.log(s), 0.0)})
        for name, s in (("a", 1.0), ("b", 2.0))
    )
    for n, m in ((1, 1), (4, 4), (2, 8)):
        (verdict,) = compare([base] * n, [candidate] * m, Rule()).verdicts
        half = 1.959964 * PROCESS_SD * math.sqrt((1 / n + 1 / m) / 2)
        assert math.log(verdict.high / verdict.ratio) == pytest.approx(half, rel=1e-6)
        assert verdict.ratio == pytest.approx(2.0)
        # One a side: all of the factor can be the machine's.
        least = 0.0 if n + m == 2 else math.log(2)
        assert math.log(verdict.low) == pytest.approx(least - half, rel=1e-6)


def test_more_processes_decide_what_two_can_not(tmp_path: Path):
    sides: dict[str, list[str]] = {"--base": [], "--candidate": []}
    for side, shift in (("--base", 1.0), ("--candidate", 1.04)):
        for i in range(16):
            file = tmp_path / f"{side[2:]}{i}.json"
            sides[side] += [side, save(file, benchmark(1e-3 * shift * (1 + 1e-4 * i)))]
    code, output = call(*sides["--base"], *sides["--candidate"])
    assert code == 1 and "SLOWER" in output and "16 against 16 processes" in output


def test_files_of_one_side_that_differ_widen_the_interval(seed: int):
    """Processes that differ by 20% where 3.1% is taken: the files of a side show it. Of 20
    benchmarks with 3 files a side, 80 degrees of freedom give the 20% to within a third: four
    errors."""
    draw = np.random.default_rng(seed)

    def process() -> Measured:
        noise = draw.normal(0, 0.2 / math.sqrt(2), 20)
        return Measured(Path(), {}, {str(i): Timing(float(v), 1e-4) for i, v in enumerate(noise)})

    sides = [[process() for _ in range(3)] for _ in range(2)]
    assert compare(*sides, Rule()).process_sd == pytest.approx(0.2, rel=1 / 3)
    assert compare(*sides, Rule(process_sd=0.4)).process_sd == 0.4


def test_what_is_in_one_file_only_is_named(tmp_path: Path):
    other = "test_speed.py::test_backward"
    a = save(tmp_path / "a.json", benchmark(1e-3), benchmark(1e-3, other))
    b = save(tmp_path / "b.json", benchmark(1.001e-3))
    code, output = call(a, b, "--smallest-effect", "10%")
    assert code == 3 and f"VANISHED      {other}" in output and str(tmp_path / "b.json") in output
    code, output = call(b, a, "--smallest-effect", "10%")
    assert code == 0 and f"NEW           {other}" in output, "what is new fails nothing"


def test_a_regression_outweighs_what_is_missing(tmp_path: Path):
    a, b = pair(tmp_path, 2e-3)
    entries = json.loads(Path(b).read_text())["benchmarks"]
    code, output = call(a, save(tmp_path / "b.json", *entries[:-1]))
    assert code == 1 and "1 vanished" in output


def test_parameters_distinguish_benchmarks(tmp_path: Path):
    entries = [benchmark(1e-3 * n, params={"n": n}) for n in (1, 2)]
    a, b = save(tmp_path / "a.json", *entries), save(tmp_path / "b.json", entries[1])
    assert list(load(Path(a)).timings) == [f'{NAME}[{{"n": {n}}}]' for n in (1, 2)]
    code, output = call(a, b)
    assert code == 3 and 'VANISHED      test_speed.py::test_forward[{"n": 1}]' in output


@pytest.mark.parametrize(
    ("stats", "says"),
    [
        ({"median": math.nan}, "median: expected a number; got nan"),
        ({"median": None}, "median: expected a number; got None"),
        ({"median": 0.0}, "expected a time in seconds; got 0.0"),
        ({"median": -1e-3}, "expected a time in seconds; got -0.001"),
        ({"iqr": math.inf}, "iqr: expected a number; got inf"),
        ({"data": [1e-3, math.nan]}, "data: expected times in seconds; got nan"),
    ],
)
def test_a_figure_that_is_no_time_is_3_and_never_slower(tmp_path: Path, stats: dict, says: str):
    a = save(tmp_path / "a.json", benchmark(1e-3))
    b = save(tmp_path / "b.json", benchmark(9.0, stats={"median": 9.0, **stats}))
    for pair in ((a, b), (b, a)):
        code, output = call(*pair)
        assert code == 3 and "INVALID" in output and says in output and "SLOWER" not in output


def test_too_few_rounds_leave_it_inconclusive_in_either_file(tmp_path: Path):
    a = save(tmp_path / "a.json", benchmark(1e-3))
    b = save(tmp_path / "b.json", benchmark(9.0, stats={"median": 9.0, "rounds": 4}))
    for pair in ((a, b), (b, a)):
        code, output = call(*pair)
        assert code == 3 and "INCONCLUSIVE" in output and "INVALID" not in output
        assert f"{b}: too few rounds: expected at least 5; got 4" in output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a file that is not JSON"),
        ('{"machine_info": {}, "bench', "a file that is not JSON"),
        ("[1, 2]", "JSON without machine_info and benchmarks"),
        ('{"machine_info": {}, "benchmarks": []}', "it has none"),
        ('{"machine_info": 1, "benchmarks": [1]}', "expected an object machine_info"),
        ('{"machine_info": {}, "benchmarks": [1]}', "expected a fullname"),
        (json.dumps({"machine_info": {}, "benchmarks": [benchmark(), benchmark()]}), "twice"),
    ],
)
def test_a_file_that_holds_nothing_to_compare_is_3(tmp_path: Path, text: str, says: str):
    (tmp_path / "b.json").write_text(text)
    code, output = call(save(tmp_path / "a.json", benchmark()), str(tmp_path / "b.json"))
    assert code == 3 and says in output and "not compared: " in output


def test_a_file_and_a_run_are_not_compared(tmp_path: Path):
    (tmp_path / "records.jsonl").write_text("")
    a = save(tmp_path / "a.json", benchmark())
    code, output = call(a, str(tmp_path), "--out", str(tmp_path / "page"))
    assert code == 3 and "expected a run's folder or its records.jsonl" in output


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda m: m["cpu"].update(brand_raw="Another CPU"), "cpu brand_raw"),
        (lambda m: m["cpu"].update(count=4), "cpu count"),
        (lambda m: m.update(python_version="3.12.1"), "python_version"),
        (lambda m: m.update(marginbench={"gpu": "H100"}), "marginbench"),
        (lambda m: m["cpu"].pop("brand_raw"), "cpu brand_raw"),
        (lambda m: m.update(node="b", release="6.2"), ""),
        (lambda m: m["cpu"].update(hz_actual=[2, 0]), ""),
    ],
)
def test_another_machine_is_3_and_another_clock_is_not(
    tmp_path: Path, change: Callable[[dict], None], differs: str
):
    machine = json.loads(json.dumps(MACHINE))
    change(machine)
    a, b = pair(tmp_path, 2e-3, machine_info=machine)
    code, output = call(a, b)
    assert code == (3 if differs else 1) and differs in output
    assert ("not compared" in output) == bool(differs)
    assert call(a, b, "--across-machines")[0] == 1


def test_a_machine_that_neither_file_names_is_3(tmp_path: Path):
    """py-cpuinfo does not know every CPU by name; two that it does not know may be any two."""
    nameless = {**MACHINE, "cpu": {"arch": "ARM_8", "count": 2}}
    others = [benchmark(1e-3, f"t.py::other{i}") for i in range(12)]
    files = [save(tmp_path / f"{name}.json", *others, benchmark(median), machine_info=nameless)
             for name, median in (("a", 1e-3), ("b", 1.001e-3))]  # fmt: skip
    code, output = call(*files)
    assert code == 3 and "cpu: missing from every file" in output
    assert call(*files, "--across-machines", "--smallest-effect", "40%")[0] == 0


def test_another_version_or_timer_is_3(tmp_path: Path):
    a = save(tmp_path / "a.json", benchmark(1e-3))
    code, output = call(a, save(tmp_path / "b.json", benchmark(2e-3), version="4.0.0"))
    assert code == 3 and "pytest-benchmark: '5.3.1'" in output
    timer = {"timer": "process_time", "disable_gc": False}
    code, output = call(a, save(tmp_path / "b.json", benchmark(2e-3, options=timer)))
    assert code == 3 and "measured in different ways" in output


def test_a_process_is_not_compared_with_itself(tmp_path: Path):
    a, b = (save(tmp_path / name, benchmark()) for name in ("a.json", "copy.json"))
    code, output = call(a, b)
    assert code == 3 and "expected another process" in output


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["{a}"], ["{a}", "{a}", "{a}"], ["--base", "{a}"], ["{a}", "{a}", "--base", "{a}"],
        ["{a}", "missing.json"], ["{a}", "{a}", "--process-sd", "3"],
        ["{a}", "{a}", "--smallest-effect", "wide"], ["{a}", "{a}", "--smallest-effect", "0%"],
    ],
)  # fmt: skip
def test_bad_usage_is_2(tmp_path: Path, arguments: list[str]):
    a = save(tmp_path / "a.json", benchmark())
    code, output = call(*(word.format(a=a) for word in arguments))
    assert code == 2 and "Traceback" not in output


def test_what_pytest_benchmark_writes_is_read(tmp_path: Path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', [10, 20])\n"
        "def test_sum(benchmark, n):\n"
        "    benchmark.pedantic(sum, args=(range(n),), rounds=20)\n"
    )
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path),
        f"--benchmark-json={tmp_path / 'a.json'}", str(tmp_path),
    ]  # fmt: skip
    # Where the tests run side by side, pytest-benchmark would take itself for a part of that.
    alone = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=alone
    )
    assert done.returncode == 0, done.stdout
    measured = load(tmp_path / "a.json")
    assert list(measured.timings) == [f"test_it.py::test_sum[{n}]" for n in (10, 20)]
    assert all(not timing.problem for timing in measured.timings.values())
    assert all(measured.identity[name] for name in ("system", "cpu count", "pytest-benchmark"))
