"""The diffusion model: what it learns from, its loss and its sample pictures."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity, to_dict
from repose_jax.common.ranges import check_fields
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import examples
from repose_jax.evaluation.report.contact_sheet import SheetRow, draw_sheet
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig, check_model, check_place
from repose_jax.models.pose_energy import Guide
from repose_jax.models.pose_energy_file import load_guide
from repose_jax.models.pose_transfer import Params, RePoseModel
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.models.weights import Pretrained, load_autoencoder, load_facing, load_model
from repose_jax.networks.autoencoder import AutoencoderConfig
from repose_jax.networks.facing import FacingConfig
from repose_jax.networks.finer_cells import with_finer_cells
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.painter import with_scene
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.tasks.task import Stream, Task, digest
from repose_jax.training.config import LoopConfig
from repose_jax.training.weight_file import fitted

PARTS = ("encoder", "alignment", "painter")
"""The parts of a network that run once a picture; the rest is the denoiser's U-Net."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Everything `repose train` needs to know.

    Attributes:
      model: the model.
      data: what it learns from.
      objective: what is asked of it.
      sample: the settings of the sampler that suit it, kept in the model file.
      train: how long, how often.
      frozen: parts of the network that stay as `--init` gives them, among `PARTS`.
      first_stage: an autoencoder, whose latents are learnt in place of pictures: a file or the folder
        of a run or an import. `model.first-stage` takes its sizes. It is never trained.
    """

    model: ModelConfig
    data: DataConfig = DataConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    sample: SampleConfig = SampleConfig()
    train: LoopConfig = LoopConfig(total_images=100_000, batch_size=16)
    frozen: tuple[str, ...] = ()
    first_stage: str = ""

    def __post_init__(self):
        check_fields(self)
        if not set(self.frozen) <= set(PARTS):
            raise UserError("frozen", f"is {', '.join(self.frozen)}",
                            f"give some of {', '.join(PARTS)}")
        check_model(self.model)
        check_place(self.objective.keep_place, self.model)
        self.sample.check(self.model)

    def task(self, init: str | os.PathLike[str] | None = None) -> PoseTransferTask:
        """See `repose_jax.tasks.task.Experiment`."""
        return PoseTransferTask(self, init)


class PoseTransferTask(Task):
    """Trains the diffusion model of an experiment, all of it or what is not frozen."""

    kind = "model"

    def __init__(self, experiment: ExperimentConfig, init: str | os.PathLike[str] | None):
        self.experiment, self.loop, self._init = experiment, experiment.train, init
        self.config, stage = with_first_stage(experiment)
        self.model, self._parts = RePoseModel(self.config), {}
        self._kept = (*experiment.frozen, *(["first_stage"] if self.config.latent else []))
        if init is not None:
            whole = initial(init, self.config, jax.eval_shape(
                self.model.init, jax.random.key(0)))
            self._parts, self.given = ({name: part for name, part in whole.items()
                                        if (name in self._kept) == kept} for kept in (True, False))
        if stage is not None:
            self._parts["first_stage"] = _same_stage(init, self._parts.get("first_stage"), stage)
        self.guide = guide_of(experiment)
        self.frozen = {"parts": self._parts, "guide": self.guide}

    def init(self, key: Key[Array, ""]) -> Params:
        return {name: part for name, part in self.model.init(key).items()
                if name not in self._kept}

    def data(self, folder: pathlib.Path) -> Stream:
        if self.experiment.frozen and self._init is None:
            raise UserError("frozen", "has nothing to keep", "give --init MODEL, also to go on")
        if self.config.latent and "first_stage" not in self._parts:
            raise UserError("first-stage", "is not given, and the model diffuses its latents",
                            "give --first-stage FILE, also to go on")
        self.source, stream = open_pairs(
            self.experiment.data, self.config.network, self.loop.batch_size)
        judged = self.guide.sha256 if self.guide else {}
        return dataclasses.replace(stream, identity={**stream.identity, **judged})

    def batch_shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        return pair_shapes(self.config.network, self.loop.batch_size)

    def frozen_shapes(self) -> Params:
        whole = jax.eval_shape(self.model.init, jax.random.key(0))
        return {"parts": {name: part for name, part in whole.items() if name in self._kept},
                "guide": jax.eval_shape(lambda: self.guide)}

    def loss(self, params, frozen, batch, keys, train=True):
        judge = frozen["guide"] and frozen["guide"].judged
        return self.model.loss({**params, **frozen["parts"]}, batch, keys,
                               self.experiment.objective, train, judge=judge)

    def validation_loss(self, params, frozen, batch, keys):
        return self.loss(params, frozen, batch, keys, train=False)

    def draw(self, params: Params) -> Image.Image:
        return sample_picture(self.model, {**params, **self._parts}, self.source,
                              self.experiment.sample)

    def identity(self) -> dict[str, Any]:
        return {"model": identity(self.config), "data": self.experiment.data.identity(),
                "objective": identity(self.experiment.objective)} | (
                    {"frozen": digest(self._parts)} if self._parts else {})

    def finish(self, params: Params) -> Params:
        return jax.device_get({**params, **self._parts})

    def facts(self, images: int) -> dict[str, Any]:
        return {"images": images, "init": self._init and pathlib.Path(self._init).name,
                "data": self.experiment.data.name}

    def more(self) -> dict[str, Any]:
        return {"sample": to_dict(self.experiment.sample)}


def with_first_stage(
    experiment: ExperimentConfig,
) -> tuple[ModelConfig, Pretrained[AutoencoderConfig] | None]:
    """The model's configuration with the sizes of the first stage that is named, and that one.

    Raises:
      UserError: it is none, is of other sizes than the model says, or makes no model.
    """
    config = experiment.model
    if not experiment.first_stage:
        return config, None
    stage = load_autoencoder(experiment.first_stage)
    if config.latent and config.first_stage != stage.config:
        raise UserError(experiment.first_stage, f"has the sizes {stage.config}, the model's first "
                        f"stage {config.first_stage}", "use one of the same")
    config = dataclasses.replace(config, first_stage=stage.config)
    check_model(config)
    return config, stage


def _same_stage(
    init: str | os.PathLike[str] | None, theirs: Params | None, ours: Pretrained[AutoencoderConfig]
) -> Params:
    """The first stage of a model to start from, or the one that is named, which must be the same.

    Model files hold 16 bits of each number, to which they are compared. In the latents of another
    the model's weights would mean nothing.
    """
    if theirs is None:
        return ours.params

    def digest_of(params: Params) -> str:
        return digest(jax.tree.map(lambda x: np.asarray(x, np.float16), params))

    if digest_of(theirs) != digest_of(ours.params):
        raise UserError(init or "init", f"was trained in the latents of another first stage than "
                        f"{ours.name}", "leave --first-stage out, or give the one it was trained in")
    return theirs


def pair_shapes(network: NetworkConfig, count: int) -> dict[str, jax.ShapeDtypeStruct]:
    """What a batch of so many pairs will be."""
    picture = jax.ShapeDtypeStruct((count, *network.image_size, 3), np.uint8)
    pose = jax.ShapeDtypeStruct((count, len(SKELETONS[network.skeleton].joints), 3), np.float32)
    return {"source": picture, "target": picture, "source_pose": pose, "target_pose": pose}


def open_pairs(
    data: DataConfig, network: NetworkConfig, count: int, flow: bool = False
) -> tuple[PairSource, Stream]:
    """The training pairs of a network, in batches of so many; with `flow` the true one is in them.

    Raises:
      UserError: the data cannot be used.
    """
    size = {"skeleton": network.skeleton, "size": network.image_size}
    source = data.open("train", **size)
    return source, Stream(
        data.batches(source, count, flow=flow), source.identity,
        [("data", text) for text in source.notes],
        functools.partial(data.held_out_batches, count, flow=flow, **size))


def guide_of(config: ExperimentConfig) -> Guide | None:
    """What judges poses in training; None where the objective does not ask for it.

    Raises:
      UserError: an estimator or a field is not named or cannot be used.
    """
    objective = config.objective
    if not objective.field_weight:
        return None
    return load_guide(GuidanceConfig(
        pif=1.0, estimator=objective.estimator, field=objective.field), config.model.network)


def initial(
    init: str | os.PathLike[str], ours: ModelConfig, like: Params, facing: str = ""
) -> Params:
    """The weights of a model to start from.

    One whose painter keeps no scene may begin one that does (`repose_jax.networks.painter`), one
    whose flow starts flat one whose flow starts turned, and one of smaller pictures one whose cells
    have so many times the pixels (`repose_jax.networks.finer_cells`).

    Args:
      init: the model, see `model_path`.
      ours: the new model's configuration; its prediction, schedule, skeleton and first stage must be
        theirs.
      like: shapes of the new model's parameters.
      facing: what tells where a person faces at first, in place of what the model has learnt; see
        `with_facing`. A model that cannot yet tell needs it.

    Raises:
      UserError: no model, or one whose weights mean something else.
    """
    loaded = load_model(init)
    theirs = loaded.model.config
    for name, a, b in (("prediction", theirs.prediction, ours.prediction),
                       ("schedule", theirs.schedule, ours.schedule),
                       ("skeleton", theirs.network.skeleton, ours.network.skeleton),
                       ("first stage", theirs.first_stage, ours.first_stage)):
        if a != b:
            raise UserError(init, f"has the {name} {a}, this run {b}", "use the same")
    params, painter = loaded.params, theirs.network.painter
    if ours.network.painter.scene and painter.channels and not painter.scene:
        grown = with_scene(params["painter"], theirs.network.unet.patch)
        params = {**params, "painter": grown}
    if ours.network.rpa.initial == "turned" and (
            facing or theirs.network.rpa.initial != "turned"):
        params = with_facing(params, ours, facing)
    cells, finer = theirs.network.unet.patch, ours.network.unet.patch
    if finer > cells > 1 and finer % cells == 0:
        params = with_finer_cells(params, cells, finer // cells)
    return fitted(init, params, like)


def with_facing(params: Params, config: ModelConfig, facing: str) -> Params:
    """A model's parameters with what tells where a person faces, the flow's start being "turned".

    Args:
      params: of the model.
      config: of the model.
      facing: bundled name, file or run.

    Raises:
      UserError: it is not named, or of another skeleton.
    """
    if not facing:
        raise UserError("facing", "is not named, and a flow that starts turned needs it",
                        "give --facing facing-openpose18, or as the model's skeleton is called")
    loaded = load_facing(facing)
    if loaded.config != FacingConfig(skeleton=config.network.skeleton):
        raise UserError(facing, f"is of {loaded.config}", f"give one of {config.network.skeleton}")
    return {**params, "alignment": {**params["alignment"], "facing": loaded.params}}


def sample_picture(
    model: RePoseModel, params: Params, source: PairSource, sample: SampleConfig, count: int = 8
) -> Image.Image:
    """Source, target pose, output and target of some pairs, without gradient guidance.

    Args:
      model, params: the model.
      source: people in its skeleton and size.
      sample: settings of the sampler.
      count: pairs, always the same.
    """
    pairs = np.random.default_rng(0).integers(0, len(source.pairs), count)
    batch = examples(source, pairs)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(count))
    output, _ = generate(model, params, batch["source"], batch["source_pose"],
                         batch["target_pose"], keys,
                         dataclasses.replace(sample, guidance=GuidanceConfig()))
    rows = map(SheetRow, batch["source"], batch["target_pose"], np.asarray(output), batch["target"])
    return draw_sheet(rows, source.skeleton)
