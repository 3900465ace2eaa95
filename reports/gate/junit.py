"""A gate's outcome as JUnit XML, for whatever shows test results.

Three suites: the gate as a whole, its exact half, its timed cases. A regression is a ``failure``;
what is not known is an ``error``, so that no reader takes it for passed.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from benchmarks.gate.records import GateVerdict

from . import words
from .reading import UNKNOWN, WORSE, GateRun

_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def render(run: GateRun) -> str:
    """The document, with its XML declaration. Raises RecordError for a gate that was killed."""
    whole = [_case("gate", "outcome", run.ended.seconds)]
    _judge(whole[0], run.exit_code, words.sentence(run))
    suites = [
        _suite(run, "gate", whole),
        _suite(run, "gate.exact", _exact(run)),
        _suite(run, "gate.timed", [*(_timed(run, row) for row in run.rows()), *_unchanged(run)]),
    ]
    root = ET.Element("testsuites", name="marginbench gate")
    root.extend(suites)
    for name in ("tests", *_COUNTED):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.set("time", f"{run.ended.seconds:.3f}")
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{body}\n"


def _suite(run: GateRun, name: str, cases: list[ET.Element]) -> ET.Element:
    suite = ET.Element("testsuite", name=name, tests=str(len(cases)))
    for attribute, child in _COUNTED.items():
        suite.set(attribute, str(sum(case.find(child) is not None for case in cases)))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
    suite.set("timestamp", words.plain(run.start.started_at))
    _properties(suite, base_commit=run.start.base_commit,
                candidate_commit=run.start.candidate_commit,
                dirty=str(run.start.dirty).lower(), command=run.start.command)  # fmt: skip
    suite.extend(cases)
    return suite


def _case(suite: str, name: str, seconds: float) -> ET.Element:
    return ET.Element("testcase", classname=suite, name=words.plain(name), time=f"{seconds:.3f}")


def _properties(parent: ET.Element, **values: str) -> None:
    found = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(found, "property", name=name, value=words.plain(value))


def _judge(case: ET.Element, code: int, message: str) -> None:
    """By an exit code: 1 failed, 0 passed, any other was not measured."""
    if code:
        kind = "failure" if code == 1 else "error"
        verdict = "REGRESSION" if code == 1 else "NOT MEASURED"
        _found(case, kind, verdict, message)


def _found(case: ET.Element, kind: str, verdict: str, message: str) -> None:
    said = words.plain(message)
    ET.SubElement(case, kind, type=verdict, message=said).text = said


def _exact(run: GateRun) -> list[ET.Element]:
    """The half as a whole, then each difference. With code 0 a difference is a remark."""
    whole = _case("gate.exact", "exact figures", 0.0)
    if run.exact is None:
        ET.SubElement(whole, "skipped", message=words.exact(run))
        return [whole]
    if run.exact.repinned:
        _properties(
            whole, **{f"repinned_{i}": text for i, text in enumerate(run.exact.repinned, 1)}
        )
    _judge(whole, run.exact.code, words.exact(run))
    cases = [whole]
    if run.exact.left_out:
        cases.append(_case("gate.exact", "kernels that were not compiled", 0.0))
        ET.SubElement(cases[-1], "skipped", message=words.plain(run.exact.left_out))
    for difference in run.exact.differences:
        case = _case("gate.exact", difference, 0.0)
        _judge(case, run.exact.code, difference)
        cases.append(case)
    return cases


def _unchanged(run: GateRun) -> Iterator[ET.Element]:
    for loss, said in zip(run.start.unchanged, words.unchanged(run), strict=True):
        case = _case("gate.timed", loss, 0.0)
        ET.SubElement(case, "skipped", message=said)
        yield case


def _timed(run: GateRun, row: GateVerdict) -> ET.Element:
    case = _case("gate.timed", row.case, row.seconds)
    figures = {
        "ratio": row.ratio, "ratio_low": row.low, "ratio_high": row.high, "p_value": row.p_value,
        "base_s": row.base_s, "candidate_s": row.candidate_s, "detectable": row.detectable,
    }  # fmt: skip
    known = {name: f"{value:.9g}" for name, value in figures.items() if value is not None}
    _properties(case, verdict=row.verdict, **known, groups=str(row.groups),
                base_commit=run.start.base_commit,
                candidate_commit=run.start.candidate_commit)  # fmt: skip
    if row.verdict in WORSE:
        _found(case, "failure", row.verdict, row.reason)
    elif row.verdict in UNKNOWN:
        _found(case, "error", row.verdict, row.reason)
    else:
        ET.SubElement(case, "system-out").text = words.plain(f"{row.verdict}: {row.reason}")
    return case
