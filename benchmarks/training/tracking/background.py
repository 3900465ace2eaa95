"""Sends by a mirror while trainings go on, so that none waits for the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from . import store
from .mirror import Mirror

_EVERY_S = 1.0  # the epochs of a second go in one request
_SILENT_S = 60.0


class Background:
    """A thread that sends what the mirror is given. Use as a context: what then still waits is not
    sent, unless `last` was gone through."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.mirror.stopped = True
        self._over.set()
        self._thread.join(store.WAIT_S)

    def last(self) -> Iterator[int]:
        """Sends what is left, a store that failed asked once more; how many still wait, every
        second. Ends too where the store says nothing for a minute."""
        self._over.set()
        left, since = self.mirror.waiting, time.monotonic()
        while self._thread.is_alive():
            self._thread.join(_EVERY_S)
            if self.mirror.waiting != left:
                left, since = self.mirror.waiting, time.monotonic()
            if time.monotonic() > since + _SILENT_S:
                self.mirror.reason = f"the store has not answered for {_SILENT_S:g} s"
                return
            yield left

    def _work(self) -> None:
        while not self._over.wait(_EVERY_S):
            if self.mirror.waiting:
                self.mirror.send()
        if self.mirror.waiting:
            self.mirror.try_again()
            self.mirror.send()
