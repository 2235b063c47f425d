"""RePoseDM in JAX/Flax: re-render a person from one photo in a new pose."""

from __future__ import annotations

import importlib

from repose_jax.common.errors import UserError

__version__ = "0.2.0"

# What is public -> where it is; importing JAX takes a second that `import repose_jax` need not cost.
_PUBLIC = {
    "PoseTransfer": "inference.pipeline", "SampleConfig": "models.sample_config",
    "GuidanceConfig": "models.sample_config", "NamedPose": "pose.formats",
    "read_pose": "pose.formats", "load_model": "models.weights", "generate": "models.sampling",
    "DataConfig": "data.config", "LoopConfig": "training.config",
    "OptimizerConfig": "training.state", "Task": "tasks.task", "Stream": "tasks.task",
    "fit": "tasks.fit", "Client": "inference.app.client", "Metric": "evaluation.metrics.metric",
    "PictureBatch": "evaluation.metrics.picture_batch"}

__all__ = ["UserError", "__version__", *_PUBLIC]


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"repose_jax.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
