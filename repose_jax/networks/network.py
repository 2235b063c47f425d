"""The whole network: source encoder, recurrent pose alignment, U-Net.

Two entries: `condition` does everything that depends on the source and the poses alone, once a
picture; `__call__` is what every sampling step runs.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num

from repose_jax.common.fields import added
from repose_jax.common.ranges import Side, Width, check_fields
from repose_jax.networks.blocks import KeysValues
from repose_jax.networks.fill import fill_in
from repose_jax.networks.painter import Painter, PainterConfig, Painting
from repose_jax.networks.palette import palette
from repose_jax.networks.place import shows_person, shows_place, without_person
from repose_jax.networks.rpa import Alignment, RecurrentPoseAlignment, RPAConfig
from repose_jax.networks.source_encoder import SourceEncoder
from repose_jax.networks.unet import UNet, UNetConfig, attended_features, level_features
from repose_jax.networks.warp import resize, warp
from repose_jax.pose.cut_off import with_cut_off_legs
from repose_jax.pose.layers import Seen
from repose_jax.pose.maps import pose_maps
from repose_jax.pose.pidm_maps import pidm_maps
from repose_jax.pose.skeleton import SKELETONS, Skeleton


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Everything that decides the shape of the parameters.

    Attributes:
      image_size: (height, width) of the pictures; the network itself runs at any multiple of
        `unet.stride`.
      skeleton: name of the skeleton of the poses.
      unet: sizes of the U-Net.
      encoder_channels: channels of the source encoder's levels; empty means the U-Net's.
      rpa: alignment.
      painter: what paints the first picture, which the denoiser refines.
      learned_variance: also predict the variance of the reverse process (PIDM).
      maps: how the U-Net is shown the target pose: "gaussian", a smooth map for each joint and
        limb; or "pidm", PIDM's 20 channels, for weights that were trained on them.
      cut_off_legs: continue legs of which a picture shows the beginning beyond its edge.
    """

    image_size: tuple[Side, Side] = (256, 256)
    skeleton: str = "openpose18"
    unet: UNetConfig = UNetConfig()
    encoder_channels: tuple[Width, ...] = ()
    rpa: RPAConfig = RPAConfig()
    painter: PainterConfig = added(PainterConfig())
    learned_variance: bool = False
    maps: Literal["gaussian", "pidm"] = added("gaussian")
    cut_off_legs: bool = added(False)

    def __post_init__(self):
        check_fields(self, "model.network")

    @property
    def paints(self) -> bool:
        """Whether there is a painted picture that the denoiser refines."""
        return bool(self.painter.channels)


@flax.struct.dataclass
class Context:
    """What the denoiser needs to know of source and poses; independent of y_t and t.

    Attributes:
      maps: target pose maps at the finest level's resolution, [batch, h, w, maps].
      keys_values: of every attention layer.
      injected: conditional channels of every level.
      picture: what the copy path copies: P, the painted picture, or without a painter A, the
        aligned source picture; zeros without a copy path.
      present: 1 where there is a source, 0 for the null condition, [batch].
    """

    maps: Float[Array, "batch h w maps"]
    keys_values: tuple[KeysValues, ...]
    injected: tuple[Float[Array, "batch _h _w _c"], ...]
    picture: Float[Array, "batch height width channels"]
    present: Float[Array, "batch"]


@flax.struct.dataclass
class Output:
    """Raw output of the network; `repose_jax.diffusion.prediction` gives it a meaning.

    Attributes:
      signal: [batch, height, width, channels].
      variance: interpolation of the log variance in [-1, 1] units, or None.
      copy: how far the aligned picture is to be copied, [batch, height, width, 1] in [0, 1], or
        None without a copy path.
    """

    signal: Float[Array, "batch height width channels"]
    variance: Float[Array, "batch height width channels"] | None
    copy: Float[Array, "batch height width 1"] | None


class Network(nn.Module):
    """Encoder, alignment and U-Net under one roof.

    All its maps, its poses too, are in cells of what is diffused: pixels, or latents of a first stage.

    Attributes:
      config: sizes; `config.image_size` counts pixels.
      channels: of what is diffused; 3 for pictures.
      cell: pixels a side of one of its cells; 1 for pictures.
    """

    config: NetworkConfig
    channels: int = 3
    cell: int = 1

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the poses."""
        return SKELETONS[self.config.skeleton]

    def setup(self):
        cfg = self.config
        wanted = set(attended_features(cfg.unet)) | set(level_features(cfg.unet))
        self.encoder = SourceEncoder(cfg.unet, cfg.encoder_channels or cfg.unet.channels)
        self.alignment = RecurrentPoseAlignment(
            cfg.rpa, cfg.unet, self.skeleton, tuple(sorted(wanted)))
        channels = self.channels * (1 + cfg.learned_variance) + cfg.rpa.copy
        self.painter = Painter(cfg.painter, cfg.unet.patch) if cfg.painter.channels else None
        self.unet = UNet(cfg.unet, channels, cfg.rpa.attend, cfg.rpa.inject)

    def align(
        self,
        source: Float[Array, "batch height width channels"],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Alignment:
        """Encodes the source and aligns it to the target pose."""
        source_pose, target_pose = self._poses(source, source_pose, target_pose)
        person = self._person(source, source_pose)
        return self.alignment(person, self.encoder(person, dropout_keys), source_pose, target_pose,
                              self._seen(source, source_pose))

    def paint(
        self,
        source: Float[Array, "batch height width channels"],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
    ) -> tuple[Painting, Alignment]:
        """Aligns the source and paints from it; only with a painter."""
        source_pose, target_pose = self._poses(source, source_pose, target_pose)
        person = self._person(source, source_pose)
        alignment = self.alignment(person, self.encoder(person), source_pose, target_pose,
                                   self._seen(source, source_pose))
        maps = self._maps(target_pose, source)
        return self._painted(source, person, alignment, source_pose, target_pose, maps), alignment

    @nn.nowrap
    def completed(
        self, pose: Float[Array, "batch joints 3"], size: tuple[int, int]
    ) -> Float[Array, "batch joints 3"]:
        """A pose as the network sees it, see `NetworkConfig.cut_off_legs`; `size` is the picture's."""
        return with_cut_off_legs(pose, self.skeleton, size) if self.config.cut_off_legs else pose

    def _poses(self, source, *poses):
        return tuple(self.completed(pose, (source.shape[1], source.shape[2])) for pose in poses)

    def _person(self, source, pose):
        """What is encoded and aligned; see `RPAConfig.spread`."""
        if not self.config.rpa.spread:
            return source
        return fill_in(source, shows_person(source, pose, self.skeleton))

    def _seen(self, source, pose):
        """What the source tells the alignment of its person; None where that does not ask."""
        if not self.config.rpa.layers:
            return None
        return Seen(source, shows_person(source, pose, self.skeleton))

    def _maps(self, pose, source):
        """Pose maps at the finest level's resolution."""
        image_size = source.shape[1:3]
        if self.config.maps == "pidm":
            return pidm_maps(pose, image_size)
        return pose_maps(pose, self.skeleton, self.config.unet.level_size(0, image_size), image_size)

    def _painted(self, source, person, alignment: Alignment, source_pose, target_pose,
                 maps) -> Painting:
        source_maps = self._maps(source_pose, source)
        aligned_maps = warp(source_maps, resize(alignment.flow, maps.shape[1:3]))
        features = [alignment.features[k] for k in level_features(self.config.unet)]
        place, shown, colours = None, 1.0, None
        if self.config.painter.scene_by_color:
            shown = shows_place(source, source_pose, self.skeleton)
        if self.config.painter.scene:
            place = without_person(source, source_pose, self.skeleton, shown)
        if self.config.painter.palette:
            colours = palette(person, source_pose, target_pose, self.skeleton, maps.shape[1:3])
        return self.painter(
            place, alignment.picture, features, maps, source_maps, aligned_maps, colours)

    def conditions(
        self,
        source: Float[Array, "batch height width channels"],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
        given: tuple[tuple[bool, bool], ...],
    ) -> Context:
        """`condition` of several branches, laid one after another along the batch, in one pass.

        The source is encoded once for all branches that are given it; the null source, which is
        the same for every picture, once for the whole batch; all are aligned in one call.

        Args:
          source: the source, in [-1, 1] where it is a picture.
          source_pose, target_pose: in its cells.
          given: of each branch, whether it has the source and whether it has the target pose.
        """
        with_source = [has_source for has_source, _ in given]
        source_pose, target_pose = self._poses(source, source_pose, target_pose)
        person = self._person(source, source_pose)
        features = self.encoder(person) if any(with_source) else None
        null = None if all(with_source) else [
            jnp.broadcast_to(f, (source.shape[0], *f.shape[1:]))
            for f in self.encoder(jnp.zeros_like(source[:1]))]
        chosen = zip(*(features if has else null for has in with_source), strict=True)
        return self._context(
            jnp.concatenate([source * has for has in with_source]),
            jnp.concatenate([person * has for has in with_source]),
            [jnp.concatenate(branches) for branches in chosen],
            jnp.concatenate([source_pose * has for has in with_source]),
            jnp.concatenate([target_pose * has for _, has in given]),
            jnp.concatenate([jnp.full(source.shape[0], has, source.dtype) for has in with_source]))

    def condition(
        self,
        source: Float[Array, "batch height width channels"],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
        present: Float[Array, "batch"],
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Context:
        """Everything that does not depend on the noisy picture.

        Args:
          source: the source, in [-1, 1] where it is a picture.
          source_pose, target_pose: in its cells; a pose with no visible joint is the null
            pose.
          present: 0 replaces the source by the null source (all zeros, as PIDM) without a pose.
        """
        # Without a source nothing may tell where its person stood.
        source = source * present[:, None, None, None]
        source_pose = source_pose * present[:, None, None]
        source_pose, target_pose = self._poses(source, source_pose, target_pose)
        person = self._person(source, source_pose)
        features = self.encoder(person, dropout_keys)
        return self._context(source, person, features, source_pose, target_pose, present)

    def _context(self, source, person, features, source_pose, target_pose, present) -> Context:
        """What becomes of encoded sources; the poses and pictures of null sources are 0 already.

        `person` was encoded and is aligned; the place is that of `source`.
        """
        cfg = self.config
        alignment = self.alignment(person, features, source_pose, target_pose,
                                   self._seen(source, source_pose))
        keys_values, injected = self.unet.condition(alignment.features)
        maps, picture = self._maps(target_pose, source), alignment.picture
        if self.painter is not None:
            picture = self._painted(
                source, person, alignment, source_pose, target_pose, maps).picture
        return Context(maps=maps, keys_values=keys_values, injected=injected,
                       picture=picture * cfg.rpa.copy, present=present)

    def __call__(
        self,
        y: Float[Array, "batch height width channels"],
        t: Num[Array, "batch"],
        context: Context,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Output:
        """One evaluation of the denoiser network."""
        cfg = self.config
        full = jnp.concatenate([y, context.picture], axis=-1) if cfg.rpa.copy else y
        out = self.unet(full, t, context.maps, context.keys_values, context.injected,
                        dropout_keys)
        copy = None
        if cfg.rpa.copy:
            copy = nn.sigmoid(out[..., -1:]) * context.present[:, None, None, None]
        count = self.channels
        variance = out[..., count:2 * count] if cfg.learned_variance else None
        signal = out[..., :count]
        if cfg.paints:
            # Fresh parameters leave the painted picture as it is, so that refining starts from it.
            signal = signal + context.picture
        return Output(signal=signal, variance=variance, copy=copy)

    def everything(self, y, t, source, source_pose, target_pose, present) -> Output:
        """`condition` and `__call__` in one, for initialisation."""
        return self(y, t, self.condition(source, source_pose, target_pose, present))

    def dummy_inputs(self, batch: int = 1) -> tuple[Array, ...]:
        """Zeros of the right shapes for `init(key, *dummy_inputs(), method="everything")`."""
        height, width = (side // self.cell for side in self.config.image_size)
        picture = jnp.zeros((batch, height, width, self.channels))
        pose = jnp.zeros((batch, len(self.skeleton.joints), 3))
        return picture, jnp.zeros(batch), picture, pose, pose, jnp.ones(batch)

