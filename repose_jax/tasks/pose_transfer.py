"""An experiment, run: data, model, loss and sample pictures of one configuration."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float, Key
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import batches, examples
from repose_jax.evaluation.report.contact_sheet import SheetRow, draw_sheet
from repose_jax.models.pose_energy import Guide
from repose_jax.models.pose_energy_file import LoadedGuide, load_guide
from repose_jax.models.pose_transfer import (
    Batch, ModelConfig, ObjectiveConfig, Params, RePoseModel, check_model)
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.models.weights import FILE_NAME, load_model, save_model
from repose_jax.training.config import LoopConfig
from repose_jax.training.loop import train
from repose_jax.training.step import Metrics
from repose_jax.training.weight_file import fitted


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Everything `repose train` needs to know.

    Attributes:
      model: the model.
      data: what it learns from.
      objective: what is asked of it.
      sample: the settings of the sampler that suit it, kept in the model file.
      train: how long, how often.
      frozen: parts of the network that stay as `--init` gives them, among encoder, alignment,
        painter and unet.
    """

    model: ModelConfig
    data: DataConfig = DataConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    sample: SampleConfig = SampleConfig()
    train: LoopConfig = LoopConfig(total_images=100_000, batch_size=16)
    frozen: tuple[str, ...] = ()

    def __post_init__(self):
        unknown = set(self.frozen) - {"encoder", "alignment", "painter", "unet"}
        if unknown or "unet" in self.frozen:
            raise UserError("frozen", f"is {', '.join(self.frozen)}",
                            "give some of encoder, alignment and painter")
        check_model(self.model)
        self.sample.check(self.model)


def run(
    config: ExperimentConfig,
    folder: str | os.PathLike[str],
    *,
    init: str | os.PathLike[str] | None = None,
    samples: int = 8,
    progress: bool = True,
    on_event: Callable[[str, dict], None] | None = None,
) -> pathlib.Path:
    """Trains a configuration into a folder, resuming what is there, and writes the model file.

    Args:
      config: the experiment.
      folder: gets checkpoints, log, loss curve and sample pictures.
      init: a model file whose weights are the start; None starts afresh.
      samples: pairs in each sample picture.
      progress: show a progress bar.
      on_event: see `repose_jax.training.loop.train`; also told each "note" on the data.

    Returns:
      The model file: the averaged parameters of the last step, complete or interrupted.

    Raises:
      UserError: data, model file or folder cannot be used.
    """
    folder = pathlib.Path(folder)
    model = RePoseModel(config.model)
    network = config.model.network
    source = config.data.open("train", skeleton=network.skeleton, size=network.image_size)
    fresh = functools.partial(jax.jit(model.init), jax.random.key(config.train.seed))
    params: Params | Callable[[], Params] = fresh
    if init is not None:
        params = initial(init, config.model, jax.eval_shape(fresh))
    frozen: Params = {}
    if config.frozen:
        if init is None:
            raise UserError("frozen", "has nothing to keep", "give --init MODEL, also to go on")
        frozen = {name: params[name] for name in config.frozen if name in params}
        params = {name: part for name, part in params.items() if name not in frozen}
    for text in source.notes:
        if on_event is not None:
            on_event("note", {"data": text})
    stream = batches(source, batch_size=config.train.batch_size, seed=config.data.seed,
                     flip=config.data.flip, augment=config.data.augment,
                     workers=config.data.workers)
    guide = guide_of(config)
    shown = np.random.default_rng(0).integers(0, len(source.pairs), samples)

    def draw(ema: Params, images: int) -> Image.Image:
        return sample_picture(config, {**ema, **frozen}, source, shown)

    trained = train(
        config.train, params=params, batches=stream, folder=folder,
        loss_fn=functools.partial(_loss, model, config.objective, guide and guide.guide),
        metadata={"model": identity(config.model), "data": config.data.identity(),
                  "objective": identity(config.objective),
                  "content": source.identity | (guide.sha256 if guide else {})} | (
                      {"frozen": digest(frozen)} if frozen else {}),
        frozen={"parts": frozen, "guide": guide and guide.params},
        sample_fn=draw if samples else None, on_event=on_event, progress=progress)
    path = folder / FILE_NAME
    save_model(path, config.model, jax.device_get({**trained.state.ema, **frozen}), {
        "images": trained.images, "init": None if init is None else pathlib.Path(init).name,
        "data": pathlib.Path(config.data.path).name}, config.sample)
    return path


def _loss(
    model: RePoseModel, objective: ObjectiveConfig, guide: Guide | None, params: Params,
    batch: Batch, keys: Key[Array, "batch"], frozen: Params,
) -> tuple[Float[Array, ""], Metrics]:
    """The model's loss; frozen are parts of the model, and the guide's that judges poses."""
    judge = None if guide is None else functools.partial(guide.judged, frozen["guide"])
    return model.loss({**params, **frozen["parts"]}, batch, keys, objective, judge=judge)


def guide_of(config: ExperimentConfig) -> LoadedGuide | None:
    """What judges poses in training; None where the objective does not ask for it.

    Raises:
      UserError: an estimator or a field is not named or cannot be used.
    """
    objective = config.objective
    if not objective.field_weight:
        return None
    return load_guide(GuidanceConfig(
        pif=1.0, estimator=objective.estimator, field=objective.field), config.model.network)


def digest(params: Params) -> str:
    """SHA-256 of parameters: of the bytes of all arrays, in the order of their names."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(params)):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def initial(init: str | os.PathLike[str], ours: ModelConfig, like: Params) -> Params:
    """The weights of a model to start from.

    Args:
      init: the model, see `model_path`.
      ours: the new model's configuration; its prediction, schedule and skeleton must be theirs.
      like: shapes of the new model's parameters.

    Raises:
      UserError: no model, or one whose weights mean something else.
    """
    loaded = load_model(init)
    theirs = loaded.model.config
    for name, a, b in (("prediction", theirs.prediction, ours.prediction),
                       ("schedule", theirs.schedule, ours.schedule),
                       ("skeleton", theirs.network.skeleton, ours.network.skeleton)):
        if a != b:
            raise UserError(init, f"has the {name} {a}, this run {b}", "use the same")
    return fitted(init, loaded.params, like)


def sample_picture(
    config: ExperimentConfig, params: Params, source: PairSource, pairs: np.ndarray
) -> Image.Image:
    """Source, target pose, output and target of some pairs, without gradient guidance."""
    batch = examples(source, pairs)
    sample = dataclasses.replace(config.sample, guidance=GuidanceConfig())
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(len(pairs)))
    output, _ = generate(RePoseModel(config.model), params, batch["source"], batch["source_pose"],
                         batch["target_pose"], keys, sample)
    rows = map(SheetRow, batch["source"], batch["target_pose"], np.asarray(output), batch["target"])
    return draw_sheet(rows, source.skeleton)
