"""pytest-benchmark as the front end for speed: the preset, and our provenance in its JSON."""

from __future__ import annotations

import os
from typing import Any

import pytest

from suites.presets import PRESETS

from .instruments import machine

INSTRUMENT = "pytest-benchmark: one contender after the other, which drift of the machine confounds"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("marginbench").addoption(
        "--preset",
        choices=tuple(PRESETS),
        default=os.environ.get("MARGINBENCH_PRESET", "fast"),
        help="sizes and rounds; also MARGINBENCH_PRESET (default: %(default)s)",
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"preset={config.getoption('--preset')} machine={machine.name()}"


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["marginbench"] = machine.identity()


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    commit, dirty = machine.commit()
    output_json["marginbench"] = {
        "preset": config.getoption("--preset"),
        "commit": commit,
        "dirty": dirty,
        "instrument": INSTRUMENT,
        "information": machine.information(),
    }
