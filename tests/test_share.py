"""A share of a dataset: who stays, and that pictures, poses and pairs stay together."""

import pickle

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import batches
from repose_jax.data.pairs.subset import share_of, subset
from repose_jax.pose.skeleton import MARKET14


def numbered_source(people=3, views=3):
    """Pictures whose every pixel is the picture's number."""
    n = people * views
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 16, 8, 3))
    poses = np.random.default_rng(0).uniform(0, 8, (n, 14, 3)).astype(np.float32)
    return PairSource(skeleton=MARKET14, size=(16, 8), names=[str(i) for i in range(n)],
                      persons=[f"p{i % people}" for i in range(n)], poses=poses,
                      read=images.__getitem__)


def test_a_subset_keeps_everybody():
    person = np.repeat(np.arange(50), np.arange(1, 51))
    for share in (0.01, 0.2, 0.6, 1.0):
        kept = subset(person, share, seed=3)
        assert set(person[kept]) == set(range(50))
        assert len(kept) == len(set(kept)) == max(50, round(share * len(person)))
    assert list(subset(person, 0.2, 3)) != list(subset(person, 0.2, 4))


def test_pictures_poses_and_pairs_stay_together():
    whole = numbered_source(people=4, views=5)
    part = pickle.loads(pickle.dumps(share_of(whole, 0.5, seed=1)))
    assert len(part) == 10 and set(part.persons) == set(whole.persons)
    for i, name in enumerate(part.names):
        there = whole.names.index(name)
        assert part.persons[i] == whole.persons[there]
        np.testing.assert_array_equal(part.image(i), whole.image(there))
        np.testing.assert_array_equal(part.pose(i), whole.pose(there))
    for source, target in part.pairs[:]:
        assert part.persons[source] == part.persons[target] and source != target


def test_given_pairs_keep_their_ends():
    whole = numbered_source().with_pairs(np.array([[0, 1], [1, 2], [4, 3]], np.int32))
    part = whole.only(np.array([4, 1, 0, 3]))
    assert [[part.names[i] for i in pair] for pair in part.pairs] == [
        [whole.names[0], whole.names[1]], [whole.names[4], whole.names[3]]]


def test_a_configuration_takes_its_share_for_training_alone(market):
    data = DataConfig(path=str(market), share=0.6)
    assert len(data.open("train")) == 7 and len(data.open("test")) == 12
    assert data.identity()["share"] == 0.6 and "share" not in DataConfig().identity()
    with pytest.raises(UserError, match="share: is 0"):
        DataConfig(path=str(market), share=0).open("train")
    with pytest.raises(UserError, match="identities"):
        DataConfig(share=0.5).open("train")


def test_a_share_without_pairs_is_refused_in_one_line():
    part = share_of(numbered_source(people=3, views=2), 0.5, seed=0)
    assert len(part) == 3 and len(part.pairs) == 0
    with pytest.raises(UserError, match="no pair of two pictures of one person; .* larger share"):
        batches(part, batch_size=1, seed=0)


def test_people_held_out_are_nobody_who_is_trained_on(tmp_path, monkeypatch):
    whole = numbered_source(people=7, views=3)
    monkeypatch.setattr("repose_jax.data.config.open_dataset", lambda *_, **__: whole)
    config = DataConfig(path="somewhere", hold_out=2, seed=5)
    kept, held = config.open("train"), config.held_out()
    assert len(set(held.persons)) == 2 and len(set(kept.persons)) == 5
    assert not set(held.persons) & set(kept.persons)
    assert sorted(kept.names + held.names) == sorted(whole.names)
    assert config.open("test") is whole
    assert DataConfig(path="somewhere").open("train") is whole
    assert config.identity() != DataConfig(path="somewhere", seed=5).identity()
    with pytest.raises(UserError, match="hold_out"):
        DataConfig(path="somewhere", hold_out=7).open("train")


def test_pairs_by_one_camera(monkeypatch):
    """Of all pairs, and of given ones, those and only those whose two pictures one camera took."""
    def source(cameras, pairs=None):
        plain = numbered_source(people=3, views=6)
        return PairSource(skeleton=MARKET14, size=plain.size, names=plain.names, pairs=pairs,
                          persons=plain.persons, poses=plain.poses, read=plain.image, cameras=cameras)

    cameras = np.random.default_rng(1).integers(1, 4, 18)
    whole = source(cameras)
    alike = {(a, b) for a, b in np.asarray(whole.pairs).tolist() if cameras[a] == cameras[b]}
    opened = whole
    monkeypatch.setattr("repose_jax.data.config.open_dataset", lambda *_, **__: opened)
    config = DataConfig(path="somewhere", one_camera=True)
    kept = config.open("train")
    assert 0 < len(alike) < len(whole.pairs) and len(kept.pairs) == len(alike)
    assert set(map(tuple, np.asarray(kept.pairs).tolist())) == alike
    assert len(config.open("test").pairs) == len(whole.pairs)
    assert config.identity() != DataConfig(path="somewhere").identity()
    # The same of people who are held out, and of some of the pictures.
    held = DataConfig(path="somewhere", one_camera=True, hold_out=1).held_out()
    assert {cameras[int(held.names[a])] == cameras[int(held.names[b])]
            for a, b in np.asarray(held.pairs).tolist()} == {True}
    opened = source(cameras, np.array([[0, 3], [3, 6], [6, 9], [9, 12]], np.int32))
    rest = config.open("train").only(np.arange(12)).pairs
    assert set(map(tuple, rest.tolist())) == alike & {(0, 3), (3, 6), (6, 9)}
    opened = source(None)
    with pytest.raises(UserError, match="one_camera: needs pictures whose names tell their camera"):
        config.open("train")
    opened = source(np.arange(18))
    with pytest.raises(UserError, match="one_camera: leaves no pair"):
        config.open("train")
