"""Triangles in a depth buffer: coverage, nearness, hems and sides, by hand."""

import numpy as np
import pytest

from repose_jax.data.people.rasterise import normals, rasterise

SQUARE = np.array([(2.0, 2, 1), (2, 8, 1), (8, 8, 3), (8, 2, 3)])
# Counter-clockwise where y goes up: on the screen it goes down.
FACES = np.array([(0, 1, 2), (0, 2, 3)])


def _shown(points, triangles, keep=None, both=False, size=(12, 10)):
    keep = np.ones(len(points)) if keep is None else keep
    return rasterise(points, triangles, keep, np.full(len(triangles), both), *size)


def test_a_square_covers_its_samples_once_and_its_depth_is_linear():
    found = _shown(SQUARE, FACES)
    y, x = np.divmod(found.at, 10)
    assert len(np.unique(found.at)) == len(found.at) == 49
    assert (x.min(), x.max(), y.min(), y.max()) == (2, 8, 2, 8)
    np.testing.assert_allclose(found.depth, 1 + (x - 2) / 3, atol=1e-5)
    np.testing.assert_allclose(found.shares.sum(1), 1, atol=1e-5)
    corners = SQUARE[FACES[found.triangle]]
    np.testing.assert_allclose(np.einsum("ni,nij->nj", found.shares, corners)[:, :2],
                               np.stack([x, y], 1), atol=1e-4)


def test_the_nearest_shows_in_any_order():
    nearer = SQUARE + (0, 0, 5)
    for first, second in ((SQUARE, nearer), (nearer, SQUARE)):
        found = _shown(np.concatenate([first, second]), np.concatenate([FACES, FACES + 4]))
        assert (found.depth >= 6 - 1e-5).all() and len(found.at) == 49


def test_the_back_is_seen_only_on_demand():
    back = FACES[:, ::-1]
    assert len(_shown(SQUARE, back).at) == 0
    assert len(_shown(SQUARE, back, both=True).at) == 49


def test_a_hem_crosses_triangles():
    found = _shown(SQUARE, FACES, keep=SQUARE[:, 0] - 5.5)
    assert sorted(set(found.at % 10)) == [6, 7, 8]


def test_what_is_off_the_screen_or_edge_on_is_not_there():
    assert len(_shown(SQUARE + (20, 0, 0), FACES).at) == 0
    edge = SQUARE * (0, 1, 1) + (3, 0, 0)
    assert len(_shown(edge, FACES, both=True).at) == 0
    cut = _shown(SQUARE - (5, 5, 0), FACES)
    assert len(cut.at) == 16  # the corner that is left


def test_a_normal_is_the_mean_of_the_faces_by_area():
    cube = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = np.array([triangle for a, b, c, d in quads
                          for triangle in ((a, b, c), (a, c, d), (a, b, d), (b, c, d))])
    np.testing.assert_allclose(normals(cube, triangles), (cube - 0.5) / np.sqrt(0.75), atol=1e-6)
    flat = normals(SQUARE * (1, 1, 0), FACES)
    assert np.abs(flat) == pytest.approx(np.tile((0, 0, 1), (4, 1)), abs=1e-6)
