"""Where this clone is, and its published records in it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.instruments.machine import ROOT as ROOT

# From the root of any clone, which is how pages name it.
IN_CLONE = Path("reports", "published")
PUBLISHED = ROOT / IN_CLONE
