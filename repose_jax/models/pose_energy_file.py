"""Guides as files: the pose estimator and the pose interaction field that a sampling names."""

from __future__ import annotations

import os
from typing import Any

from repose_jax.common.errors import UserError
from repose_jax.models.pose_energy import Guide
from repose_jax.models.sample_config import GuidanceConfig
from repose_jax.models.weights import bundled, load_estimator, load_field
from repose_jax.networks.network import NetworkConfig


def check_judge(guide: Guide | None, name: str | os.PathLike[str], sha256: str) -> None:
    """Refuses, with a UserError, an estimator that would judge what it guided."""
    if guide is not None and guide.sha256["estimator"] == sha256:
        raise UserError(name, "would judge what it guided", "judge with another estimator")


def load_guide(config: GuidanceConfig, network: NetworkConfig) -> Guide | None:
    """Reads what a guidance needs for a model's pictures.

    Args:
      config: names the files.
      network: of the model that is guided.

    Returns:
      The guide; None where nothing is guided.

    Raises:
      UserError: a file is not named, cannot be used, or is for other pictures or poses.
    """
    if not config.active:
        return None
    read: dict[str, Any] = {"estimator": load_estimator(_named(config.estimator, "estimator"))}
    if config.pif:
        read["field"] = load_field(_named(config.field, "field"))
    for weights in read.values():
        if weights.config.skeleton != network.skeleton:
            raise UserError(weights.name, f"is for {weights.config.skeleton}, the model for "
                            f"{network.skeleton}", "name one of the model's skeleton")
    size = tuple(read["estimator"].config.image_size)
    if not read["estimator"].config.enlarged(network.image_size):
        raise UserError(read["estimator"].name, f"is for pictures of {size[0]}x{size[1]}, the "
                        f"model for {network.image_size[0]}x{network.image_size[1]}",
                        "name one of the model's size")
    field = read.get("field")
    return Guide(read["estimator"].params, field and field.params, read["estimator"].config,
                 field and field.config, tuple((kind, w.sha256) for kind, w in read.items()))


def _named(name: str, kind: str) -> str:
    if not name:
        some = ", ".join(n for n in bundled() if n.startswith(kind))
        raise UserError(f"guidance.{kind}", "is not given and the model names none",
                        f"give a file, a run's folder or one of {some}")
    return name
