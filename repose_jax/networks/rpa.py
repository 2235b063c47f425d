"""Recurrent pose alignment (docs/method.md, equations 4 to 6; reconstructed).

At every level, coarse to fine, a convolutional GRU whose weights are shared over its K iterations
looks at the features as aligned so far and at both poses, and refines a flow and a mask:

  h_k = ConvGRU(h_{k-1}, [F^{k-1}, maps(P_s) under d_{k-1}, maps(P_t)])
  d_k = d_{k-1} + flow(h_k)
  m_k = sigmoid(mask(h_k))
  F^k = m_k * warp(F^0, d_k) + (1 - m_k) * F^{k-1}

The flow begins at d_0: zero, or the skeleton flow of the two poses, flat or of a body that turns. A
finer level starts from the coarser level's *correction* of d_0, upsampled, on top of d_0 computed
afresh at its own resolution, so that closed-form detail is not blurred by the upsampling; with a zero
d_0 this is the plain coarse-to-fine warp. The source's maps are seen under the present flow, so that
what the recurrence reads is the error of alignment that is left.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, NamedTuple

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.common.fields import added
from repose_jax.common.ranges import Natural, Range, Width, check_fields
from repose_jax.networks.conv import Conv
from repose_jax.networks.facing import Facing, angle
from repose_jax.networks.unet import UNetConfig
from repose_jax.networks.warp import resize, warp
from repose_jax.pose.flow import skeleton_flow
from repose_jax.pose.layers import Seen
from repose_jax.pose.maps import pose_maps
from repose_jax.pose.skeleton import Skeleton
from repose_jax.pose.turned_flow import turned_flow

Initial = Literal["zero", "skeleton", "turned"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RPAConfig:
    """How the source is aligned to the target pose.

    Attributes:
      iterations: K; 0 means no alignment, the source's features stay where they are.
      initial: d_0: "zero"; "skeleton", by the flat poses; or "turned", by poses of a body that turns,
        whose turn a small network reads off them.
      own_head: with "turned", heads turn as nose, eyes and ears tell, and not as the trunk does.
      symmetric: with "turned", what a source does not show of a person is looked for on the other side,
        as people and their clothes are mostly the same left and right.
      layers: with "turned", the source's trunk, limbs and head reach to either side as far as the
        picture shows the person there, where its place is plain; what an arm hides of the trunk is
        looked for beside it, and trunk and arms do not mix where one is before the other.
      spread: encode and align the source with the colours of its person continued over a plain place
        around: what is looked for a little beside the body is then cloth and not the wall behind.
      hidden: channels of the recurrent state.
      finest: finest level (0 = finest of the U-Net) at which the recurrence runs; finer ones are
        warped by its flow, upsampled.
      attend: feed the aligned features to the U-Net's cross-attention (PIDM's way).
      inject: feed them to every level as conditional channels.
      copy: feed the aligned picture to the output by the copy path.
    """

    iterations: Annotated[int, Range(0, 32)] = 3
    initial: Initial = "skeleton"
    own_head: bool = added(False)
    symmetric: bool = added(False)
    layers: bool = added(False)
    spread: bool = added(False)
    hidden: Width = 32
    finest: Natural = added(0)
    attend: bool = True
    inject: bool = True
    copy: bool = True

    def __post_init__(self):
        check_fields(self, "model.network.rpa")


@flax.struct.dataclass
class Trace:
    """One iteration at one level, kept for drawing."""

    level: int = flax.struct.field(pytree_node=False)
    flow: Float[Array, "batch h w 2"]
    mask: Float[Array, "batch h w 1"]


class Alignment(NamedTuple):
    """What the alignment yields.

    Attributes:
      features: F^K by their number in the encoder's plan.
      picture: A, the source picture under the finest flow.
      flow: the finest flow at the picture's resolution, fractions of width and height.
      trace: every iteration, coarse to fine.
    """

    features: dict[int, Float[Array, "batch _h _w _c"]]
    picture: Float[Array, "batch height width channels"]
    flow: Float[Array, "batch height width 2"]
    trace: tuple[Trace, ...]


class ConvGRU(nn.Module):
    """Convolutional gated recurrent unit (Ballas et al. 2016)."""

    hidden: int

    @nn.compact
    def __call__(
        self, state: Float[Array, "batch h w c"], x: Float[Array, "batch h w i"]
    ) -> Float[Array, "batch h w c"]:
        gates = Conv(2 * self.hidden, (3, 3), name="gates")(jnp.concatenate([state, x], -1))
        update, reset = jnp.split(nn.sigmoid(gates), 2, axis=-1)
        both = jnp.concatenate([reset * state, x], axis=-1)
        candidate = nn.tanh(Conv(self.hidden, (3, 3), name="candidate")(both))
        return (1 - update) * state + update * candidate


class AlignLevel(nn.Module):
    """The recurrence at one level."""

    config: RPAConfig
    level: int

    @nn.compact
    def __call__(self, features, lead, source_maps, target_maps, flow, state):
        """Aligns a level's features.

        Args:
          features: F^0, all of this level's features side by side, [batch, h, w, c].
          lead: how many trailing channels of `features` the recurrence looks at.
          source_maps, target_maps: maps of the two poses, [batch, h, w, maps].
          flow: d at this level's start, [batch, h, w, 2].
          state: h at this level's start, [batch, h, w, hidden].

        Returns:
          (F^K, d_K, h_K, the iterations).
        """
        cfg = self.config
        see = nn.Dense(cfg.hidden, name="features")
        see_source = nn.Dense(cfg.hidden, name="source_maps")
        target = nn.Dense(cfg.hidden, name="target_maps")(target_maps)
        gru = ConvGRU(cfg.hidden, name="gru")
        flow_head = Conv(2, (3, 3), kernel_init=nn.initializers.zeros, name="flow")
        mask_head = Conv(1, (3, 3), kernel_init=nn.initializers.zeros, name="mask",
                         bias_init=nn.initializers.constant(2.0))
        cells = jnp.array([features.shape[2], features.shape[1]], jnp.float32)
        aligned, trace = features, []
        for _ in range(cfg.iterations):
            seen = [see(aligned[..., -lead:].astype(jnp.float32)),
                    see_source(warp(source_maps, flow)), target]
            state = gru(state, nn.silu(jnp.concatenate(seen, axis=-1)))
            flow = flow + flow_head(state) / cells  # the head speaks in cells of its level
            mask = nn.sigmoid(mask_head(state))
            blend = mask.astype(features.dtype)
            aligned = blend * warp(features, flow) + (1 - blend) * aligned
            trace.append(Trace(self.level, flow, mask))
        return aligned, flow, state, trace


class RecurrentPoseAlignment(nn.Module):
    """Aligns the source's features and picture to the target pose.

    Attributes:
      config: what to do.
      unet: the U-Net's sizes, for the plan of levels.
      skeleton: of the poses.
      wanted: numbers of the encoder features that the U-Net reads; the others are left out.
    """

    config: RPAConfig
    unet: UNetConfig
    skeleton: Skeleton
    wanted: tuple[int, ...]

    @nn.compact
    def __call__(
        self,
        source: Float[Array, "batch height width channels"],
        features: list[Float[Array, "batch _h _w _c"]],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
        seen: Seen | None = None,
    ) -> Alignment:
        cfg, image_size = self.config, (source.shape[1], source.shape[2])
        if not cfg.iterations:
            # No alignment at all, not even of the copied picture: the ablation's baseline.
            still = jnp.zeros((*source.shape[:3], 2), source.dtype)
            return Alignment({k: features[k] for k in self.wanted}, source, still, ())

        if cfg.initial == "turned":
            facing = Facing(name="facing")
            turns = angle(facing(source_pose)), angle(facing(target_pose))

        def initial(size):
            poses = source_pose, target_pose
            if cfg.initial == "zero":
                return jnp.zeros((source.shape[0], *size, 2), jnp.float32)
            if cfg.initial == "turned":
                return turned_flow(*poses, *turns, self.skeleton, size, image_size,
                                   own_head=cfg.own_head, symmetric=cfg.symmetric,
                                   seen=seen)
            return skeleton_flow(*poses, self.skeleton, size, image_size)

        aligned: dict[int, Array] = {}
        trace: list[Trace] = []
        correction = state = None
        for level in reversed(range(len(self.unet.channels))):
            size = self.unet.level_size(level, image_size)
            numbers = [k for k in self.wanted if features[k].shape[1:3] == size]
            start = initial(size)
            if correction is None or state is None:
                flow = start
                state = jnp.zeros((source.shape[0], *size, cfg.hidden), jnp.float32)
            else:
                flow, state = start + resize(correction, size), resize(state, size)
            stacked = jnp.concatenate([features[k] for k in numbers], axis=-1)
            if level < min(cfg.finest, len(self.unet.channels) - 1):
                mask = resize(trace[-1].mask, size).astype(stacked.dtype)
                stacked = mask * warp(stacked, flow) + (1 - mask) * stacked
                aligned |= _split(stacked, features, numbers)
                continue
            stacked, flow, state, steps = AlignLevel(cfg, level, name=f"level_{level}")(
                stacked, features[numbers[-1]].shape[-1],
                pose_maps(source_pose, self.skeleton, size, image_size),
                pose_maps(target_pose, self.skeleton, size, image_size), flow, state)
            correction = flow - start
            aligned |= _split(stacked, features, numbers)
            trace += steps
        assert correction is not None  # a U-Net has a level
        flow = initial(image_size) + resize(correction, image_size)
        return Alignment(aligned, warp(source, flow), flow, tuple(trace))


def _split(stacked, features, numbers):
    """The features of one level, side by side in `stacked`, by their numbers."""
    widths = [features[k].shape[-1] for k in numbers]
    splits = [sum(widths[:i]) for i in range(1, len(widths))]
    return dict(zip(numbers, jnp.split(stacked, splits, axis=-1), strict=True))
