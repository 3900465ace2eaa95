"""A child as a GPU session's: speaks its lines, imports nothing heavy, and misbehaves on demand.

``python -m gpu_child [BEHAVIOUR...]``: what the n-th case of this process meets: ``crash``,
``hang``, ``chatter``, ``spoilt`` or ``fine``; fine after the last.
"""

from __future__ import annotations

import json
import os
import sys
import time


def say(**fields) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    behaviours = sys.argv[1:]
    for line in sys.stdin:
        message = json.loads(line)
        behaviour = behaviours.pop(0) if behaviours else "fine"
        if behaviour == "crash":
            print("Segmentation fault, so to speak", file=sys.stderr, flush=True)
            os._exit(11)
        if behaviour == "hang":
            time.sleep(60)
        if behaviour == "chatter":
            print("Welcome to a library!", flush=True)
        if message["mode"] == "ceilings":
            say(facts={"rates": {"bytes_per_s": 1e12}, "rounds": {}, "protocol": {}, "failed": {}})
        elif message["mode"] == "measure":
            row = {"contender": "eager", "metric": "relative_error", "of": {"quantity": "value"},
                   "status": "ok", "reason": "", "value": 1e-7, "rounds": [],
                   "protocol": {"child": os.getpid()}}  # fmt: skip
            say(rows=[row])
        reason = "int32 overflow detected for operation mul" if message["mode"] == "control" else ""
        say(end=True, reason=reason, seconds=0.5, spoilt=behaviour == "spoilt")


if __name__ == "__main__":
    main()
