"""Builds the suite as an editable install, and never as a wheel: its packages are called suites,
benchmarks, reports and commands, names that are nobody's to put into someone's environment."""

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401
    build_editable,
    get_requires_for_build_editable,
    prepare_metadata_for_build_editable,
)

_REFUSED = (
    "marginbench-suite runs from its clone: make bench, make test (or pip install --editable). "
    "For the library alone: pip install ./kernels"
)


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    raise SystemExit(_REFUSED)


def build_sdist(sdist_directory, config_settings=None):
    raise SystemExit(_REFUSED)
