"""The painter: a first picture from the aligned source, once a picture (docs/method.md, 22).

A plain U-Net at the levels of the denoiser. It sees the aligned picture A at full resolution, the
aligned features F^K of every level, the target's pose maps and, under the finest flow, the source's,
so that it can tell where the alignment is trustworthy. It answers with a picture q and a mask m,

  P = m A + (1 - m) q,

so that texture that is aligned well reaches the output untouched, and only the rest is painted. What
does not move with the person, the scene, is not aligned but stays where it was: with
`PainterConfig.scene` the painter also sees the place B without the person, which is the source as it
stands with what is near the person's bones filled in from around, and shares each pixel among three,

  P = m A + s B + (1 - m - s) q.

With `PainterConfig.palette` part of q are the photo's own colours (`repose_jax.networks.palette`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.common.fields import added
from repose_jax.common.ranges import Depth, Fraction, Width, check_fields
from repose_jax.networks.blocks import (
    ResBlock, depth_to_space, group_norm, resample, space_to_depth)
from repose_jax.networks.conv import Conv
from repose_jax.networks.warp import resize


# A share of at most 5 %: next to nothing, and enough of a slope to learn by.
_SCENE_LOGIT = -3.0
_MASK = 3  # of the head's numbers, behind the colours
_RANGE = 1.1  # a little more than 1, which a tangent would reach nowhere


@dataclasses.dataclass(frozen=True, kw_only=True)
class PainterConfig:
    """Sizes of the painter.

    Attributes:
      channels: channels of each level, finest first, as many levels as the U-Net has; empty means
        that there is no painter.
      blocks: residual blocks a level, going down and going up.
      refine: channels of the full-resolution layer.
      groups: groups of GroupNorm.
      scene: also keep the place where the source was taken.
      scene_by_color: with `scene`, what is near the person and does not look like the place is the
        person too; else the pose alone tells.
      in_range: what is painted stays within the range of pictures, so that P is a mixture of three
        pictures; else a little of a colour beyond white or black may do for much of another.
      palette: how much of what is painted are the colours that the source has at its joints and limbs;
        not in training, see `SampleConfig.palette`.
    """

    channels: tuple[Width, ...] = ()
    blocks: Depth = 1
    refine: Width = 16
    groups: Width = 16
    scene: bool = added(False)
    scene_by_color: bool = added(False)
    in_range: bool = added(False)
    palette: Fraction = added(0.0)

    def __post_init__(self):
        check_fields(self, "model.network.painter")


@flax.struct.dataclass
class Painting:
    """What the painter yields.

    Attributes:
      picture: P, in [-1, 1] units, not clipped.
      mask: m in [0, 1], where the aligned source is kept.
      scene: s in [0, 1], where the place is kept; zeros without `PainterConfig.scene`.
    """

    picture: Float[Array, "batch height width 3"]
    mask: Float[Array, "batch height width 1"]
    scene: Float[Array, "batch height width 1"]


def with_scene(params: dict, patch: int) -> dict:
    """The parameters of a painter without a scene, for one that also keeps the scene.

    What it sees in addition counts for nothing at first and the share s is the same everywhere, so
    that P = s B + (1 - s) times the picture as it was.

    Args:
      params: of a `Painter` whose `scene` is off.
      patch: its pixels a side of a cell.
    """
    colours = 3 * patch**2
    stem, refine, head = (params[name] for name in ("stem", "refine", "head"))
    maps = (stem["kernel"].shape[2] - colours) // 2

    def grown(kernel, at, by):
        return jnp.insert(kernel, np.full(by, at), 0.0, axis=2)

    seen = grown(grown(stem["kernel"], colours + 2 * maps, maps), colours, colours)
    return {
        **params,
        "stem": {**stem, "kernel": seen},
        "refine": {**refine, "kernel": grown(refine["kernel"], refine["kernel"].shape[2], 3)},
        "head": {"kernel": jnp.pad(head["kernel"], [(0, 0)] * 3 + [(0, 1)]),
                 "bias": jnp.append(head["bias"], _SCENE_LOGIT)},
    }


def keeping(params: dict, more: float) -> dict:
    """The parameters of a painter that keeps more of the aligned source, or less.

    Args:
      params: of a `Painter`.
      more: what is added to the logarithm of the odds with which the source is kept, everywhere.
    """
    head = params["head"]
    bias = jnp.asarray(head["bias"])
    return {**params, "head": {**head, "bias": bias.at[_MASK].add(more)}}


class Painter(nn.Module):
    """Paints a picture from what is aligned.

    Attributes:
      config: sizes.
      patch: pixels a side of a cell of the finest level.
    """

    config: PainterConfig
    patch: int

    @nn.compact
    def __call__(
        self,
        place: Float[Array, "batch height width 3"] | None,
        aligned: Float[Array, "batch height width 3"],
        features: Sequence[Float[Array, "batch _h _w _c"]],
        maps: Float[Array, "batch h w maps"],
        source_maps: Float[Array, "batch h w maps"],
        aligned_maps: Float[Array, "batch h w maps"],
        colours: tuple[Float[Array, "batch h w 3"], Float[Array, "batch h w 1"]] | None = None,
    ) -> Painting:
        """Paints.

        Args:
          place: B, the source without its person; not looked at without `PainterConfig.scene`.
          aligned: A, the source picture under the finest flow.
          features: F^K of each level, finest first.
          maps: of the target pose, at the finest level's resolution.
          source_maps: of the source pose, at the same resolution; as `place`.
          aligned_maps: `source_maps` under the finest flow.
          colours: the source's, of each cell, and how far the person reaches, see `palette`; not
            looked at without `PainterConfig.palette`.
        """
        cfg, levels = self.config, len(self.config.channels)

        def blocks(h, name, level):
            for i in range(cfg.blocks):
                h = ResBlock(cfg.channels[level], groups=cfg.groups, name=f"{name}_{level}_{i}")(h)
            return h

        pictures = [aligned]
        if cfg.scene:
            assert place is not None  # the network makes it for such a painter
            pictures.append(place)
        seen = [maps, aligned_maps, source_maps] if cfg.scene else [maps, aligned_maps]
        h = jnp.concatenate([*(space_to_depth(x, self.patch) for x in pictures), *seen], axis=-1)
        h = Conv(cfg.channels[0], (3, 3), name="stem")(h)
        skips = []
        for level in range(levels):
            h = resample(h, "down") if level else h
            h = blocks(jnp.concatenate([h, features[level]], axis=-1), "down", level)
            skips.append(h)
        h = ResBlock(cfg.channels[-1], groups=cfg.groups, name="middle")(skips.pop())
        h = blocks(h, "up", levels - 1)
        for level in reversed(range(levels - 1)):
            h = jnp.concatenate([resample(h, "up"), skips.pop()], axis=-1)
            h = blocks(h, "up", level)
        h = nn.silu(group_norm(cfg.channels[0], cfg.groups, "head_norm")(h))
        h = depth_to_space(Conv(cfg.refine * self.patch**2, (3, 3), name="unfold")(h), self.patch)
        h = nn.silu(jnp.concatenate([h, *pictures], axis=-1))
        h = nn.silu(Conv(cfg.refine, (3, 3), name="refine")(h))
        out = Conv(3 + len(pictures), (3, 3), name="head",
                   kernel_init=nn.initializers.normal(0.01))(h)
        painted, logits = out[..., :_MASK], out[..., _MASK:]
        if cfg.in_range:
            painted = _RANGE * jnp.tanh(painted / _RANGE)
        if cfg.palette:
            assert colours is not None  # the network makes them for such a painter
            own, reach = (resize(x, (painted.shape[1], painted.shape[2])) for x in colours)
            painted += cfg.palette * reach * (own - painted)
        # One logit's softmax against a third choice of 0 is its sigmoid.
        shares = nn.softmax(jnp.pad(logits, [(0, 0)] * 3 + [(0, 1)])) if cfg.scene else (
            nn.sigmoid(logits))
        mask, scene = shares[..., :1], shares[..., 1:2] if cfg.scene else jnp.zeros_like(shares)
        picture = mask * aligned + (1 - mask - scene) * painted
        if cfg.scene:
            picture += scene * pictures[1]
        return Painting(picture=picture, mask=mask, scene=scene)
