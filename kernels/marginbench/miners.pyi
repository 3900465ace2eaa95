# Written by kernels/stubs.py from what the losses declare.

from .triplet.miners import AllSemiHardMiner as AllSemiHardMiner
from .triplet.miners import BatchHardMiner as BatchHardMiner
from .triplet.miners import SemiHardMiner as SemiHardMiner

__all__ = [
    "AllSemiHardMiner",
    "BatchHardMiner",
    "SemiHardMiner",
]
