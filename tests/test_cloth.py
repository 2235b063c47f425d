"""Folds and prints of rendered people's clothes."""

import dataclasses

import numpy as np
import pytest

from repose_jax.data.config import DataConfig
from repose_jax.data.people.cloth import PRINTS, _CLOTH, _folds, crease, in_print
from repose_jax.data.people.garments import Pattern, paint
from repose_jax.data.people.raycast import NOTHING, cast, locate
from repose_jax.data.people.renderer import render, render_person
from repose_jax.data.people.standing import stand
from repose_jax.data.people.view import Identity, sample_identity, sample_view
from repose_jax.data.people.scene import Occluder
from repose_jax.data.people.surface import surface_place
from repose_jax.data.people.world import World

SIZE = (96, 48)
WHO = sample_identity(0, 3)
VIEW = sample_view(0, 3, 0)


def test_slopes_are_those_of_the_height():
    """Of the whole height but where folds fade, which turns no normals: waves of 5 cm and more."""
    step = 1e-4
    u, v = (0.3 * np.random.default_rng(0).random((2, 400))).astype(np.float64)
    for seed in range(1, 5):
        _, along_u, along_v = _folds(u, v, seed)
        rises = [(_folds(u + a, v + b, seed)[0] - _folds(u - a, v - b, seed)[0]) / (2 * step)
                 for a, b in ((step, 0), (0, step))]
        for slope, rise in zip((along_u, along_v), rises, strict=True):
            assert np.corrcoef(slope, rise)[0, 1] > 0.6


def test_creased_normals_are_unit_face_the_viewer_and_leave_skin_alone():
    _, figure, cones, _, _ = stand(WHO, VIEW, *SIZE)
    depth, ids = cast(cones, *SIZE)
    y, x = np.nonzero(ids != NOTHING)
    hits = locate(cones, ids[y, x], x.astype(np.float32), y.astype(np.float32), depth[y, x])
    normal, shade = crease(hits.normal, cones.axes.astype(np.float32)[hits.cone, 1],
                           figure.material[hits.cone], *surface_place(figure, hits), 7)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)
    assert (normal[:, 2] >= -1e-6).all() and 0.8 < shade.min() < 1 < shade.max() < 1.07
    bare = ~_CLOTH[figure.material[hits.cone]]
    assert bare.any() and (~bare).any()
    np.testing.assert_array_equal(normal[bare], hits.normal[bare])
    np.testing.assert_array_equal(shade[bare], 1)
    turned = np.degrees(np.arccos(np.clip((normal * hits.normal).sum(1), -1, 1)))[~bare]
    assert 2 < turned.mean() < 30


def test_folds_change_light_alone():
    smooth, creased, other = (render(WHO, dataclasses.replace(VIEW, creases=seed), SIZE)
                              for seed in (0, 5, 6))
    np.testing.assert_array_equal(smooth.coverage, creased.coverage)
    np.testing.assert_array_equal(smooth.depth, creased.depth)
    assert (smooth.image[~smooth.mask & (smooth.coverage == 0)] == creased.image[
        ~smooth.mask & (smooth.coverage == 0)]).all()
    for changed, than in ((creased, smooth), (other, creased)):
        difference = np.abs(changed.image.astype(int) - than.image)[smooth.mask].mean()
        assert 0.5 < difference < 30


@pytest.mark.parametrize("kind", PRINTS)
def test_prints_meet_behind(kind):
    """u is the way around: after a whole number of periods the same colour comes again."""
    pattern = Pattern(kind=kind, colours=((1, 0, 0), (0, 1, 0), (0, 0, 1)), period=0.2, phase=0.37)
    u, v = (np.random.default_rng(1).random((2, 500)) * 0.4).astype(np.float32)
    colours = paint(pattern, u, v)
    assert colours.shape == (500, 3) and 0 <= colours.min() and colours.max() <= 1
    again = paint(pattern, u + np.float32(0.2), v)
    assert (np.abs(colours - again).max(axis=1) < 1e-3).mean() > 0.98  # but at edges, by rounding
    assert len(np.unique(colours.round(3), axis=0)) > (1 if kind == "letters" else 2)
    other = paint(dataclasses.replace(pattern, phase=0.38), u, v)
    assert np.abs(colours - other).mean() > 0.05


def test_a_dress_is_of_one_print():
    rng = np.random.default_rng(0)
    outfits = [in_print(dataclasses.replace(WHO.outfit, bottom_cut=cut), rng)
               for cut in ("dress", "trousers") * 60]
    for outfit in outfits[::2]:
        assert outfit.top.kind not in PRINTS or outfit.bottom == outfit.top
    assert 0.35 < np.mean([outfit.top.kind in PRINTS for outfit in outfits]) < 0.65


def test_who_wears_it_and_where_is_as_it_was():
    for number in range(4):
        smooth, creased = (
            sample_identity(0, number, World(cloth=cloth)) for cloth in ("smooth", "creased"))
        assert smooth.body == creased.body and smooth.outfit.skin == creased.outfit.skin
        view = sample_view(0, number, 1, World(cloth="creased"))
        assert view.creases > 0 and sample_view(0, number, 1).creases == 0
        assert view.camera == sample_view(0, number, 1).camera
    np.testing.assert_array_equal(render_person(0, 5, 1, (32, 16)).image,
                                  render_person(0, 5, 1, (32, 16), World(cloth="smooth")).image)


def test_who_wears_loose_clothes_is_who_wears_tight_ones():
    """The same people in the same colours and poses; half of them in something wide."""
    wide, before = 0, 0
    for number in range(60):
        tight, loose = (
            sample_identity(0, number, World(cloth=cloth)) for cloth in ("creased", "loose"))
        assert tight.body == loose.body and tight.outfit.top == loose.outfit.top
        wide += loose.outfit.drape > 0
        before += loose.outfit.locks > 0
        assert loose.outfit.hair == "long" or not loose.outfit.locks
        if not loose.outfit.drape:
            assert dataclasses.replace(loose.outfit, locks=0.0) == tight.outfit
    assert 20 < wide < 40 and 2 < before
    views = [sample_view(0, 3, 1, World(cloth=cloth)) for cloth in ("creased", "loose")]
    assert views[0].creases == views[1].creases


@pytest.mark.parametrize("wears", [
    {"bottom_cut": "trousers", "hem": -0.1, "sleeve": "long", "drape": 0.06},
    {"bottom_cut": "dress", "bottom_length": 0.5, "sleeve": "short", "drape": 0.06},
    {"bottom_cut": "skirt", "bottom_length": 0.5, "flare": 0.12},
    {"hat": False, "locks": 0.25}])
def test_what_is_loose_stands_off(wears):
    """The outline grows and nothing of it is lost; joints stay where they are."""
    body = sample_identity(0, 1).body
    wide = dataclasses.replace(WHO.outfit, bag="none", hair="long", hair_length=0.1, **wears)
    outfit = dataclasses.replace(wide, drape=0.0, flare=0.0, locks=0.0)
    view = dataclasses.replace(sample_view(0, 1, 0), occluder=Occluder(), angles=0 * VIEW.angles)
    camera = dataclasses.replace(view.camera, stature=True, shift=(0.0, 0.0), fill=0.8, yaw=20.0)
    view = dataclasses.replace(view, camera=camera, aspect=None)
    tight, loose = (render(Identity(body, clothes), view, (128, 96)) for clothes in (outfit, wide))
    assert (tight.mask & ~loose.mask).sum() < 0.01 * tight.mask.sum()
    if "locks" in wears:  # before the shoulders
        assert np.abs(tight.image.astype(int) - loose.image).max() > 30
    else:
        assert loose.mask.sum() > 1.04 * tight.mask.sum()
    np.testing.assert_array_equal(tight.true_joints["openpose18"], loose.true_joints["openpose18"])


def test_cloth_decides_the_data():
    smooth, creased = (DataConfig(identities=4, views=3, cloth=cloth) for cloth in (
        "smooth", "creased"))
    assert "cloth" not in smooth.identity() and creased.identity()["cloth"] == "creased"
    assert smooth.open("train").identity != creased.open("train").identity
    people = creased.open("train", size=(32, 16))
    assert people.flow(0, 1).body.any()
