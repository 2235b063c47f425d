"""What a RePoseDM model is made of and what is asked of it in training, with their checks."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from repose_jax.common.errors import UserError
from repose_jax.common.fields import added
from repose_jax.common.ranges import Fraction, Range, Weight, check_fields, shown
from repose_jax.diffusion.prediction import Kind
from repose_jax.diffusion.schedule import Schedule
from repose_jax.networks.autoencoder import AutoencoderConfig
from repose_jax.networks.network import NetworkConfig
from repose_jax.pose.head_frame import has_head_frame
from repose_jax.pose.skeleton import SKELETONS


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model: what must be known to use its parameters.

    Attributes:
      network: sizes.
      schedule: the forward process.
      prediction: what the network's output means.
      copy_fades: the copied picture's weight falls as the signal returns (docs/method.md, 7); off
        for a painted picture, which the mask may keep to the last step (23).
      first_stage: an autoencoder whose latents are diffused in place of pictures (31); without
        channels there is none.
    """

    network: NetworkConfig = NetworkConfig()
    schedule: Schedule = Schedule()
    prediction: Kind = "epsilon"
    copy_fades: bool = added(True)
    first_stage: AutoencoderConfig = added(AutoencoderConfig())

    def __post_init__(self):
        check_fields(self, "model")

    @property
    def latent(self) -> bool:
        """Whether latents of a first stage are diffused."""
        return bool(self.first_stage.channels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is asked of the model in training.

    Attributes:
      drop_source: probability of training without the source.
      drop_pose: probability of training without the target pose.
      drop_both: probability of training without either.
      draws: noise levels drawn for each pair; the source is encoded and aligned once for all.
      noise: largest share of noise, 1 - abar, that is drawn; below 1 for a model that refines.
      min_snr: the picture's squared error is weighed by min(signal to noise, this), whatever is
        predicted; 0 = by the prediction's own weight (docs/method.md, equation 8).
      field_weight: of the squared distance to the valid poses, where the noise is low; 0 leaves it
        out (docs/method.md, equation 20).
      field_noise: share of noise, 1 - abar, up to which poses can be read.
      estimator, field: what reads and judges the poses: bundled names, files or runs.
      keep_place: ask for the target's person in the source's place, for pairs taken in two places;
        only for a model whose painter keeps a scene.
    """

    drop_source: Fraction = 0.1
    drop_pose: Fraction = 0.0
    drop_both: Fraction = 0.0
    draws: Annotated[int, Range(1, 1024)] = 1
    noise: Annotated[float, Range(0, 1, open_low=True)] = added(1.0)
    min_snr: Weight = added(0.0)
    field_weight: Weight = 0.0
    field_noise: Fraction = 0.5
    estimator: str = ""
    field: str = ""
    keep_place: bool = added(False)

    def __post_init__(self):
        check_fields(self, "objective")
        source, pose, both = self.drop_source, self.drop_pose, self.drop_both
        # One uniform number decides: `loss` cuts the two from the ends of [0, 1], both from 1/2 up.
        apart = source + pose <= 1 and (not both or (source <= 0.5 and both + pose <= 0.5))
        if not apart:
            raise UserError("objective", f"drops {source}, {pose} and {both} of the conditions",
                            "give drop-source up to 0.5, and drop-pose + drop-both up to 0.5")


def check_place(keep_place: bool, config: ModelConfig) -> None:
    """Refuses an objective that asks for the source's place of a painter that keeps none.

    Raises:
      UserError: it does.
    """
    if keep_place and not (config.network.painter.channels and config.network.painter.scene):
        raise UserError("objective.keep_place", "is on, but this painter cannot keep a place",
                        "set model.network.painter.scene, or leave it off")


def check_model(config: ModelConfig) -> None:
    """Refuses a model that cannot be built.

    Raises:
      UserError: names the first field at fault.
    """
    network, unet, rpa = config.network, config.network.unet, config.network.rpa
    levels = len(unet.channels)

    def need(good: bool, field: str, value: Any, mend: str) -> None:
        if not good:
            raise UserError(field, f"is {shown(value)}", mend)

    need(network.skeleton in SKELETONS, "model.network.skeleton", network.skeleton,
         f"choose one of {', '.join(SKELETONS)}")
    need(0 < levels <= 12, "model.network.unet.channels", unet.channels,
         "give the channels of 1 to 12 levels")
    need(all(0 <= level < levels for level in unet.attention), "model.network.unet.attention",
         unet.attention, f"give levels from 0, the finest, to {levels - 1}")
    need(all(unet.channels[level] % unet.heads == 0 for level in {*unet.attention, levels - 1}),
         "model.network.unet.heads", unet.heads, "give a divisor of the channels that attend")
    need(len(network.encoder_channels) in (0, levels), "model.network.encoder-channels",
         network.encoder_channels, f"give {levels} numbers, or none for the U-Net's")
    stage = config.first_stage
    coarsest = unet.stride * (stage.factor if config.latent else 1)
    need(all(s % coarsest == 0 for s in network.image_size), "model.network.image-size",
         network.image_size, f"give multiples of {coarsest}, the coarsest cell of this network")
    need(network.maps == "gaussian" or (network.skeleton == "openpose18" and unet.patch == 1),
         "model.network.maps", network.maps,
         "give gaussian; pidm needs the skeleton openpose18 and a patch of 1")
    turns = rpa.initial == "turned" and has_head_frame(SKELETONS[network.skeleton])
    need(not rpa.own_head or turns, "model.network.rpa.own-head", rpa.own_head,
         "leave it out, or give --model.network.rpa.initial turned and a skeleton with nose and ears")
    for name in ("symmetric", "layers"):
        need(not getattr(rpa, name) or rpa.initial == "turned", f"model.network.rpa.{name}", True,
             "leave it out, or give --model.network.rpa.initial turned")
    painter = network.painter.channels
    need(len(painter) in (0, levels), "model.network.painter.channels", painter,
         f"give {levels} numbers, as many as the U-Net has levels, or none")
    for name in ("spread", "layers"):
        need(not (getattr(rpa, name) and config.latent), f"model.network.rpa.{name}", True,
             "leave it out; latents of a first stage have no colours of a place")
    need(network.painter.scene or not network.painter.scene_by_color,
         "model.network.painter.scene-by-color", network.painter.scene_by_color,
         "leave it out, or give --model.network.painter.scene")
    need(not painter or rpa.copy, "model.network.painter.channels", painter,
         "give none, or --model.network.rpa.copy: the painted picture reaches the output by it")
    need(not rpa.copy or config.prediction in ("x0", "preconditioned"), "model.prediction",
         config.prediction, "give x0 or preconditioned, or --model.network.rpa.no-copy")
    # What is made for pictures: PIDM's discs of 4 pixels, the likelihood of 8-bit values, the painter.
    need(not config.latent or network.maps == "gaussian", "model.network.maps", network.maps,
         "give gaussian; latents of a first stage have no room for PIDM's")
    need(not config.latent or not network.learned_variance, "model.network.learned-variance",
         network.learned_variance, "leave it out: with a first stage no picture's bits are predicted")
    need(not config.latent or not painter, "model.network.painter.channels", painter,
         "give none: what is painted are pictures, and with a first stage latents are refined")
