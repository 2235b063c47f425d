"""A person's own colours, wherever in the picture they are wanted (docs/method.md, 37).

A painter is a convolutional network of few levels: what it paints of a face that the source does not
show cannot know the colour of the hands. Here the source is read at each joint and in the middle of
each limb, and every cell that is painted attends to all of these places, at first to those that are
near it in the target. What it gets are their colours as they are in the photo, whatever the network
has seen before, and a little of their features.
"""

from __future__ import annotations

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from repose_jax.networks.blocks import group_norm
from repose_jax.networks.warp import resize, sampled
from repose_jax.pose.cells import grid, segment_coordinates
from repose_jax.pose.skeleton import Skeleton

Params = dict
_KEYS = 32
# A share of 18 % at first: enough for the attention to learn by before the share is given up.
_SHARE = -1.5
_NEVER = -1e9
# How near is near, as a part of the picture's height: about half of a limb, or of its cloth.
_NEAR = 0.045
# Log of the weight of what the target's pose does not tell where it is: that of three times as far.
_AWAY = -4.5


@flax.struct.dataclass
class Palette:
    """What the source shows at places of its person.

    Attributes:
      colours: means over a cell at each place, in [-1, 1].
      features: of the source encoder there.
      known: 1 where the pose tells the place, else 0.
      near: how near a cell of the target is to what was at each place, log of a Gaussian.
    """

    colours: Float[Array, "batch places 3"]
    features: Float[Array, "batch places c"]
    known: Float[Array, "batch places"]
    near: Float[Array, "batch h w places"]


def palette(
    source: Float[Array, "batch height width 3"],
    features: Float[Array, "batch h w c"],
    pose: Float[Array, "batch joints 3"],
    target_pose: Float[Array, "batch joints 3"],
    skeleton: Skeleton,
    cells: tuple[int, int],
) -> Palette:
    """Reads a source at its joints and in the middle of its limbs.

    Args:
      source: in [-1, 1].
      features: of it, at any resolution.
      pose: of it, in pixels. A place beyond the edge shows what the edge does.
      target_pose: where it goes.
      skeleton: names the limbs.
      cells: (height, width) of the grid over whose cells colours are means; they divide the picture's.
    """
    ends = pose[:, skeleton.limb_indices]
    middles = jnp.concatenate([ends[..., :2].mean(axis=2), ends[..., 2:].min(axis=2)], axis=-1)
    places = jnp.concatenate([pose, middles], axis=1)
    image_size = source.shape[1], source.shape[2]
    starts, stops = (jnp.concatenate([target_pose, target_pose[:, skeleton.limb_indices[:, end]]], 1)
                     for end in range(2))
    distance2, _ = segment_coordinates(grid(cells, image_size), starts[..., :2], stops[..., :2])
    there = (jnp.minimum(starts[..., 2], stops[..., 2]) > 0)[..., None, None]
    near = jnp.where(there, -distance2 / (2 * (_NEAR * image_size[0]) ** 2), _AWAY)
    size = jnp.array(source.shape[2:0:-1], jnp.float32)
    where = (places[..., :2] + 0.5) / size
    return Palette(colours=sampled(resize(source, cells, antialias=True), where),
                   features=sampled(features, where),
                   known=(places[..., 2] > 0).astype(jnp.float32),
                   near=jnp.moveaxis(near, 1, -1))


class Palettes(nn.Module):
    """Cells that attend to a palette.

    At first they attend to what is near, and what they add to the features is zero.
    """

    groups: int

    @nn.compact
    def __call__(
        self, h: Float[Array, "batch h w c"], seen: Palette
    ) -> tuple[Float[Array, "batch h w c"], Float[Array, "batch h w 3"], Float[Array, "batch h w 1"]]:
        """Attends.

        Args:
          h: features of the target's cells.
          seen: of the source.

        Returns:
          (features, to be added to `h`; colours; how far these are to be painted, logits).
        """
        channels = h.shape[-1]
        own = nn.Dense(_KEYS, name="features")(seen.features.astype(jnp.float32))
        own += nn.Dense(_KEYS, name="colours")(seen.colours)
        own += self.param("places", nn.initializers.normal(0.1), (seen.colours.shape[1], _KEYS))
        own = nn.silu(own)
        queries = nn.Dense(_KEYS, name="queries", kernel_init=nn.initializers.zeros)(
            group_norm(channels, self.groups, "norm")(h))
        score = jnp.einsum("bhwk,bpk->bhwp", queries, nn.Dense(_KEYS, name="keys")(own))
        trust = self.param("near", nn.initializers.ones, ())
        score = score / jnp.sqrt(jnp.float32(_KEYS)) + trust * seen.near
        score += _NEVER * (1 - seen.known)[:, None, None]
        weights = nn.softmax(score)
        # Of a pose without a joint nothing is known, and all weights would be the same.
        weights = weights * (seen.known.max(axis=1) > 0)[:, None, None, None]
        told = jnp.einsum("bhwp,bpk->bhwk", weights, own)
        colours = jnp.einsum("bhwp,bpc->bhwc", weights, seen.colours)
        added = nn.Dense(channels, name="added", kernel_init=nn.initializers.zeros)(
            jnp.concatenate([told, colours], axis=-1))
        share = nn.Dense(1, name="share", kernel_init=nn.initializers.zeros,
                         bias_init=nn.initializers.constant(_SHARE))(
            jnp.concatenate([nn.silu(h), told], axis=-1))
        return added, colours, share


def fresh_palettes(like: Params, groups: int, key: Key[Array, ""]) -> Params:
    """Fresh parameters of `Palettes`, for a painter that had none.

    Args:
      like: their shapes.
      groups: of `Palettes`.
      key: draws them.
    """
    places, features = like["places"].shape[0], like["features"]["kernel"].shape[0]
    h = jnp.zeros((1, 1, 1, like["added"]["kernel"].shape[1]))
    seen = Palette(colours=jnp.zeros((1, places, 3)), features=jnp.zeros((1, places, features)),
                   known=jnp.ones((1, places)), near=jnp.zeros((1, 1, 1, places)))
    return Palettes(groups).init(key, h, seen)["params"]
