"""A training that kills its own process:
``python tests/support/stopped_training.py FOLDER EPOCH JOB`` (the job as JSON)
ends by SIGKILL once that epoch's state is safe."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from benchmarks.training import training
from suites.jobs import Job, Underway


def main(folder: Path, epoch: int, job: Job) -> None:
    def stop(at: Underway) -> None:
        if at.epoch == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    training.run(job, folder, progress=stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Job.from_plain(json.loads(sys.argv[3])))
