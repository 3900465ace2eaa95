"""Warnings of what a training met. A process logs each once: datasets are loaded for each anew.

They go to the logger ``benchmarks.training``: to standard error, or where a handler takes them.
"""

from __future__ import annotations

import functools
import logging

LOGGER = logging.getLogger("benchmarks.training")


@functools.cache
def warn_once(text: str) -> None:
    LOGGER.warning("%s", text)
