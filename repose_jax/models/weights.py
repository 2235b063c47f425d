"""Networks as files: safetensors with the configuration and the facts inside.

A file holds one network: a model, one of the two that guide it, a pose estimator or a pose
interaction field, a re-identification network, a first stage, or what a task of somebody's own
made. It is named by a bundled name ("people-256"), by its path, or by the folder of the training run
that made it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.fields import from_dict, to_dict
from repose_jax.common.json_text import parse_json
from repose_jax.models.model_config import ModelConfig, check_model
from repose_jax.models.pose_transfer import Params, RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.networks.autoencoder import AutoencoderConfig, fresh_autoencoder
from repose_jax.networks.facing import FacingConfig, fresh_facing
from repose_jax.networks.pif import FieldConfig, fresh_field
from repose_jax.networks.pose_estimator import EstimatorConfig, fresh_estimator
from repose_jax.networks.reid import ReidConfig, fresh_reid
from repose_jax.training.weight_file import WeightFile, export_safetensors

FILE_NAME, BEST_NAME = "model.safetensors", "best.safetensors"

_HINT = "fetch or export it again, or give a file that `repose train` wrote"
_BUNDLED = pathlib.Path(__file__).parents[1] / "weights"
_FORMAT = "repose_jax {} 1"  # with the kind of network that a file holds


Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class Pretrained(Generic[Config]):
    """A network as a file held it.

    Attributes:
      name: how the user called it.
      config: of the network.
      params: parameters, float32.
      facts: what was written beside them (images seen, data, start).
      sha256: of the file.
      metadata: every string of the file, for what only some kinds have.
    """

    name: str
    config: Config
    params: Params
    facts: dict
    sha256: str
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedModel(Pretrained[ModelConfig]):
    """A model, and the settings of the sampler that suit it.

    Attributes:
      sample: these settings.
    """

    sample: SampleConfig

    @functools.cached_property
    def model(self) -> RePoseModel:
        """Its pure functions."""
        return RePoseModel(self.config)


def bundled() -> dict[str, pathlib.Path]:
    """The files that ship with the package, by name."""
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
    """The card of a bundled file, Markdown."""
    if name not in bundled():
        raise UserError(name, "is not a bundled model", f"choose one of {', '.join(bundled())}")
    return (_BUNDLED / f"{name}.md").read_text(encoding="utf-8")


def kind_of(name: str | os.PathLike[str]) -> str:
    """Which kind of network a file holds, the `kind` of the task that trained it.

    Raises:
      UserError: missing, damaged, or not of this package.
    """
    return _kind(WeightFile.read(model_path(name)))


def _kind(file: WeightFile) -> str:
    words = file.metadata.get("format", "").split()
    if len(words) == 3 and _FORMAT.format(words[1]) == " ".join(words):
        return words[1]
    raise UserError(file.path, "is not a model of this package",
                    "give a file that `repose train` wrote")


def save_weights(
    path: str | os.PathLike[str], kind: str, config: Any, params: Params, facts: dict,
    dtype: Any = np.float16, **more: Any,
) -> None:
    """Writes a network, all or nothing.

    Args:
      path: of the file.
      kind: of the network.
      config: its configuration, a dataclass.
      params: its parameters.
      facts: JSON-able, on how it came about.
      dtype: of the parameters in the file.
      **more: further JSON-able values by name.

    Raises:
      UserError: where the file cannot be written.
    """
    content = {"config": to_dict(config), "facts": facts} | more
    export_safetensors(path, params, {"format": _FORMAT.format(kind)} | {
        name: json.dumps(value) for name, value in content.items()}, dtype)


def load_weights(
    name: str | os.PathLike[str], kind: str, config_type: type[Config],
    init: Callable[[Config], Callable[[jax.Array], Params]], like: Config | None = None,
) -> Pretrained[Config]:
    """Reads a network.

    Args:
      name: of the file, see `model_path`.
      kind: that it must be of.
      config_type: dataclass of its configuration.
      init: from the configuration to the function that makes fresh parameters from a key; their
        names and shapes are what the file must hold.
      like: the configuration that it must have; None takes any.

    Raises:
      UserError: missing, damaged, of another kind, or of another configuration than its tensors
        or `like`.
    """
    file = WeightFile.read(model_path(name))
    found = _kind(file)
    if found != kind:
        raise UserError(name, f"holds a network of kind {found}", f"give one of kind {kind}")
    facts = _parsed(file.path, file.metadata, "facts")
    if not isinstance(facts, dict):
        raise UserError(f"{file.path}: facts", "are no table of facts", _HINT)
    settings = _parsed(file.path, file.metadata, "config")
    with _about(file.path):
        config = from_dict(config_type, settings, "config")
        if isinstance(config, ModelConfig):
            check_model(config)
        _refuse_larger(config, len(file.tensors))
    if like is not None and config != like:
        raise UserError(name, f"has the configuration {config}", f"use one of {like}")
    params = file.params(like=_expected(file.path, config, init))
    return Pretrained(os.fspath(name), config, jax.tree.map(jnp.asarray, params), facts,
                      file.sha256, file.metadata)


def _parsed(path: pathlib.Path, metadata: Mapping[str, str], name: str) -> Any:
    """One of the strings of a file, which are JSON."""
    if name not in metadata:
        raise UserError(path, f"does not say its {name}", _HINT)
    return parse_json(metadata[name], f"{path}: {name}", "is no JSON", _HINT)


@contextlib.contextmanager
def _about(path: pathlib.Path) -> Iterator[None]:
    """Errors about the settings in a file name the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error.where}", error.what, error.mend) from None


def _refuse_larger(config: Any, tensors: int) -> None:
    """Raises UserError where a configuration has more layers than a file has tensors.

    To trace such a network could take for ever.
    """
    networks = [config]
    if isinstance(config, ModelConfig):
        unet = config.network.unet
        # Two halves and a source encoder.
        networks = [unet, unet, unet, config.network.painter, config.first_stage]
    # Two convolutions, each with kernel and bias, are in any residual block.
    least = getattr(config, "depth", 0) + sum(
        4 * len(part.channels) * part.blocks for part in networks
        if hasattr(part, "channels") and hasattr(part, "blocks"))
    if least > tensors:
        raise UserError("config", f"asks for {least} tensors or more, the file has {tensors}", _HINT)


def _expected(
    path: pathlib.Path, config: Any, init: Callable[[Any], Callable[[jax.Array], Params]]
) -> Params:
    """Names, shapes and types of the parameters of a configuration."""
    try:
        return _shapes(init, config)
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError, AssertionError,
            flax.errors.FlaxError) as error:
        # Each number may be in range and all of them together still make no network.
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: config", f"makes no network ({first:.120})", _HINT) from None


@functools.lru_cache(maxsize=32)
def _shapes(init: Callable[[Any], Callable[[jax.Array], Params]], config: Any) -> Params:
    """Shapes and types of fresh parameters; to trace a network takes longer than to read its file."""
    return jax.eval_shape(init(config), jax.random.key(0))


def _fresh_model(config: ModelConfig) -> Callable[[jax.Array], Params]:
    return RePoseModel(config).init


def save_model(
    path: str | os.PathLike[str], config: ModelConfig, params: Params, facts: dict,
    sample: SampleConfig, dtype: Any = np.float16,
) -> None:
    """Writes a model with the settings of the sampler that suit it; see `save_weights`."""
    save_weights(path, "model", config, params, facts, dtype, sample=to_dict(sample))


def load_model(name: str | os.PathLike[str]) -> PretrainedModel:
    """Reads a model.

    Raises:
      UserError: missing, damaged, not a model of this package, or of another configuration than
        its tensors.
    """
    read = load_weights(name, "model", ModelConfig, _fresh_model)
    path = model_path(name)
    if read.config.latent:
        _check_scale(name, read.params["first_stage"])
    with _about(path):
        sample = from_dict(SampleConfig, _parsed(path, read.metadata, "sample"), "sample")
        sample.check(read.config)
    return PretrainedModel(**vars(read), sample=sample)


def load_facing(name: str | os.PathLike[str]) -> Pretrained[FacingConfig]:
    """Reads what tells which way a person faces; see `load_weights`."""
    return load_weights(name, "facing", FacingConfig, fresh_facing)


def load_estimator(name: str | os.PathLike[str]) -> Pretrained[EstimatorConfig]:
    """Reads a pose estimator; see `load_weights`."""
    return load_weights(name, "estimator", EstimatorConfig, fresh_estimator)


def load_field(name: str | os.PathLike[str]) -> Pretrained[FieldConfig]:
    """Reads a pose interaction field; see `load_weights`."""
    return load_weights(name, "field", FieldConfig, fresh_field)


def load_reid(name: str | os.PathLike[str]) -> Pretrained[ReidConfig]:
    """Reads a re-identification network; see `load_weights`."""
    return load_weights(name, "reid", ReidConfig, fresh_reid)


def load_autoencoder(name: str | os.PathLike[str]) -> Pretrained[AutoencoderConfig]:
    """Reads a first stage, trained here or imported; see `load_weights`.

    Raises:
      UserError: also for latents whose scale is no number that can be divided by.
    """
    read = load_weights(name, "first-stage", AutoencoderConfig, fresh_autoencoder)
    _check_scale(name, read.params)
    return read


def _check_scale(name: str | os.PathLike[str], first_stage: Params) -> None:
    """Raises UserError where latents cannot be divided by their scale."""
    if not (first_stage["scale"] > 0).all():
        raise UserError(name, "has latents of a scale that is not above 0", _HINT)
