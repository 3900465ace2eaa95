"""Writes ordinary record lines with the standard library alone.

A borrowed machine may have only torch and Triton, so nothing here validates as `benchmarks.records`
does: that happens when the file is read, and a test keeps the two in step.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from marginbench import catalogue
from marginbench.fields import Shape
from suites.cases import Case

from .. import folders, kinds, machine, record_files
from ..digests import Chain, Changed, digest_of
from ..folders import Refused
from ..record_files import FILE
from ..rows import Row

# How the reason begins for a cell that another session may still measure.
NO_TIME = "time budget"


class Journal:
    """The record file of a session, held by one process; opening removes a line that a killed
    process left unfinished. ``ended`` holds the cases that need no second measurement; one that ran
    out of time is open again. Raises Refused if the folder holds something else."""

    def __init__(self, out: Path, *, dry_run: bool) -> None:
        folders.make(out, kinds.GPU, "--out")
        self.path, self.dry_run = out / FILE, dry_run
        self._lock = os.open(out / f".{FILE}.lock", os.O_WRONLY | os.O_CREAT, 0o644)
        self._file = -1
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except BlockingIOError:
            self.close()
            raise Refused(
                f"--out: {self.path} is being written by another process; wait until it ends"
            ) from None
        except BaseException:
            self.close()
            raise
        self.session, self.worse = uuid.uuid4().hex, 0
        self.ended_now: set[str] = set()
        self._reported: set[tuple[Any, ...]] = set()
        self._command = ""

    def _read(self) -> None:
        self.run, self.ended = uuid.uuid4().hex, set[str]()
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content.rfind(b"\n") + 1
        lines = []
        try:
            texts = content[:whole].decode().splitlines()
            lines = [record_files.parsed(line) for line in texts]
            heads = {line["kind"] for line in lines[:1]}
            chain = Chain()
            for text, line in zip(texts, lines, strict=True):
                chain.take(text, expected=line["schema_version"] > 1)
        except Changed as error:
            raise Refused(
                f"--out: {self.path}: a line was changed: {error}; choose another folder"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise Refused(
                f"--out: expected the records of a GPU session in {self.path}; a line is not one; "
                "choose another folder"
            ) from None
        if content and heads not in (set(), {"session"}):
            raise Refused(f"--out: {self.path} begins with no session; choose another folder")
        sessions = [line for line in lines if line["kind"] == "session"]
        if any(bool(s["information"].get("dry_run")) != self.dry_run for s in sessions):
            kind = "a measured session" if self.dry_run else "a dry run, which is no evidence"
            raise Refused(f"--out: {self.path} holds {kind}; choose another folder")
        if sessions:
            self.run = sessions[0]["run"]
        self._chain = chain
        if whole < len(content):
            os.truncate(self.path, whole)
        self._ended_of(lines)
        self.measured = sum(
            line["kind"] == "result" and line["status"] != "not_run" for line in lines
        )

    def _ended_of(self, lines: list[dict[str, Any]]) -> None:
        found: dict[tuple[str, str], bool] = {}
        for line in lines:
            if line["kind"] == "result":
                key = (line["session"], _id(line["case"]))
                found[key] = found.get(key, True) and not line["reason"].startswith(NO_TIME)
            elif line["kind"] == "case_end":
                whole = found.pop((line["session"], line["case"]), True)
                (self.ended.add if whole else self.ended.discard)(line["case"])

    def start(
        self, command: str, preset: str, plan: list[str], information: Mapping[str, Any]
    ) -> None:
        commit, dirty = machine.commit()
        broken = {failure.name: failure.reason for failure in catalogue.failures()}
        self._command = command
        facts = {**machine.information(), "failed_losses": broken, **information}
        self._write(
            "session", command=command, preset=preset, seed=0, started_at=now(), commit=commit,
            dirty=dirty, identity=machine.identity(), plan=plan,
            information={**facts, "dry_run": self.dry_run},
        )  # fmt: skip

    def results(self, case: Case, rows: Iterable[Row], extra: Mapping[str, Any] = {}) -> None:
        """``extra`` goes into each row's protocol; a cell reported already is left out."""
        for row in rows:
            key = (case.id, row.contender, row.metric, *sorted(row.of.items()),
                   str(row.protocol.get("mode")))  # fmt: skip
            if key in self._reported:
                continue
            self._reported.add(key)
            fields = _finite(asdict(row))
            fields["protocol"] = {**fields["protocol"], **extra}
            if self.dry_run:
                fields["protocol"]["dry_run"] = True
            self.worse += fields["status"] == "worse"
            self.measured += fields["status"] != "not_run"
            self._write(
                "result", case=case_key(case), provenance=self._provenance(case, row), **fields
            )

    def reported(self, case: Case) -> set[tuple[str, str]]:
        """The contenders and metrics that have a line."""
        return {(key[1], key[2]) for key in self._reported if key[0] == case.id}

    def end_case(self, case: Case, seconds: float) -> None:
        self.ended_now.add(case.id)
        self._write("case_end", case=case.id, seconds=seconds)

    def end_run(self, seconds: float) -> None:
        self._write("run_end", seconds=seconds)

    def close(self) -> None:
        for file in (self._file, self._lock):
            if file >= 0:
                os.close(file)

    def _provenance(self, case: Case, row: Row) -> dict[str, Any]:
        commit, dirty = machine.commit()
        command = self._command
        if case.suite in ("agreement", "speed") and not self.dry_run:
            names = "eager" if row.contender == "eager" else f"eager,{row.contender}"
            command = f"marginbench run --case {case.id} --contender {names}"
        return {
            "commit": commit, "dirty": dirty, "machine": machine.name(),
            "versions": machine.versions(), "command": command, "measured_at": now(),
        }  # fmt: skip

    def _write(self, kind: str, **fields: Any) -> None:
        head = {"schema_version": 2, "run": self.run, "session": self.session, "kind": kind}
        line = json.dumps({**head, **fields}, allow_nan=False, default=str)
        text = self._chain.sealed(line)
        data = f"{text}\n".encode()
        before = os.fstat(self._file).st_size
        try:
            while data:
                data = data[os.write(self._file, data) :]
            if kind != "result":
                os.fsync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, before)
            raise
        self._chain.last = digest_of(text)


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    """NaN and infinity become missing figures, for JSON has neither."""
    value = fields["value"]
    if value is not None and not math.isfinite(value):
        fields |= {"value": None, "rounds": [], "status": "worse"}
        fields["reason"] = fields["reason"] or f"its figure is {value}"
    return fields


def case_key(case: Case) -> dict[str, Any]:
    variant = catalogue.get(case.loss).variant(case.variant)
    own = {"sizes": case.shape.more} if case.shape.more else {}
    return {
        "suite": case.suite, "loss": case.loss, "variant": case.variant,
        "variant_version": variant.version, "family": variant.family, "batch": case.shape.batch,
        "dim": case.shape.dim, "classes": case.shape.classes, "dtype": case.dtype,
        "device": case.device, "data": case.data, "seed": case.seed, **own,
    }  # fmt: skip


def _id(key: Mapping[str, Any]) -> str:
    shape = str(Shape(key["batch"], key["dim"], key["classes"], key.get("sizes", ())))
    names = (key["suite"], key["loss"], key["variant"], shape, key["dtype"], key["device"])
    return "/".join((*names, key["data"], f"s{key['seed']}"))


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
