"""What the machine does while a network trains, with MLflow's own meters.

MLflow's monitor is a thread that asks the store every ten seconds whether the run still goes: it
says nothing of a short training, and waits for a store that is locked. So its meters are read when
an epoch ends: no thread, nothing left behind. The CPU's use is that since the reading before.
"""

from __future__ import annotations

import contextlib
from typing import Any

from .store import Point

EVERY_S = 1.0


class System:
    def __init__(self) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        self._meters: list[Any] = []
        self._step, self._last_ms = 0, 0
        for meter in (CPUMonitor, DiskMonitor, NetworkMonitor, _gpu):
            with contextlib.suppress(Exception):  # a machine without it
                self._meters.append(meter())
        self._read()  # its first reading of the CPU means nothing

    def sample(self, now_ms: int) -> list[Point]:
        """The meters, unless they were read less than a second ago."""
        if self._last_ms and now_ms < self._last_ms + 1_000 * EVERY_S:
            return []
        self._last_ms = now_ms
        found = [
            Point(f"system/{k}", float(v), now_ms, self._step) for k, v in self._read().items()
        ]
        self._step += 1
        return found

    def _read(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for meter in self._meters:
            with contextlib.suppress(Exception):
                meter.collect_metrics()
                values |= meter.aggregate_metrics()
                meter.clear_metrics()
        return values


def _gpu() -> Any:
    import pynvml  # noqa: F401  (MLflow's meter asks whether it was imported)
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    return GPUMonitor()
