"""RePoseDM: where network and diffusion meet.

`RePoseModel` is a value: configuration in, pure functions of parameters out. Training and the
pipeline are written on it; neither calls the network itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt8

from repose_jax.common.signal import to_image, to_signal
from repose_jax.diffusion.guidance import Branch, classifier_free, stack_branches
from repose_jax.diffusion.losses import denoising_loss, variational_loss
from repose_jax.diffusion.prediction import SIGMA_DATA, Denoiser, Prediction, interpret
from repose_jax.diffusion.schedule import Schedule
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig
from repose_jax.networks.apply import apply
from repose_jax.networks.autoencoder import Autoencoder, fresh_autoencoder
from repose_jax.networks.network import Context, Network
from repose_jax.networks.painter import Painting
from repose_jax.networks.place import in_place_of
from repose_jax.networks.rpa import Alignment
from repose_jax.pose.cells import in_cells

Params = Any
Batch = dict[str, Array]

PoseJudge = Callable[[Float[Array, "batch h w 3"], Float[Array, "batch"]], Float[Array, "batch"]]
"""(guessed picture, sqrt(1 - abar)) -> how invalid its pose is, see `Guide.judged`."""


@dataclasses.dataclass(frozen=True)
class RePoseModel:
    """Pure functions of parameters, which with a first stage hold its too, as "first_stage".

    What is diffused, the *signal*, is the picture in [-1, 1] or, with a first stage, its latents. Poses
    are in pixels of the picture everywhere but in the network.

    Attributes:
      config: the model.
    """

    config: ModelConfig

    @property
    def network(self) -> Network:
        """The linen module."""
        if not self.config.latent:
            return Network(self.config.network)
        stage = self.config.first_stage
        return Network(self.config.network, channels=stage.latent, cell=stage.factor)

    @property
    def schedule(self) -> Schedule:
        """The forward process."""
        return self.config.schedule

    @property
    def bounded(self) -> bool:
        """Whether the signal lies in [-1, 1], as pictures do and latents do not."""
        return not self.config.latent

    def encode(
        self, params: Params, pictures: UInt8[Array, "batch height width 3"]
    ) -> Float[Array, "batch h w c"]:
        """Pictures to the signal; see `ConditionalDenoiser`.

        Latents get the deviation that the preconditioning counts on, about that of pictures.
        """
        signal = to_signal(pictures)
        if not self.config.latent:
            return signal
        return SIGMA_DATA * apply(Autoencoder(self.config.first_stage), params["first_stage"], signal,
                                  method="latents")

    def pictures(
        self, params: Params, signal: Float[Array, "batch h w c"]
    ) -> Float[Array, "batch height width 3"]:
        """The signal as pictures in [-1, 1], of latents about so; what gradients pass through."""
        if not self.config.latent:
            return signal
        return apply(Autoencoder(self.config.first_stage), params["first_stage"], signal / SIGMA_DATA,
                     method="pictures")

    def decode(
        self, params: Params, signal: Float[Array, "batch h w c"]
    ) -> UInt8[Array, "batch height width 3"]:
        """`pictures`, rounded and clipped to 8 bits."""
        return to_image(self.pictures(params, signal))

    def _in_cells(self, pose: Float[Array, "batch joints 3"]) -> Float[Array, "batch joints 3"]:
        """A pose in pixels as the network wants it."""
        return in_cells(pose, self.config.first_stage.factor) if self.config.latent else pose

    def init(self, key: Key[Array, ""]) -> Params:
        """Fresh parameters."""
        inputs = self.network.dummy_inputs()
        params = self.network.init(key, *inputs, method="everything")["params"]
        if not self.config.latent:
            return params
        stage = fresh_autoencoder(self.config.first_stage)(jax.random.fold_in(key, 1))
        return {**params, "first_stage": stage}

    def align(
        self,
        params: Params,
        source: Float[Array, "batch h w c"],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
    ) -> Alignment:
        """The recurrent pose alignment alone, for drawing; its `picture` is one, not a signal."""
        found = apply(self.network, params, source, self._in_cells(source_pose),
                      self._in_cells(target_pose), method="align")
        return found._replace(picture=self.pictures(params, found.picture))

    def paint(
        self,
        params: Params,
        source: Float[Array, "batch h w 3"],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
    ) -> tuple[Painting, Alignment]:
        """The painted picture and the alignment it was painted from; only with a painter."""
        return apply(self.network, params, source, source_pose, target_pose,
                     method="paint")

    def condition(
        self,
        params: Params,
        source: Float[Array, "batch h w c"],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
        branch: Branch = "both",
    ) -> Context:
        """Everything that depends on source and poses alone.

        Args:
          params: parameters.
          source: signal of the source picture.
          source_pose, target_pose: pixels of the picture.
          branch: which of the conditions are kept.
        """
        present = jnp.full(source.shape[0], float(branch in ("source", "both")))
        keep_pose = float(branch in ("pose", "both"))
        return apply(self.network, params, source, self._in_cells(source_pose),
                     self._in_cells(target_pose) * keep_pose, present, method="condition")

    def denoiser(self, params: Params, context: Context) -> Denoiser:
        """The denoiser of a batch whose conditions are `context`."""

        def denoise(y: Float[Array, "batch h w c"], t: Int[Array, "batch"]) -> Prediction:
            return self._interpret(apply(self.network, params, y, t, context),
                                   y, t, context)

        return denoise

    def guided_denoisers(
        self,
        params: Params,
        source: Float[Array, "batch h w c"],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
        *coefficients: dict[Branch, float],
    ) -> tuple[tuple[Denoiser, ...], Float[Array, "batch h w c"]]:
        """The denoiser under each of several classifier-free guidances, the conditions made once.

        Args:
          coefficients: one or more, from `guidance.two_branch` or `guidance.disentangled`.

        Returns:
          (the denoisers, the signal that they copy from with all conditions given).
        """
        branches = tuple(dict.fromkeys(branch for each in coefficients for branch in each))
        given = tuple((branch in ("source", "both"), branch in ("pose", "both"))
                      for branch in branches)
        context = apply(self.network, params, source, self._in_cells(source_pose),
                        self._in_cells(target_pose), given, method="conditions")

        def part(branch: Branch) -> Context:
            place, size = branches.index(branch), source.shape[0]
            return jax.tree.map(lambda leaf: leaf[place * size:(place + 1) * size], context)

        def denoiser(weights: dict[Branch, float]) -> Denoiser:
            own = context if tuple(weights) == branches else stack_branches(*map(part, weights))
            return classifier_free(self.denoiser(params, own), tuple(weights.values()))

        full = part("both") if "both" in branches else self.condition(
            params, source, source_pose, target_pose)
        return tuple(map(denoiser, coefficients)), full.picture

    def _interpret(self, out, y, t, context) -> Prediction:
        return interpret(self.config.prediction, out.signal, y, self.config.schedule.alpha_bar(t),
                         variance=out.variance, copied=context.picture, copy_mask=out.copy,
                         fading=self.config.copy_fades)

    def loss(
        self,
        params: Params,
        batch: Batch,
        keys: Key[Array, "batch"],
        objective: ObjectiveConfig = ObjectiveConfig(),
        train: bool = True,
        judge: PoseJudge | None = None,
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The training loss, a mean over the batch.

        Args:
          params: parameters.
          batch: "source", "target" uint8 [batch, h, w, 3]; "source_pose", "target_pose"
            [batch, joints, 3].
          keys: one for each pair, so that the loss does not depend on how pairs are batched.
          objective: dropped conditions, draws.
          train: apply dropout.
          judge: what the objective's field weight applies to; needed where that is not 0.

        Returns:
          (loss, its parts).

        Raises:
          ValueError: for a field weight without a judge.
        """
        cfg, draws = self.config, objective.draws
        source, target = (self.encode(params, batch[name]) for name in ("source", "target"))
        drop_key, time_key, noise_key, dropout_key = (
            jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys) for i in range(4))

        u = jax.vmap(jax.random.uniform)(drop_key)
        no_source = u < objective.drop_source
        no_pose = u > 1 - objective.drop_pose
        neither = (u > 0.5) & (u < 0.5 + objective.drop_both)
        present = 1.0 - (no_source | neither)
        keep_pose = 1.0 - (no_pose | neither)
        context = apply(self.network, params, source, self._in_cells(batch["source_pose"]),
                        self._in_cells(batch["target_pose"]) * keep_pose[:, None, None], present,
                        dropout_key if train else None, method="condition")

        if objective.keep_place:
            answer, _ = in_place_of(source, target, batch["source_pose"], batch["target_pose"],
                                    self.network.skeleton)
            target = jnp.where(present[:, None, None, None] > 0, answer, target)
        levels = cfg.schedule.up_to(objective.noise)
        t = jax.vmap(lambda key: jax.random.randint(key, (draws,), 0, levels))(
            time_key).reshape(-1)
        noise = jax.vmap(lambda key: jax.random.normal(key, (draws, *target.shape[1:])))(
            noise_key).reshape(-1, *target.shape[1:])
        target, context = jax.tree.map(lambda x: jnp.repeat(x, draws, axis=0), (target, context))
        y = cfg.schedule.noised(target, noise, t)
        dropout_keys = jax.vmap(lambda key: jax.random.split(key, draws))(dropout_key).reshape(-1)
        out = apply(self.network, params, y, t, context, dropout_keys if train else None)
        prediction = self._interpret(out, y, t, context)

        abar = cfg.schedule.alpha_bar(t)
        parts = {"mse": denoising_loss(cfg.prediction, prediction, target, noise, abar,
                                       objective.min_snr).mean()}
        if cfg.network.learned_variance:
            parts["vlb"] = variational_loss(cfg.schedule, prediction, target, y, t).mean()
        if objective.field_weight:
            if judge is None:
                raise ValueError("the field as a loss needs a judge")
            share = (1 - abar)[:, 0, 0, 0]
            shown = self.pictures(params, prediction.x0)
            wrong = judge(shown, jnp.sqrt(share)) * (share <= objective.field_noise)
            parts["field"] = objective.field_weight * wrong.mean()
        return jnp.asarray(sum(parts.values())), parts

    def denoised(
        self,
        params: Params,
        batch: Batch,
        t: Int[Array, "batch"],
        keys: Key[Array, "batch"],
        source_present: Float[Array, "batch"] | None = None,
        pose_present: Float[Array, "batch"] | None = None,
    ) -> Float[Array, "batch h w 3"]:
        """The clean picture that the model predicts from the noised target, [-1, 1] units.

        Args:
          params: parameters.
          batch: as for `loss`.
          t: time step of each picture.
          keys: of the noise, one for each picture.
          source_present, pose_present: 1 or 0, whether each picture's source and target pose are
            given; None gives them all.
        """
        source, target = (self.encode(params, batch[name]) for name in ("source", "target"))
        ones = jnp.ones(source.shape[0])
        source_present = ones if source_present is None else source_present
        pose_present = ones if pose_present is None else pose_present
        context = apply(self.network, params, source, self._in_cells(batch["source_pose"]),
                        self._in_cells(batch["target_pose"]) * pose_present[:, None, None],
                        source_present, method="condition")
        noise = jax.vmap(lambda key: jax.random.normal(key, target.shape[1:]))(keys)
        guessed = self.denoiser(params, context)(self.config.schedule.noised(target, noise, t), t)
        return self.pictures(params, guessed.x0)

    def picture_error(
        self,
        params: Params,
        batch: Batch,
        t: Int[Array, "batch"],
        keys: Key[Array, "batch"],
    ) -> Float[Array, "batch"]:
        """Mean squared error of `denoised`, whose arguments these are."""
        error = self.denoised(params, batch, t, keys) - to_signal(batch["target"])
        return jnp.mean(error**2, axis=(1, 2, 3))
