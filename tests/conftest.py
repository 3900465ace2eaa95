"""Shared by all tests: the seed (printed, or set by MARGINBENCH_TEST_SEED) and Triton's mode.

Without a GPU the Triton kernels run in Triton's interpreter, which must be chosen before a kernel
is imported; with one they are compiled.
"""

import os
import random

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from benchmarks import interpreter  # after the mode is chosen

if interpreter.active():
    interpreter.correct_bfloat16()

SEED = int(os.environ.get("MARGINBENCH_TEST_SEED", random.SystemRandom().randrange(2**31)))
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def pytest_report_header() -> str:
    return f"MARGINBENCH_TEST_SEED={SEED} device={DEVICE}"


@pytest.fixture
def seed() -> int:
    """Drawn anew for each session; set MARGINBENCH_TEST_SEED to repeat one."""
    return SEED


@pytest.fixture
def device() -> str:
    return DEVICE
