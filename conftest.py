"""Shared by all tests: the seed (printed, or set by MARGINBENCH_TEST_SEED) and Triton's mode.

The seed comes of what is committed: new with every change, and the same wherever that change is
tested, so that a test that fails for one seed in many fails before it lands as it would after.

Without a GPU the Triton kernels run in Triton's interpreter, which must be chosen before a kernel
is imported; with one they are compiled.
"""

import os
import pathlib

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from seeding import seed_of

from benchmarks import library  # after the mode is chosen
from benchmarks.sanitizer import interpreter

# Every child of a test imports this tree too, whatever the environment has installed.
os.environ["PYTHONPATH"] = library.environment()["PYTHONPATH"]

if interpreter.active():
    interpreter.correct_bfloat16()


_HERE = pathlib.Path(__file__).resolve().parent
SEED = int(os.environ.get("MARGINBENCH_TEST_SEED") or seed_of(_HERE))
os.environ["MARGINBENCH_TEST_SEED"] = str(SEED)  # also the workers'
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def pytest_report_header() -> str:
    return f"MARGINBENCH_TEST_SEED={SEED} device={DEVICE}"


@pytest.fixture
def seed() -> int:
    """One for a session; set MARGINBENCH_TEST_SEED to repeat one."""
    return SEED


@pytest.fixture
def device() -> str:
    return DEVICE
