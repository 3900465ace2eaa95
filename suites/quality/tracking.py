"""Mirrors a trained network in MLflow. Our own record is the truth: a store that is missing, gone
or broken costs the mirror and nothing else.

mlflow (seconds to import) is loaded when the first result is logged. The default store is a local
SQLite file in the run's folder, without server, network or telemetry.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .jobs import Job, Row, TrainingResult

EXPERIMENT = "marginbench"
_LIMIT = 1_000  # metrics that one log_batch takes
# Eight colours that the colour-blind can tell apart (Okabe and Ito 2008), and a marker for each.
_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
_MARKERS = "osv^DPX*"


class Mirror:
    """Logs results to one MLflow store; once the store has failed it is not tried again."""

    def __init__(self, out_dir: Path, tags: Mapping[str, str]) -> None:
        self._out_dir = out_dir.resolve()
        self._tags = dict(tags)
        self._uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        self._client: Any = None
        self._experiment = ""
        self._failure = ""

    def begin(self, job: Job, description: Mapping[str, Any]) -> None:
        pass

    def epoch(self, row: Row) -> None:
        pass

    def end(self, result: TrainingResult, model_path: Path | None) -> dict[str, str]:
        return self.log(result, None, torch.empty(0))

    def log(
        self, result: TrainingResult, x_ND: Tensor | None, identities_N: Tensor
    ) -> dict[str, str]:
        """Where the run is (``store``, ``experiment_id``, ``run_id``), or ``reason``: why not.

        ``x_ND`` are the test embeddings for the figure, or None for no figure.
        """
        if self._failure:
            return {"reason": self._failure}
        try:
            if self._client is None:
                self._open()
            return self._log(result, x_ND, identities_N)
        except Exception as error:
            self._failure = _reason(error)
        return {"reason": self._failure}

    def _open(self) -> None:
        """Imports mlflow and opens the store; under a lock, as creating it twice at once fails."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        # A server that is gone is given up after seconds, not minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from filelock import FileLock
        from mlflow import MlflowClient

        for name in ("mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._out_dir.mkdir(parents=True, exist_ok=True)
        artifacts = None
        uri = self._uri
        if not uri:
            uri = f"sqlite:///{self._out_dir / 'mlflow.db'}"
            artifacts = (self._out_dir / "mlartifacts").as_uri()
        _check_reachable(uri)
        with FileLock(self._out_dir / "mlflow.lock", timeout=60):
            client = MlflowClient(tracking_uri=uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            self._experiment = (
                experiment.experiment_id
                if experiment
                else client.create_experiment(EXPERIMENT, artifact_location=artifacts)
            )
        self._client = client

    def _log(
        self, result: TrainingResult, x_ND: Tensor | None, identities_N: Tensor
    ) -> dict[str, str]:
        from mlflow.entities import Metric, Param

        tags = {**self._tags, **_tags(result)}
        if "commit" in tags:
            tags["mlflow.source.git.commit"] = tags["commit"]
        if not self._uri:
            self._forget(result.name)
        run = self._client.create_run(self._experiment, tags=tags, run_name=result.name)
        run_id = run.info.run_id
        now = int(time.time() * 1000)
        points = [
            Metric(name, value, now, int(row["epoch"] or 0))
            for row in result.epochs
            for name, value in row.items()
            if name != "epoch" and value is not None and math.isfinite(value)
        ]
        parameters = [Param(name, _text(value)) for name, value in _parameters(result).items()]
        self._client.log_batch(run_id, params=parameters)
        for start in range(0, len(points), _LIMIT):
            self._client.log_batch(run_id, metrics=points[start : start + _LIMIT])
        if x_ND is not None and x_ND.shape[1] >= 2:
            self._client.log_figure(
                run_id, scatter(x_ND, identities_N, result.name), "embeddings.png"
            )
        self._client.set_terminated(run_id, "FINISHED" if result.status == "ok" else "FAILED")
        store = _without_secrets(self._uri) if self._uri else "mlflow.db"
        return {"store": store, "experiment_id": str(self._experiment), "run_id": run_id}

    def _forget(self, name: str) -> None:
        """Deletes what a run that was killed here had logged of the same training."""
        named = f"attributes.run_name = '{name}'"
        for old in self._client.search_runs([self._experiment], filter_string=named):
            self._client.delete_run(old.info.run_id)


def _check_reachable(uri: str) -> None:
    """Connects to a database once, and raises what that raises: mlflow itself would go on trying
    a store that is gone for a hundred seconds."""
    from sqlalchemy import create_engine, make_url

    if uri.split(":")[0].split("+")[0] not in ("sqlite", "postgresql", "mysql", "mssql"):
        return
    url = make_url(uri)
    if url.drivername.startswith("sqlite") and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    arguments = {"connect_timeout": 10} if url.drivername.startswith("postgresql") else {}
    engine = create_engine(url, connect_args=arguments)
    engine.connect().close()
    engine.dispose()


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "mlflow":
        return "mlflow is not installed"
    first = str(error).strip().split("\n")[0][:300]
    return _without_secrets(f"{type(error).__name__}: {first}")


def _without_secrets(text: str) -> str:
    """Without the user and password that a store's address may hold."""
    return re.sub(r"//[^/@\s]+@", "//", text)


def _parameters(result: TrainingResult) -> dict[str, Any]:
    named = ("loss", "variant", "contender", "dataset", "seed")
    return {**{name: getattr(result, name) for name in named}, **result.settings}


def _tags(result: TrainingResult) -> dict[str, str]:
    tags = {"status": result.status}
    if result.reason:
        tags["reason"] = result.reason
    missing = {name for row in result.epochs[1:] for name, value in row.items() if value is None}
    if missing:
        tags["not_finite"] = ", ".join(sorted(missing))
    return tags


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def scatter(x_ND: Tensor, identities_N: Tensor, title: str) -> Any:
    """A matplotlib figure: the directions of the embeddings on their two principal axes."""
    import torch.nn.functional as F
    from matplotlib.figure import Figure
    from sklearn.decomposition import PCA

    points = PCA(n_components=2, svd_solver="full").fit_transform(F.normalize(x_ND).numpy())
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for i, identity in enumerate(identities_N.unique().tolist()):
        of = points[(identities_N == identity).numpy()]
        colour, marker = _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
        label = f"identity {identity}"
        axes.scatter(of[:, 0], of[:, 1], s=8, c=colour, marker=marker, linewidths=0, label=label)
    axes.set(title=title, xlabel="first principal axis", ylabel="second", aspect="equal")
    axes.title.set_fontsize(8)
    axes.legend(fontsize=7)
    return figure
