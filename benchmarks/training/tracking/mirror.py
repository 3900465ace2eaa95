"""The one writer of a run's trainings to MLflow: while they go on, and afterwards.

Our own record is the truth. What is sent is what is known of a training and the store lacks, so
sending twice is sending once, and what failed is sent the next time.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.records.kinds import KEY

from . import addresses, content, store
from .store import COMPLETE, PARENT, Outcome, Point, Store

if TYPE_CHECKING:
    from suites.schema import TrainingResult

    from .system import System

NOT_INSTALLED = "mlflow is not installed"
RETRY_S = 600.0
_LATER = "its own record is safe; `marginbench quality sync` sends it to MLflow later"
Progress = Callable[[str, int, int], None]


@dataclass
class _State:
    """A training as far as it is known. ``times_ms`` has a time for each row of its epochs;
    ``recorded`` says that it is a line of a record, not one that is heard of as it trains."""

    result: Any
    tags: Mapping[str, Any]
    facts: Mapping[str, Any]
    start_ms: int
    times_ms: list[int]
    end_ms: int
    recorded: bool = True


@dataclass
class _Run:
    """A run of the store that this process has begun, and what of it is sent."""

    id: str
    manifest: dict[str, Any]
    rows: int = 0
    samples: int = 0
    sampled_ms: int = 0


class Mirror:
    """Sends trainings to the store at ``uri``, else at MLFLOW_TRACKING_URI, else in ``out_dir``.

    ``tags`` (commit, dirty, versions, machine; ``run``: the id of our own record) go to every run
    of a training that is heard of; a record's line brings its own. Nothing here raises for what
    the store does. One that fails is left alone for ten minutes, and the folder's file
    ``mlflow.down`` says why until all is sent.
    """

    def __init__(
        self, out_dir: Path, uri: str | None = None, tags: Mapping[str, Any] | None = None
    ) -> None:
        self.out_dir, self.uri, self._tags = out_dir.resolve(), uri, tags or {}
        self._installed = importlib.util.find_spec("mlflow") is not None
        self.reason = "" if self._installed else NOT_INSTALLED
        self.stopped, self._retry_at = False, 0.0
        self._store: Store | None = None
        self._system: System | None = None
        self._complete: Mapping[str, str] | None = None
        self._facts = functools.cache(content.facts)
        # By key; another thread may take while one sends.
        self._waiting: dict[str, _State] = {}
        self._taking = threading.Lock()
        self._heard: dict[str, _State] = {}
        self._runs: dict[str, _Run] = {}

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def take(self, line: Any) -> None:
        """A training of a record, to be sent unless the store has it."""
        if line.status != "not_run" or line.epochs:
            self._put(_State(line, content.provenance(line), {}, *content.times(line)))

    def hear(self, result: TrainingResult, facts: Mapping[str, Any] | None = None) -> None:
        """What is known of a training that goes on or has ended, in the place of what was known
        before. ``facts`` are its dataset's."""
        before = self._heard.pop(result.name, None)
        if result.status == "not_run":
            if before is None:
                return  # it never began
            result = replace(before.result, status=result.status, reason=result.reason)
        now = int(1_000 * time.time())
        times = before.times_ms if before else []
        times = [*times, *[now] * (len(result.epochs) - len(times))]
        known = facts or (before.facts if before else {})
        start = before.start_ms if before else now
        state = _State(result, self._tags, known, start, times, now, recorded=False)
        if result.status == "running":
            self._heard[result.name] = state
        self._put(state)

    def _put(self, state: _State) -> None:
        with self._taking:
            self._waiting[self._key(state.tags, state.result.name)] = state

    def send(self, progress: Progress | None = None) -> Outcome:
        """Sends what waits; ``progress(name, done, all)`` is called after each training."""
        keys, sent, present, key = list(self._waiting), 0, 0, ""
        if not self._installed or self.stopped or time.monotonic() < self._retry_at:
            return Outcome(failed=len(keys), reason=self.reason)
        try:
            _twice(self._opened)
            for key in keys:
                state = self._waiting[key]
                new = _twice(functools.partial(self._written, key, state))
                sent, present = sent + new, present + (not new)
                with self._taking:
                    if self._waiting[key] is state:
                        del self._waiting[key]
                if progress:
                    progress(state.result.name, sent + present, len(keys))
                if self.stopped:
                    return Outcome(sent, present)
        except Exception as error:
            self._fail(key, error)
            return Outcome(sent, present, len(keys) - sent - present, self.reason)
        self.reason = ""
        with suppress(OSError):
            self._note.unlink(missing_ok=True)
        return Outcome(sent, present)

    def try_again(self) -> None:
        """The next sending does not wait for the ten minutes to be over."""
        self._retry_at = 0.0

    def place(self, result: Any) -> dict[str, str]:
        """Where its run is or will be (the ``store``, and the ``key`` that it has as a tag); or
        ``reason``: why it is not there now."""
        if self.reason:
            return {"reason": self._why()}
        return {"store": addresses.shown(self.uri), "key": self._key(self._tags, result.name)}

    def not_sent(self) -> dict[str, int]:
        """How many trainings still wait, by the reason."""
        return {self._why(): self.waiting} if self._waiting else {}

    def _why(self) -> str:
        return self.reason if self.reason == NOT_INSTALLED else f"{self.reason}; {_LATER}"

    def _key(self, tags: Mapping[str, Any], name: str) -> str:
        return store.key(store.record(tags.get("run"), self.out_dir), name)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = Store(self.out_dir, self.uri)
        return self._store

    def _written(self, key: str, state: _State) -> bool:
        """Sends what the store lacks of a training; False where that is nothing."""
        to, result = self._opened(), state.result
        if state.recorded:
            if self._complete is None:
                self._complete = to.complete()
            if key in self._complete:
                return False
        to.check()
        # Not put back where something goes wrong: the next time begins anew.
        run = self._runs.pop(key, None) or self._begun(to, key, state)
        new = slice(run.rows, len(result.epochs))
        points = content.points(result.epochs[new], state.times_ms[new])
        if not state.recorded:
            points += self._sample(run)
        to.log(run.id, points=points, tags=content.standing(result))
        run.rows = len(result.epochs)
        if result.status == "running":
            self._runs[key] = run
        else:
            self._end(to, run, state)
        return True

    def _begun(self, to: Store, key: str, state: _State) -> _Run:
        """A new run in the place of what there was of the training."""
        result, settings = state.result, dict(state.result.settings)
        labels = content.tags(state.tags, result.name, result.study, result.arm)
        if above := content.parent(result):
            over = content.tags(state.tags, above, result.study, "")
            labels[PARENT] = to.parent(self._key(state.tags, above), above, over)
        run_id = to.begin(result.name, {**labels, KEY: key}, state.start_ms)
        to.log(run_id, content.parameters(result, settings))
        facts = state.facts or self._facts(result.dataset, settings.get("dataset_sha256", ""))
        manifest = content.dataset(result.dataset, settings, facts)
        to.dataset(run_id, content.as_input(manifest))
        return _Run(run_id, manifest)

    def _sample(self, run: _Run) -> list[Point]:
        if self._system is None:
            from .system import System

            self._system = System()
        at, values = self._system.sample()
        if at == run.sampled_ms:
            return []
        run.sampled_ms, run.samples = at, run.samples + 1
        return [Point(name, value, at, run.samples - 1) for name, value in values.items()]

    def _end(self, to: Store, run: _Run, state: _State) -> None:
        """The training's files, and its end."""
        from ..checkpoints import model_path

        result = state.result
        labels = {} if result.status == "not_run" and not state.recorded else {COMPLETE: "yes"}
        network = model_path(self.out_dir, result.name)
        with store.in_a_folder() as folder:
            content.write_files(folder, result, run.manifest)
            if result.status == "ok" and network.is_file():
                try:
                    content.write_model(folder / content.MODEL, run.id, network)
                except Exception as error:  # the network's fault, not the store's
                    labels["model_missing"] = store.reason(error)
            to.client.log_artifacts(run.id, str(folder))
        to.log(run.id, tags=labels)
        status = "FINISHED" if result.status == "ok" else "FAILED"
        to.client.set_terminated(run.id, status, state.end_ms)

    def _fail(self, key: str, error: Exception) -> None:
        """The training goes to the end: what is wrong may be its own fault."""
        self.reason, self._retry_at = store.reason(error), time.monotonic() + RETRY_S
        with self._taking:
            if key:
                self._waiting[key] = self._waiting.pop(key)
        with suppress(OSError):
            self._note.write_text(f"{self._why()}\n", encoding="utf-8")

    @property
    def _note(self) -> Path:
        return self.out_dir / "mlflow.down"


def _twice(attempt: Callable[[], Any]) -> Any:
    """At once again: another run may have made the same store, experiment or dataset in between,
    which is then found."""
    try:
        return attempt()
    except Exception:
        return attempt()


def sync(
    records: Iterable[Any], out_dir: Path, uri: str | None = None, progress: Progress | None = None
) -> Outcome:
    """Sends every finished training that the store lacks; sending twice is sending once.

    ``records`` are lines of a record. Models are taken from ``out_dir``. ``progress(name, done,
    all)`` is called after each. What the store does is in the outcome.
    """
    mirror = Mirror(out_dir, uri)
    for each in records:
        mirror.take(each)
    return mirror.send(progress)
