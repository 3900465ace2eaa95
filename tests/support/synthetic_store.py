"""A folder of published synthetic runs, and the command line on it."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

from click.testing import CliRunner, Result
from synthetic_run import BATCH, HEAD, Maker, texts

from commands.root import cli

LOSSES = (
    ("a-softmax", "m4", "head", (*HEAD[:1], HEAD[2], (512, 64, 10_000))),
    ("triplet", "batch-hard", "batch", BATCH[:3]),
    ("gone", "forgotten", "rows", ((1024, 128, 128),)),
)


def publish(root: Path, name: str, maker: Maker, **machine: object) -> Path:
    """A published folder with a synthetic run."""
    folder = root / name
    folder.mkdir(parents=True)
    text = "".join(texts(maker.lines()))
    (folder / "records.jsonl.xz").write_bytes(lzma.compress(text.encode()))
    if machine:
        facts = {"schema_version": 1, **machine}
        (folder / "machine.json").write_text(json.dumps(facts))
    return folder


def small(**changes: object) -> Maker:
    given = {"losses": LOSSES, "agreement_shapes": ((37, 19, 7),), "dtypes": ("float32",)}
    return Maker(**{**given, **changes})


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])
