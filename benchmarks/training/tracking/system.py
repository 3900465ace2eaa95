"""What the machine does while networks train, with MLflow's own meters.

MLflow's monitor is a thread that asks the store every ten seconds whether the run still goes: it
says nothing of a short training, and waits for a store that is locked. So its meters are read when
a training's metrics are sent. They are of the whole machine, whatever trains side by side; the
CPU's use is that since the reading before.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

EVERY_S = 1.0


class System:
    def __init__(self) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        self._meters: list[Any] = []
        self._values: dict[str, float] = {}
        self._read_at = 0.0
        for meter in (CPUMonitor, DiskMonitor, NetworkMonitor, _gpu):
            with contextlib.suppress(Exception):  # a machine without it
                self._meters.append(meter())
        self._read()  # its first reading of the CPU means nothing

    def sample(self) -> tuple[int, dict[str, float]]:
        """The last reading, a second old at most, and its time in milliseconds."""
        if time.time() >= self._read_at + EVERY_S:
            self._values, self._read_at = self._read(), time.time()
        return int(1_000 * self._read_at), self._values

    def _read(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for meter in self._meters:
            with contextlib.suppress(Exception):
                meter.collect_metrics()
                values |= meter.aggregate_metrics()
                meter.clear_metrics()
        return {f"system/{name}": float(value) for name, value in values.items()}


def _gpu() -> Any:
    import pynvml  # noqa: F401  (MLflow's meter asks whether it was imported)
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    return GPUMonitor()
