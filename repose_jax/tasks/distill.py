"""A student of few steps: what it learns from its teacher (docs/method.md, 38)."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity, to_dict
from repose_jax.common.ranges import Positive, check_fields
from repose_jax.data.config import DataConfig
from repose_jax.diffusion.distillation import aim, distillation_loss, landed, stops
from repose_jax.diffusion.time_grid import TimeGrid
from repose_jax.models.model_config import check_place
from repose_jax.models.pose_transfer import Batch, Params, RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import coloured, kept
from repose_jax.models.weights import load_model
from repose_jax.networks.place import in_place_of
from repose_jax.tasks.pose_transfer import initial, open_pairs, pair_shapes, sample_picture
from repose_jax.tasks.task import Stream, Task, digest
from repose_jax.training.config import LoopConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillExperiment:
    """A student and what it learns from.

    Attributes:
      teacher: the model: a bundled name, a file or a run. The student is like it in all but the weights
        of its U-Net and the settings of its sampler, and begins as the teacher, or as `--init` says.
      steps: evaluations with which the student is to do.
      substeps: steps of the teacher for one of the student's.
      times: how the student's evaluations are spaced.
      data: pairs, whose targets tell which noisy pictures there are.
      keep_place: of the target's person in the source's place, as the teacher was asked for.
      train: the course of training.
    """

    teacher: str = "market1501"
    steps: Positive = 1
    substeps: Positive = 8
    times: TimeGrid = "trailing"
    data: DataConfig = DataConfig()
    keep_place: bool = False
    train: LoopConfig = LoopConfig(total_images=100_000, batch_size=16)

    def __post_init__(self):
        check_fields(self)

    def task(self, init: str | os.PathLike[str] | None = None) -> DistillTask:
        """See `repose_jax.tasks.task.Experiment`."""
        return DistillTask(self, init)


def student_sample(teacher: SampleConfig, steps: int, times: TimeGrid) -> SampleConfig:
    """The settings of a student's sampler.

    Classifier-free guidance is in what the student has learnt (Meng et al. 2023).
    """
    return dataclasses.replace(teacher.unweighted(), steps=steps, times=times, sampler="ddim",
                               eta=0.0)


class DistillTask(Task):
    """Trains the U-Net of a student; the rest of the model is its teacher's."""

    kind = "model"

    def __init__(self, experiment: DistillExperiment, init: str | os.PathLike[str] | None):
        teacher = load_model(experiment.teacher)
        self.experiment, self.loop, self.config = experiment, experiment.train, teacher.config
        if self.config.prediction == "epsilon":
            raise UserError(experiment.teacher, "predicts noise, which tells no picture where there is "
                            "nothing else", "distil a model that predicts v or the picture")
        if teacher.sample.classifier_free_interval != (0.0, 1.0):
            raise UserError(experiment.teacher, "has classifier-free guidance in a part of its steps",
                            "distil a model that has it in all of them, or none")
        check_place(experiment.keep_place, self.config)
        self.model, self._teacher = teacher.model, teacher.sample
        self.sample = student_sample(teacher.sample, experiment.steps, experiment.times)
        self.sample.check(self.config)
        self._way = stops(self.sample.evaluated(self.model.schedule), experiment.substeps)
        begun = teacher.params if init is None else initial(init, self.config, jax.eval_shape(
            self.model.init, jax.random.key(0)))
        self.given, self.frozen = {"unet": begun["unet"]}, {"teacher": teacher.params}
        self._init = init

    def init(self, key: Key[Array, ""]) -> Params:
        return {"unet": self.model.init(key)["unet"]}

    def data(self, folder: pathlib.Path) -> Stream:
        self.source, stream = open_pairs(
            self.experiment.data, self.config.network, self.loop.batch_size)
        return stream

    def batch_shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        return pair_shapes(self.config.network, self.loop.batch_size)

    def loss(self, params, frozen, batch, keys):
        which, noise = (jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys) for i in range(2))
        chosen = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(self._way)))(which)
        return distilled(self.model, {**frozen["teacher"], **params}, frozen["teacher"], batch,
                         jnp.asarray(self._way)[chosen], chosen == 0, noise, self._teacher,
                         self.experiment.keep_place)

    def draw(self, params: Params) -> Image.Image:
        return sample_picture(self.model, self.finish(params), self.source, self.sample)

    def identity(self) -> dict[str, Any]:
        return {"model": identity(self.config), "data": self.experiment.data.identity(),
                "steps": self.experiment.steps, "substeps": self.experiment.substeps,
                "times": self.experiment.times, "keep_place": self.experiment.keep_place,
                "teacher": digest(self.frozen)}

    def finish(self, params: Params) -> Params:
        assert self.frozen is not None
        return jax.device_get({**self.frozen["teacher"], **params})

    def facts(self, images: int) -> dict[str, Any]:
        return {"images": images, "teacher": pathlib.Path(self.experiment.teacher).name,
                "init": self._init and pathlib.Path(self._init).name, "data": self.experiment.data.name}

    def more(self) -> dict[str, Any]:
        return {"sample": to_dict(self.sample)}


def distilled(
    model: RePoseModel, student: Params, teacher: Params, batch: Batch, way: Int[Array, "batch stops"],
    first: Bool[Array, "batch"], keys: Key[Array, "batch"], sample: SampleConfig,
    keep_place: bool = False,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The loss of a student, a mean over the batch (docs/method.md, 38).

    Args:
      model: of both.
      student, teacher: their parameters.
      batch: as for `RePoseModel.loss`.
      way: the teacher's stops on the way for which the student is to do one step.
      first: whether it is the first step of sampling, which sees the painted picture where the teacher
        refines one.
      keys: of the noise, one for each pair.
      sample: the teacher's: its classifier-free guidance, and where it begins.
      keep_place: the target's person in the source's place.

    Returns:
      (loss, its parts).
    """
    source, target = (model.encode(teacher, batch[name]) for name in ("source", "target"))
    poses = batch["source_pose"], batch["target_pose"]
    # What sampling begins with and copies from is painted under the sampler's settings.
    model, teacher, student = coloured(model, sample), kept(teacher, sample), kept(student, sample)
    (guided,), painted = model.guided_denoisers(teacher, source, *poses, sample.coefficients())
    if keep_place:
        target, _ = in_place_of(source, target, *poses, model.network.skeleton)
    t, to = way[:, 0], way[:, -1]
    noise = jax.vmap(lambda key: jax.random.normal(key, target.shape[1:]))(keys)
    if sample.start < 1:
        target = jnp.where(first[:, None, None, None], painted, target)
        noise = sample.temperature * noise
    y = model.schedule.noised(target, noise, t)
    end = landed(guided, model.schedule, y, way, clip=model.bounded)
    aimed = jax.lax.stop_gradient(aim(model.schedule, y, end, t, to))
    x0 = model.denoiser(student, model.condition(student, source, *poses))(y, t).x0
    loss = distillation_loss(x0, aimed, model.schedule.alpha_bar(t)).mean()
    return loss, {"distillation": loss}
