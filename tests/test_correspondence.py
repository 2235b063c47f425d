"""The true flow between two pictures of a rendered person, and what learns from it."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.data.augment.config import AugmentConfig
from repose_jax.data.pairs.source import TrueFlow
from repose_jax.data.pairs.stream import batches, examples
from repose_jax.data.people import body, render, sample_identity, sample_view, scene
from repose_jax.data.people.correspondence import correspondence
from repose_jax.models.painting_loss import PaintingObjective, correspondence_term
from repose_jax.networks import warp as warp_module
from repose_jax.networks.rpa import Alignment, Trace

SIZE = (128, 64)
warp = jax.jit(warp_module.warp)
EVEN = scene.Light(direction=(0.0, -1.0, 0.0), sun=0.0, sky=0.9, shadow=0.0)
FAR = scene.Camera(yaw=10.0, distance=1e9, fill=0.6)


def _view(camera, **changes):
    calm = {"background": scene.Background(kind="plain", seed=1), "occluder": scene.Occluder(),
            "light": EVEN, "angles": body.neutral_angles(), "camera": camera}
    return dataclasses.replace(sample_view(0, 0, 0), **(calm | changes))


def _camera(**changes):
    return dataclasses.replace(FAR, **changes)


def test_the_same_picture_stays():
    for identity in range(4):
        true = correspondence(sample_identity(0, identity), _view(FAR), _view(FAR), SIZE)
        assert true.body.sum() > 500
        np.testing.assert_array_equal(true.seen, true.body)
        np.testing.assert_allclose(true.flow, 0, atol=2e-3)


def test_a_camera_that_zooms_and_moves():
    """Without perspective the flow is the similarity of the two framings."""
    true = correspondence(sample_identity(0, 1), _view(_camera(fill=0.8, shift=(0.05, -0.02))),
                          _view(_camera(shift=(-0.03, 0.04))), SIZE)
    height, width = SIZE
    y, x = np.nonzero(true.body)
    middle = np.array([width, height]) / 2 - 0.5
    point = np.stack([x, y], axis=1)
    source = (middle + height * np.array([0.05, -0.02])
              + 0.8 / 0.6 * (point - middle - height * np.array([-0.03, 0.04])))
    np.testing.assert_allclose(true.flow[y, x], source - point, atol=0.02)
    assert true.seen[y, x].mean() > 0.97
    assert not true.flow[~true.body].any() and not true.seen[~true.body].any()


def test_a_turned_body_shows_the_same_cloth():
    """The source under the true flow is the target, where both show it, whatever turns and bends."""
    far, true_error, still_error = [], [], []
    for identity in range(6):
        who = sample_identity(0, identity)
        bent = sample_view(0, identity, 3).angles
        views = [_view(_camera(yaw=20.0, fill=0.9), angles=bent),
                 _view(_camera(yaw=-15.0, fill=0.7, shift=(0.02, 0.03)))]
        source, target = (render(who, view, SIZE).image.astype(np.float32) for view in views)
        true = correspondence(who, *views, SIZE)
        flow = jnp.asarray(true.flow / np.array(SIZE[::-1], np.float32))[None]
        moved = np.asarray(warp(jnp.asarray(source)[None], flow))[0]
        true_error.append(np.abs(moved - target)[true.seen].mean())
        still_error.append(np.abs(source - target)[true.seen].mean())
        far.append(np.linalg.norm(true.flow[true.seen], axis=-1).mean())
    assert np.mean(far) > 3
    assert np.mean(true_error) < 0.35 * np.mean(still_error)


def test_the_back_is_not_seen_from_the_front_nor_what_is_covered():
    who = sample_identity(0, 2)
    front = _view(_camera(yaw=0.0))
    behind = correspondence(who, front, _view(_camera(yaw=180.0)), SIZE)
    assert behind.body.sum() > 500 and behind.seen.sum() < 0.15 * behind.body.sum()
    fenced = _view(_camera(yaw=0.0), occluder=scene.Occluder(kind="wall", seed=3))
    covered = scene.paint_occluder(fenced.occluder, *SIZE)
    assert covered is not None
    hidden = covered[0]
    open_ = correspondence(who, front, front, SIZE)
    assert (hidden & open_.seen).any()
    np.testing.assert_array_equal(correspondence(who, front, fenced, SIZE).body, open_.body & ~hidden)
    np.testing.assert_array_equal(correspondence(who, fenced, front, SIZE).seen, open_.seen & ~hidden)


def test_batches_bring_it_mirrored_as_the_pictures_are():
    people = DataConfig(identities=3, views=3, scene="person").open("train", size=(64, 32))
    kept = pickle.loads(pickle.dumps(people.only(np.arange(3, 9))))
    assert kept.has_flow
    np.testing.assert_array_equal(kept.flow(0, 2).flow, people.flow(3, 5).flow)
    with pytest.raises(ValueError, match="two people"):
        people.flow(0, 3)
    plain = examples(people, [0, 4], flow=True)
    flipped = examples(people, [0, 4], np.array([True, False]), flow=True)
    assert plain["flow"].shape == (2, 64, 32, 2) and plain["seen"].dtype == bool
    np.testing.assert_array_equal(plain["flow"][1], flipped["flow"][1])
    np.testing.assert_array_equal(plain["flow"][0, :, ::-1] * [-1, 1], flipped["flow"][0])
    np.testing.assert_array_equal(plain["seen"][0, :, ::-1], flipped["seen"][0])
    # The mirrored target's points are the mirrored source's.
    both = [np.asarray(warp(jnp.asarray(batch["source"], jnp.float32),
                            jnp.asarray(batch["flow"] / np.array([32, 64], np.float32))))[0]
            for batch in (plain, flipped)]
    np.testing.assert_allclose(both[0][:, ::-1], both[1], atol=0.1)
    assert set(next(batches(people, batch_size=2, seed=0, flow=True))) == set(plain)
    with pytest.raises(UserError, match="objective.correspondence: does not know how augmentation"):
        batches(people, batch_size=2, seed=0, flow=True, augment=AugmentConfig(affine=0.5))
    # Colours change no flow.
    as_they_are, colored = (next(batches(people, batch_size=2, seed=0, flow=True, augment=augment))
                            for augment in (AugmentConfig(noise=1e-9), AugmentConfig(color=1.0)))
    for name in ("flow", "seen", "source_pose", "target_pose"):
        np.testing.assert_array_equal(as_they_are[name], colored[name])
    assert np.abs(as_they_are["target"].astype(int) - colored["target"]).mean() > 1
    unknown = people.with_pairs(people.pairs[:4])
    unknown._read_flow = None
    with pytest.raises(UserError, match="objective.correspondence: needs to know.*people"):
        batches(unknown, batch_size=2, seed=0, flow=True)


def test_the_loss_counts_pixels_where_both_show_the_point():
    """Constant flows that are off by (1, 2) pixels cost 3, at any level, wherever it is known."""
    size, off = (16, 8), jnp.array([1.0, 2.0])
    true = TrueFlow(np.full((1, *size, 2), 5.0, np.float32), np.zeros((1, *size), bool), np.ones(size))
    true.seen[:, 3:9, 2:7] = True
    fractions = (true.flow + off) / jnp.array([8, 16])
    steps = tuple(Trace(level, fractions[:, ::side, ::side] * scale, fractions[:, ::side, ::side, :1])
                  for level, side, scale in ((2, 4, 1), (1, 2, 1), (1, 2, 1)))

    def cost(steps, flow, known=true.flow):
        return float(correspondence_term(Alignment({}, flow, flow, steps), jnp.asarray(known),
                                         jnp.asarray(true.seen), PaintingObjective(correspondence=0.5)))

    assert cost(steps, fractions) == pytest.approx(0.5 * 3, rel=1e-5)
    hidden = np.where(true.seen[..., None], true.flow, 99.0)
    assert cost(steps, fractions, hidden) == pytest.approx(0.5 * 3, rel=1e-5)
    # An earlier iteration of a level weighs less, 0.8 against 1 for the three others.
    worse = dataclasses.replace(steps[1], flow=steps[1].flow + jnp.array([1 / 8, 0]))
    assert cost((steps[0], worse, steps[2]), fractions) == pytest.approx(
        0.5 * (3 + 0.8 / 3.8), rel=1e-5)
