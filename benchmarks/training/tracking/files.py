"""The files of a training in MLflow: figures, the dataset's facts, the job, the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import content, figures

MODEL = "model"


def write(folder: Path, result: Any, manifest: Mapping[str, Any]) -> None:
    """Writes ``manifest.json`` (the dataset), ``job.json`` (what it takes to train it again) and
    the figures that the result's series allow."""
    content.write_json(folder / "manifest.json", dict(manifest))
    content.write_json(folder / "job.json", {"job": result.job, "settings": result.settings})
    figures.draw(folder, result.series, result.name)


def model(folder: Path, run_id: str, path: Path) -> None:
    """The network in ``path`` as an MLflow model with its signature, for
    ``mlflow.pytorch.load_model("runs:/RUN/model")`` where this package can be imported.

    The requirements are given: MLflow would run the model in another process to find them.
    """
    import mlflow.pytorch
    import numpy
    import torch
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    from .. import backbones

    network = backbones.load(path)
    shape = tuple(backbones.read(path)["facts"]["image_shape"])
    with torch.no_grad():
        out = network(torch.zeros(1, *shape))
    single = numpy.dtype(numpy.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(single, (-1, *shape))]),
        outputs=Schema([TensorSpec(single, (-1, *out.shape[1:]))]),
    )
    mlflow.pytorch.save_model(
        network, str(folder), mlflow_model=Model(artifact_path=MODEL, run_id=run_id),
        signature=signature, pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
        serialization_format="pickle",
    )  # fmt: skip
