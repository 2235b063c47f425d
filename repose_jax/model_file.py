"""Models as files: safetensors with the configuration and the card inside.

A model is named by a bundled name ("people"), by its file, or by the folder of the training run
that made it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib

import jax
import jax.numpy as jnp

from repose_jax.config import check_model, from_dict, to_dict
from repose_jax.errors import UserError
from repose_jax.generate import SampleConfig
from repose_jax.model import ModelConfig, Params, RePoseModel
from repose_jax.training.checkpoint import export_safetensors, load_safetensors

FILE_NAME = "model.safetensors"
_BUNDLED = pathlib.Path(__file__).parent / "models"
_FORMAT = "repose_jax model 1"


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model with its parameters.

    Attributes:
      name: how the user called it.
      model: the pure functions.
      params: parameters, float32.
      facts: what was written beside them (images seen, data, start).
      sample: the settings of the sampler that suit the model.
      sha256: of the file.
    """

    name: str
    model: RePoseModel
    params: Params
    facts: dict
    sample: SampleConfig
    sha256: str


def bundled() -> dict[str, pathlib.Path]:
    """The models that ship with the package, by name."""
    return {path.stem: path for path in sorted(_BUNDLED.glob("*.safetensors"))}


def model_path(name: str | os.PathLike[str]) -> pathlib.Path:
    """The file that a name, a file or a training folder stands for.

    Raises:
      UserError: for a name that is none of them.
    """
    path = pathlib.Path(name)
    if os.fspath(name) in bundled():
        return bundled()[os.fspath(name)]
    if os.path.isdir(path):
        path = path / FILE_NAME
    if not os.path.isfile(path):
        raise UserError(name, "is no model", "give a .safetensors file, the folder of a training "
                        f"run, or one of {', '.join(bundled())}")
    return path


def card(name: str) -> str:
    """The model card of a bundled model, Markdown."""
    if name not in bundled():
        raise UserError(name, "is not a bundled model", f"choose one of {', '.join(bundled())}")
    return (_BUNDLED / f"{name}.md").read_text(encoding="utf-8")


def save_model(
    path: str | os.PathLike[str], config: ModelConfig, params: Params, facts: dict,
    sample: SampleConfig,
) -> None:
    """Writes a model in float16, all or nothing, with the settings of the sampler that suit it.

    Raises:
      UserError: where the file cannot be written.
    """
    export_safetensors(path, params, {
        "format": _FORMAT, "config": json.dumps(to_dict(config)), "facts": json.dumps(facts),
        "sample": json.dumps(to_dict(sample))})


def load_model(name: str | os.PathLike[str]) -> LoadedModel:
    """Reads a model.

    Raises:
      UserError: missing, damaged, not a model of this package, or of another configuration than
        its tensors.
    """
    path = model_path(name)
    _, metadata = load_safetensors(path)
    if metadata.get("format") != _FORMAT:
        raise UserError(path, "is not a model of this package",
                        "give a file that `repose train` wrote")
    config = from_dict(ModelConfig, json.loads(metadata["config"]), f"{path}: config")
    sample = from_dict(SampleConfig, json.loads(metadata["sample"]), f"{path}: sample")
    check_model(config)
    model = RePoseModel(config)
    params, _ = load_safetensors(path, like=jax.eval_shape(model.init, jax.random.key(0)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return LoadedModel(os.fspath(name), model, jax.tree.map(jnp.asarray, params),
                       json.loads(metadata["facts"]), sample, digest)
