"""How wide a photo shows a person, and arms before the trunk (docs/method.md, 39 and 40).

A pose says where bones are, not how thick a person is around them, nor that a spine lies at the back
of a trunk that is seen from the side. And a photo shows an arm where it hangs before the trunk, not the
cloth behind it: in another pose, what it hid is looked for beside it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from repose_jax.pose.axes import rightwards
from repose_jax.pose.body import Body
from repose_jax.pose.cells import per_cell

# At how many places along a bone, and how often on the way out from there, the picture is asked.
_ALONG, _OUT = 9, 12
# What differs from the bone's own colour by more than this, in [-1, 1], is no longer the limb.
_ALIKE = 0.3
# Rows along the trunk and places across, at which is told whether an arm lies there.
_ROWS, _ACROSS = 17, 49
# An upper arm covers the trunk from so far down on; a hand is so long: parts of upper arm and forearm.
_SHOULDER, _HAND = 0.3, 0.6
# How far from its bone an arm is looked for, in half widths of most people's; how wide it is at least,
# and how much wider than its colour, for its edge.
_THICK, _THIN, _EDGE = 1.8, 1.1, 0.25
# Places next to each other of which one is moved so much further than the other, in half widths of the
# trunk, are moved to two sides.
_JUMP = 0.15
# Fewer free places side by side are the edge of an arm or of the person.
_RUN = 7
# So much of a row must show the trunk, to stand for what an arm hides.
_LEAST = 0.08
# An arm that reaches further is of the trunk's colour, or hidden by it, and hides nothing of it.
_ENDS = 0.95
# From so far out on an arm beside the trunk is mistaken for it.
_RIM = 0.25
# How much further an arm is to the front or back by the side that it is on than by the body's turn.
_APART = 2.0
# Half of a trunk's depth, in its half widths: an arm behind no more than this is hidden.
_DEPTH = 0.66
# Where an arm of the target covers its trunk, in half widths of most people's.
_COVER = 1.2


class Seen(NamedTuple):
    """What a picture tells of a person beside their pose.

    Attributes:
      picture: in [-1, 1].
      person: how far each pixel shows the person, in [0, 1].
    """

    picture: Float[Array, "*batch height width channels"]
    person: Float[Array, "*batch height width 1"]


class Outline(NamedTuple):
    """How far a picture shows a person, or one limb, beside each bone.

    Attributes:
      share: of the way out that was asked for, in [0, 1], at places along the bone from its start to
        its end; the last axis is left and right, [*batch, bones, places, 2].
      length: of the bone, pixels, [*batch, bones].
    """

    share: Float[Array, "*batch bones places 2"]
    length: Float[Array, "*batch bones"]


def person_outline(
    person: Float[Array, "*batch height width 1"], start: Float[Array, "*batch bones 2"],
    end: Float[Array, "*batch bones 2"], radius: Float[Array, "*batch bones"],
) -> Outline:
    """Goes out from the bones to both sides until the person ends.

    Args:
      person: how far each pixel shows the person, in [0, 1].
      start, end: of the bones, pixels.
      radius: how far to go, pixels. Beyond the picture's edge a person goes on.
    """
    _, out, inside = _asked(person, start, end, radius)
    return _outline(jnp.where(inside, out[..., 0], 1.0), start, end)


def limb_outline(
    picture: Float[Array, "*batch height width channels"], start: Float[Array, "*batch bones 2"],
    end: Float[Array, "*batch bones 2"], radius: Float[Array, "*batch bones"],
) -> Outline:
    """Goes out from the bones to both sides as long as the colour is the bone's own.

    Args:
      picture: in [-1, 1].
      start, end, radius: as for `person_outline`.
    """
    own, out, inside = _asked(picture, start, end, radius)
    apart = jnp.mean(jnp.abs(out - own), axis=-1)
    return _outline((inside & (apart < _ALIKE)).astype(picture.dtype), start, end)


def _outline(shown, start, end) -> Outline:
    return Outline(jnp.mean(jnp.cumprod(shown, axis=-1), axis=-1), _frame(start, end)[0])


def _frame(start, end):
    """How long a bone is, where it goes, and what lies to the picture's right of it."""
    bone = end - start
    length = jnp.sqrt(jnp.sum(bone**2, axis=-1) + 1e-6)
    direction = bone / length[..., None]
    return length, direction, rightwards(direction)


def _asked(values, start, end, radius):
    """Values on the bones [*batch, bones, places, 1, 1, c], those on the way out [*batch, bones,
    places, 2, steps, c], and whether the latter lie inside the picture."""
    out = (jnp.arange(_OUT) + 0.5) / _OUT * radius[..., None]
    both = jnp.stack([-out, out], axis=-2)[..., None, :, :, None]
    along = jnp.linspace(0.0, 1.0, _ALONG)[:, None] * (end - start)[..., None, :] + start[..., None, :]
    along = along[..., None, None, :]
    side = _frame(start, end)[2][..., None, None, None, :]
    return (nearest(values, along)[0], *nearest(values, along + both * side))


def nearest(
    values: Float[Array, "*batch height width c"], places: Float[Array, "*batch *places 2"]
) -> tuple[Float[Array, "*batch *places c"], Bool[Array, "*batch *places"]]:
    """The nearest pixels of places, those of the edge for what lies outside, and what lies inside."""
    *batch, height, width, channels = values.shape
    x, y = (jnp.round(places[..., i]).astype(jnp.int32) for i in (0, 1))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    number = jnp.clip(y, 0, height - 1) * width + jnp.clip(x, 0, width - 1)
    found = jnp.take_along_axis(values.reshape(*batch, height * width, channels),
                                number.reshape(*batch, -1, 1), axis=-2)
    return found.reshape(*number.shape, channels), inside


def to_outline(
    seen: Outline, along: Float[Array, "*batch bones h w"], right: Bool[Array, "*batch bones h w"]
) -> Float[Array, "*batch bones h w"]:
    """The share of the way out at places along the bones, linear between those that were asked.

    Args:
      seen: of a person.
      along: how far from a bone's start, pixels; before it and beyond its end as at these.
      right: to which side.
    """
    place = jnp.clip(along / per_cell(seen.length), 0.0, 1.0) * (_ALONG - 1)
    total = jnp.zeros_like(place)
    for number in range(_ALONG):
        left_share, right_share = (per_cell(seen.share[..., number, side]) for side in (0, 1))
        near = jnp.maximum(1 - jnp.abs(place - number), 0.0)
        total += near * jnp.where(right, right_share, left_share)
    return total


class Arms(NamedTuple):
    """Upper arms and forearms among `Cylinders`.

    Attributes:
      number: which they are, [arms].
      side: 1 of the person's right, -1 of the left, [arms].
      begins, ends: where an arm covers the trunk, parts of its bone from its start, [arms].
    """

    number: np.ndarray
    side: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


@functools.cache
def arms_of(ends: tuple[str, ...]) -> Arms:
    """The arms among a trunk's cylinder and others, by the joints at these others' far ends."""
    chosen = [(1 + i, joint) for i, joint in enumerate(ends) if joint.endswith(("elbow", "wrist"))]
    fore = np.array([joint.endswith("wrist") for _, joint in chosen])
    return Arms(np.array([number for number, _ in chosen]),
                np.array([1.0 if joint.startswith("right") else -1.0 for _, joint in chosen]),
                np.where(fore, 0.0, _SHOULDER), np.where(fore, 1 + _HAND, 1.0))


def _before(turn, arms):
    """Whether arms are between the camera and the trunk of a body that faces so."""
    turn = turn[..., None]
    return jnp.cos(turn) + _APART * arms.side * jnp.sin(turn) > 0


def without_hidden_arms(
    body: Body, turn: Float[Array, "*batch"], arms: Arms
) -> Body:
    """A body of which the arms that its trunk hides are not known, whatever the pose says: an estimator
    tells where they are, but the picture does not show them.

    Args:
      body: of a pose.
      turn: which way it faces, radians.
      arms: among its cylinders.
    """
    start, end = body.start[..., 0, :], body.end[..., 0, :]
    middle = (body.start[..., arms.number, :] + body.end[..., arms.number, :]) / 2 - start[..., None, :]
    along, across = (jnp.sum(middle * way[..., None, :], axis=-1) for way in _frame(start, end)[1:])
    depth = _DEPTH * body.radius[..., :1]
    behind = (~_before(turn, arms) & (jnp.abs(across) < depth) & (along > 0)
              & (body.known[..., :1] > 0))
    known = body.known[..., arms.number] * ~behind
    return body._replace(known=body.known.at[..., arms.number].set(known))


def uncovered(
    body: Body, turn: Float[Array, "*batch"], squares: Float[Array, "*batch parts h w"], arms: Arms,
) -> Float[Array, "*batch h w"]:
    """How far each cell shows the trunk and not an arm before it, in [0, 1].

    Args:
      body: of a pose.
      turn: which way it faces, radians.
      squares: of the distances of the cells to its cylinders' axes, pixels^2.
      arms: among its cylinders.
    """
    reach = per_cell(_COVER * body.radius[..., arms.number])
    near = jnp.exp(-(squares[..., arms.number, :, :] / reach**2) ** 2)
    there = _before(turn, arms) * body.known[..., arms.number]
    return 1 - jnp.max(per_cell(there) * near, axis=-3)


def beside_arms(
    seen: Seen, body: Body, turn: Float[Array, "*batch"], reach: Float[Array, "*batch"],
    across: Float[Array, "*batch h w"], along: Float[Array, "*batch h w"], arms: Arms,
) -> tuple[Float[Array, "*batch h w"], Float[Array, "*batch h w"]]:
    """Moves places on the trunk that an arm hides to the nearest in their row that it does not.

    Args:
      seen: the picture of the person.
      body: of the person's pose.
      turn: which way it faces, radians.
      reach: half width of the trunk as it is turned, pixels.
      across: of the places, to the picture's right of the trunk's axis, pixels.
      along: from the trunk's start, pixels.
      arms: among its cylinders.

    Returns:
      `across` and `along`, changed for these alone.
    """
    start, end = body.start[..., 0, :], body.end[..., 0, :]
    length, _, side = _frame(start, end)
    shares = jnp.linspace(-1.0, 1.0, _ACROSS)
    places = (start[..., None, None, :]
              + jnp.linspace(0.0, 1.0, _ROWS)[:, None, None] * (end - start)[..., None, None, :]
              + (shares[:, None] * reach[..., None, None])[..., None, :, :] * side[..., None, None, :])
    hidden = _on_arms(seen, body, turn, places, jnp.abs(shares) > _RIM, arms)
    shown = ~hidden & (nearest(seen.person, places)[0][..., 0] > 0.5)
    free = _in_runs(shown, _RUN)
    # The nearest free place of its row, or of the nearest row that has enough of them, if any has.
    rows, gaps = jnp.arange(_ROWS), jnp.abs(shares[:, None] - shares) + 1e3 * ~free[..., None, :]
    nearest_free = shares[jnp.argmin(gaps, axis=-1)]
    enough = jnp.mean(free, axis=-1) > _LEAST
    row = jnp.argmin(jnp.abs(rows[:, None] - rows) + 1e3 * ~enough[..., None, :], axis=-1)
    elsewhere = (hidden | shown & ~free) & jnp.any(enough, axis=-1)[..., None, None]
    to = jnp.where(elsewhere, jnp.take_along_axis(nearest_free, row[..., None], axis=-2), shares)
    down = jnp.where(elsewhere, (row - rows)[..., None] / (_ROWS - 1), 0.0)
    place = (jnp.clip(along / per_cell(length), 0.0, 1.0) * (_ROWS - 1),
             (across / per_cell(reach) + 1) / 2 * (_ACROSS - 1))
    inside = (place[1] >= 0) & (place[1] <= _ACROSS - 1)
    to, down = _between(jnp.stack([to, jnp.broadcast_to(down, to.shape)]), *place)
    return (jnp.where(inside, per_cell(reach) * to, across),
            jnp.where(inside, along + per_cell(length) * down, along))


def _in_runs(places: Bool[Array, "*batch rows across"], length: int) -> Bool[
        Array, "*batch rows across"]:
    """The places that stand in their row among so many in sequence, at least."""
    count = places.shape[-1]
    padded = jnp.pad(places, [(0, 0)] * (places.ndim - 1) + [(length - 1, length - 1)])
    begins = jnp.all(jnp.stack([padded[..., i:i + count + length - 1] for i in range(length)]), axis=0)
    return jnp.any(jnp.stack([begins[..., i:i + count] for i in range(length)]), axis=0)


def _on_arms(seen, body, turn, places, outside, arms) -> Bool[Array, "*batch rows across"]:
    """Whether places lie on an arm that is before the trunk or, where they are `outside`, beside it."""
    bones = (body.start[..., arms.number, :], body.end[..., arms.number, :])
    begin, end = (bones[0] + part[:, None] * (bones[1] - bones[0]) for part in (arms.begins, arms.ends))
    radius = body.radius[..., arms.number]
    length, *ways = _frame(begin, end)
    offset = places[..., None, :, :, :] - begin[..., None, None, :]
    along, right = (jnp.sum(offset * way[..., None, None, :], axis=-1)
                    for way in ways)
    share = to_outline(limb_outline(seen.picture, begin, end, _THICK * radius), along, right > 0)
    beyond = along - jnp.clip(along, 0.0, per_cell(length))
    distance = jnp.sqrt(right**2 + beyond**2)
    wide = jnp.maximum(_THICK * share, _THIN) + _EDGE
    on = distance < per_cell(radius) * jnp.where(share < _ENDS, wide, 0.0)
    there = _before(turn, arms)[..., None, None] | outside
    return jnp.any(on & there & (body.known[..., arms.number] > 0)[..., None, None], axis=-3)


def _between(tables, row, column):
    """Two tables [2, *batch, rows, across] at rows and columns [*batch, h, w], linear between their
    places, but for those between which one jumps, as from one side of an arm to the other: there the
    nearest."""
    rows, columns = tables.shape[-2:]
    flat = tables.reshape(*tables.shape[:-2], -1)

    def at(i, j):
        number = (jnp.clip(i, 0, rows - 1) * columns + jnp.clip(j, 0, columns - 1)).astype(jnp.int32)
        number = jnp.broadcast_to(number, (2, *number.shape))
        found = jnp.take_along_axis(flat, number.reshape(*number.shape[:-2], -1), axis=-1)
        return found.reshape(number.shape)

    low, left = jnp.floor(row), jnp.floor(column)
    down, right = row - low, column - left
    corners = [at(low + i, left + j) for i in (0, 1) for j in (0, 1)]
    shares = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    linear = sum(share * corner for share, corner in zip(shares, corners, strict=True))
    apart = jnp.max(jnp.stack(corners), axis=0) - jnp.min(jnp.stack(corners), axis=0)
    return jnp.where(jnp.max(apart, axis=0) < _JUMP, linear, at(jnp.round(row), jnp.round(column)))
