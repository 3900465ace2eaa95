"""Shared by the library's tests: the seed, printed, or set by MARGINBENCH_TEST_SEED."""

import os
import random

import pytest

SEED = int(os.environ.get("MARGINBENCH_TEST_SEED") or random.SystemRandom().randrange(2**31))
os.environ["MARGINBENCH_TEST_SEED"] = str(SEED)  # also the workers'


def pytest_report_header() -> str:
    return f"MARGINBENCH_TEST_SEED={SEED}"


@pytest.fixture
def seed() -> int:
    """One for a session; set MARGINBENCH_TEST_SEED to repeat one."""
    return SEED
