"""Kill and a closed terminal end a program as Ctrl-C does: it tidies up, and says by its exit code
what ended it. Needs the standard library alone.
"""

from __future__ import annotations

import signal
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What shells say of a process that a signal ended: this and the signal's number.
_BY_SIGNAL = 128
INTERRUPTED, UNREAD = _BY_SIGNAL + signal.SIGINT, _BY_SIGNAL + signal.SIGPIPE

# The signal that asked this process to end; none yet.
_asked_by = 0
# Whether no signal is in time any more.
_settled = False


def listen() -> None:
    """From now on each raises KeyboardInterrupt; what the caller chose to ignore, as nohup does,
    stays ignored."""
    for number in _STOPS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked_by
    if _settled:
        return
    _asked_by = number
    raise KeyboardInterrupt


def settle() -> None:
    """What ends this process is known, and only remains to be said: another signal is passed
    over, and Python ends with the code that it is given."""
    global _settled
    _settled = True
    # An interrupt of code that is run from text, as a dataclass is made, leaves a mark by which
    # ``python -m`` ends as killed by SIGINT, whatever its exit code; the next such code clears it.
    exec("")


def exit_code() -> int | None:
    """Of kill or a closed terminal, where one of them asked this process to end; else None."""
    return _BY_SIGNAL + _asked_by if _asked_by in (signal.SIGTERM, signal.SIGHUP) else None
