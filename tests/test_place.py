"""What of a picture shows the place: by the pose, and by colours."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from painter_parts import SCENE, SOURCE, poses, random_params, with_shares
from repose_jax.common.errors import UserError
from repose_jax.models.enlarging import enlarged
from repose_jax.models.model_config import check_model
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.networks import fill, place
from repose_jax.pose.skeleton import MARKET14

SIZE = (128, 64)
shows_place = jax.jit(place.shows_place, static_argnums=2)
shows_person = jax.jit(place.shows_person, static_argnums=2)
fill_in, without_person = jax.jit(fill.fill_in), jax.jit(place.without_person, static_argnums=2)
COLOURS = dataclasses.replace(SCENE, network=dataclasses.replace(
    SCENE.network, painter=dataclasses.replace(SCENE.network.painter, scene_by_color=True)))


def standing(hidden=()):
    """Upright in the middle, 80 pixels tall."""
    places = {"head_top": (32, 20), "neck": (32, 34)}
    for side, sign in (("right", -1), ("left", 1)):
        places |= {f"{side}_{name}": (32 + sign * x, y) for name, (x, y) in {
            "shoulder": (7, 36), "elbow": (8, 48), "wrist": (8, 58), "hip": (4, 60), "knee": (4, 80),
            "ankle": (4, 98)}.items()}
    pose = np.zeros((1, 14, 3), np.float32)
    for name, (x, y) in places.items():
        if not name.endswith(hidden):
            pose[0, MARKET14.index(name)] = x, y, 1
    return jnp.asarray(pose)


def wall(noise=0.0):
    """Lighter to the right."""
    slope = np.broadcast_to(np.linspace(-0.1, 0.1, 64)[:, None], (1, 128, 64, 3))
    rng = np.random.default_rng(0)
    return np.array(slope + noise * rng.normal(size=slope.shape), np.float32)


def filled(picture, pose, by_colour=True):
    picture = jnp.asarray(picture)
    shown = [shows_place(picture, pose, MARKET14)] if by_colour else []
    return np.asarray(without_person(picture, pose, MARKET14, *shown))


def test_hair_and_wide_cloth_are_not_the_place():
    """What the bones do not reach is told by its colour; by the pose alone it stays."""
    picture, skirt = wall(), np.s_[:, 66:84, 14:50]
    picture[skirt] = (0.8, -0.9, -0.9)
    picture[:, 18:100, 26:38] = (-0.9, -0.9, 0.8)
    by_pose, by_colour = (np.abs(filled(picture, standing(), way) - wall())[skirt].mean()
                          for way in (False, True))
    assert by_colour < 0.05 < 0.25 < by_pose


def test_an_edge_that_is_half_of_the_place_s_colour_is_no_ring():
    picture, hair = wall(), np.s_[:, 60:80, 20:44]
    picture[np.s_[:, 59:81, 19:45]] += 0.03  # no more than the place may deviate by
    picture[hair] = 0.9
    shown = np.asarray(shows_place(jnp.asarray(picture), standing(), MARKET14))
    assert shown[:, 59:81, 19:45].max() == 0 and shown[:, 66:74, 8:12].min() == 1
    assert np.abs(filled(picture, standing()) - wall())[:, 57:83, 17:47].max() < 0.02


def test_what_looks_like_the_place_stays_as_it_is():
    """A rough wall, to the pixel, beside the person's bones."""
    picture = wall(noise=0.1)
    shown = np.asarray(shows_place(jnp.asarray(picture), standing(), MARKET14))
    assert shown[:, :, :16].mean() > 0.99 and shown[:, :, 48:].mean() > 0.99
    kept = filled(picture, standing())
    np.testing.assert_allclose(kept[:, :, :4], picture[:, :, :4], atol=0.02)


def test_legs_that_the_photo_cuts_off_are_the_person_s():
    """The lower part of a picture whose pose ends at the hips, and at the shoulders."""
    picture = wall()
    picture[:, 60:, 24:40] = -0.9
    for hidden in (("knee", "ankle"), ("knee", "ankle", "hip", "wrist", "elbow")):
        shown = np.asarray(shows_place(jnp.asarray(picture), standing(hidden), MARKET14))
        assert shown[:, 66:, 26:38].max() == 0
        assert np.abs(filled(picture, standing(hidden)) - wall())[:, 110:, 24:40].mean() < 0.05
    whole = np.asarray(shows_place(jnp.asarray(picture), standing(), MARKET14))
    assert whole[:, 120:, 26:38].min() == 1


def test_a_person_who_fills_the_picture_leaves_nothing_to_compare_with():
    pose = standing()
    near = pose.at[..., :2].set((pose[..., :2] - jnp.array([32.0, 60.0])) * 4 + jnp.array([32.0, 60.0]))
    np.testing.assert_array_equal(shows_place(jnp.asarray(wall(0.3)), near, MARKET14), 1)
    nobody = jnp.zeros((1, 14, 3))
    np.testing.assert_array_equal(shows_place(jnp.asarray(wall(0.3)), nobody, MARKET14), 1)


def test_a_painter_sees_it_so():
    """Where everything is place, the picture is what `without_person` makes of what is shown."""
    model = RePoseModel(COLOURS)
    given = with_shares(random_params(model), -40.0, 40.0)
    painted = jax.jit(model.paint)(given, SOURCE, poses(2), poses(3))[0].picture
    shown = shows_place(SOURCE, poses(2), MARKET14)
    np.testing.assert_allclose(painted, without_person(SOURCE, poses(2), MARKET14, shown), atol=1e-5)
    pictures = np.asarray(jnp.clip(jnp.round((SOURCE + 1) * 127.5), 0, 255), np.uint8)
    as_large = enlarged(model, given, np.asarray(pictures), pictures, pictures, poses(2), poses(3))
    np.testing.assert_allclose(np.asarray(as_large, int), pictures, atol=1)


def test_colours_without_a_place_are_refused():
    painter = dataclasses.replace(COLOURS.network.painter, scene=False)
    with pytest.raises(UserError, match="scene-by-color: is True"):
        check_model(dataclasses.replace(COLOURS, network=dataclasses.replace(
            COLOURS.network, painter=painter)))


def spread(picture, pose):
    picture = jnp.asarray(picture)
    return np.asarray(fill_in(picture, shows_person(picture, pose, MARKET14)))


class TestSpread:
    def test_cloth_goes_on_over_a_plain_wall(self):
        """And what is the person stays as it is, to the pixel, however far from the bones."""
        picture, shirt = wall(), np.s_[:, 34:70, 14:50]
        picture[shirt] = (0.8, -0.9, -0.9)
        out = spread(picture, standing())
        np.testing.assert_allclose(out[shirt], picture[shirt], atol=1e-5)
        beside = np.s_[:, 44:60, [4, 5, 58, 59]]
        assert np.abs(out[beside] - [0.8, -0.9, -0.9]).mean() < 0.1
        assert np.abs(picture[beside] - [0.8, -0.9, -0.9]).mean() > 0.6

    def test_white_on_white_is_the_person_at_the_bones(self):
        picture = np.full((1, 128, 64, 3), 0.9, np.float32)
        picture[:, 20:34, 26:38] = -0.5  # a face
        shown = np.asarray(shows_person(jnp.asarray(picture), standing(), MARKET14))
        assert shown[:, 36:58, 31:33].min() == 1 and shown[:, :, :8].max() < 0.01
        assert np.abs(spread(picture, standing())[:, 40:98] - 0.9).mean() < 0.05

    @pytest.mark.parametrize("nobody", [False, True])
    def test_where_colours_do_not_tell_nothing_changes(self, nobody):
        pose = jnp.zeros((1, 14, 3)) if nobody else standing()
        picture = wall(0.0 if nobody else 0.3)
        np.testing.assert_allclose(spread(picture, pose), picture, atol=1e-6)

    def test_a_model_aligns_what_is_spread(self):
        """Nobody moves and all is kept: what is spread, also in a picture of any size."""
        rpa = dataclasses.replace(SCENE.network.rpa, iterations=0, spread=True)
        model = RePoseModel(dataclasses.replace(SCENE, network=dataclasses.replace(
            SCENE.network, rpa=rpa)))
        given = with_shares(random_params(model), 40.0, -40.0)
        painted = jax.jit(model.paint)(given, SOURCE, poses(2), poses(2))[0].picture
        wanted = fill_in(SOURCE, shows_person(SOURCE, poses(2), MARKET14))
        np.testing.assert_allclose(painted, wanted, atol=1e-5)
        assert np.abs(np.asarray(wanted - SOURCE)).max() > 0.1

    def test_its_features_are_of_that_too(self):
        plain, model = (RePoseModel(dataclasses.replace(SCENE, network=dataclasses.replace(
            SCENE.network, rpa=dataclasses.replace(SCENE.network.rpa, spread=own))))
            for own in (False, True))
        given = random_params(model)
        wanted = fill_in(SOURCE, shows_person(SOURCE, poses(2), MARKET14))
        ours = model.align(given, SOURCE, poses(2), poses(3))
        theirs = plain.align(given, wanted, poses(2), poses(3))
        np.testing.assert_allclose(ours.picture, theirs.picture, atol=1e-5)
        for name, features in theirs.features.items():
            np.testing.assert_allclose(ours.features[name], features, atol=1e-4)
        contexts = [jax.jit(x.condition)(given, source, poses(2), poses(3))
                    for x, source in ((model, SOURCE), (plain, wanted))]
        for one, other in zip(contexts[0].injected, contexts[1].injected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)
