"""Two sources of pairs as one: whose picture, whose pose, whose flow, how many of each."""

import dataclasses
import pickle

import numpy as np
import pytest

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.joined import joined
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import examples
from repose_jax.data.people.source import rendered_people
from repose_jax.pose.skeleton import SKELETONS

SIZE = (64, 32)
SKELETON = "market14"


class Grey:
    """Picture i is of the grey 10 i; picklable."""

    def __call__(self, index):
        return np.full((*SIZE, 3), 10 * index, np.uint8)


@pytest.fixture(scope="module")
def people():
    return rendered_people(0, 4, 3, SIZE, SKELETON)


@pytest.fixture(scope="module")
def photos():
    joints = len(SKELETONS[SKELETON].joints)
    poses = np.arange(5 * joints * 3, dtype=np.float32).reshape(5, joints, 3)
    return PairSource(skeleton=SKELETONS[SKELETON], size=SIZE, names=[f"{i}.png" for i in range(5)],
                      persons=["p0000000", "p0000000", "b", "b", "b"], poses=poses, read=Grey())


def of_second(source, first):
    """How many of the pairs are of the second source, and those."""
    pairs = np.asarray(source.pairs)
    chosen = pairs[:, 0] >= len(first)
    assert np.array_equal(chosen, pairs[:, 1] >= len(first))
    return chosen.mean(), pairs[chosen] - len(first)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.8])
def test_the_second_one_s_pairs_are_a_share_of_all(people, photos, share):
    """24 pairs of rendered people, 8 of photos, each as often as any other but for once."""
    both = joined(people, photos, share, 0)
    found, pairs = of_second(both, people)
    assert abs(found - share) < 0.02
    _, times = np.unique(pairs, axis=0, return_counts=True)
    assert times.max() - times.min() <= 1
    assert len(pairs) + len(people.pairs) == len(both.pairs)
    assert not np.array_equal(pairs, of_second(joined(people, photos, share, 1), people)[1])


def test_pictures_and_poses_are_those_of_their_source(people, photos):
    both = joined(people, photos, 0.5, 0)
    assert len(both) == len(people) + len(photos)
    for index in (0, 5, len(people) - 1):
        np.testing.assert_array_equal(both.image(index), people.image(index))
        np.testing.assert_array_equal(both.pose(index), people.pose(index))
    for index in range(len(photos)):
        np.testing.assert_array_equal(both.image(len(people) + index), photos.image(index))
        np.testing.assert_array_equal(both.pose(len(people) + index), photos.poses[index])
    np.testing.assert_array_equal(both.poses, np.concatenate([people.poses, photos.poses]))


def test_people_of_one_name_are_two(people, photos):
    both = joined(people, photos, 0.5, 0)
    assert people.persons[0] == photos.persons[0] == "p0000000"
    assert both.persons[0] != both.persons[len(people)]
    assert len(set(both.persons)) == len(set(people.persons)) + len(set(photos.persons))


def test_the_flow_of_photos_is_not_known(people, photos):
    both = joined(people, photos, 0.5, 0)
    pairs = np.asarray(both.pairs)
    rendered = int(np.flatnonzero(pairs[:, 0] < len(people))[0])
    photo = int(np.flatnonzero(pairs[:, 0] >= len(people))[0])
    batch = examples(both, [rendered, photo], np.array([False, True]), flow=True)
    np.testing.assert_array_equal(batch["flow"][0], people.flow(*pairs[rendered]).flow)
    assert batch["seen"][0].any() and not batch["seen"][1].any() and not batch["flow"][1].any()
    assert both.has_flow and not joined(photos, photos, 0.5, 0).has_flow
    some = both.only(np.array([1, 0]))
    np.testing.assert_array_equal(some.flow(0, 1).flow, people.flow(1, 0).flow)
    np.testing.assert_array_equal(some.image(0), people.image(1))


def test_it_can_be_pickled_and_its_identity_is_of_both(people, photos):
    both = joined(people, photos, 0.5, 0)
    again = pickle.loads(pickle.dumps(both))
    np.testing.assert_array_equal(again.pairs, both.pairs)
    np.testing.assert_array_equal(again.image(len(people) + 2), photos.image(2))
    assert set(both.identity.values()) == {*people.identity.values(), *photos.identity.values()}


def test_sources_that_do_not_fit_are_refused(people, photos):
    with pytest.raises(UserError, match="openpose18 at 64x32, data.path market14 at 64x32"):
        joined(photos, rendered_people(0, 2, 2, SIZE), 0.5, 0)
    nobody = photos.with_pairs(np.zeros((0, 2), np.int32))
    with pytest.raises(UserError, match="data.also: holds no pair"):
        joined(people, nobody, 0.5, 0)
    with pytest.raises(UserError, match="data.also: is people, as data.path is"):
        DataConfig(also="people")


def test_what_is_said_of_rendered_people_and_of_photos_holds_for_these(market):
    """A share of the pictures and one camera are of photos alone, views of rendered people alone."""
    mixed = DataConfig(identities=3, views=2, also=str(market), also_share=0.25, share=0.75)
    source = mixed.open("train", skeleton=SKELETON, size=SIZE)
    share, pairs = of_second(source, rendered_people(0, 3, 2, SIZE, SKELETON))
    assert abs(share - 0.25) < 0.03
    photos = DataConfig(path=str(market), share=0.75).open("train", skeleton=SKELETON, size=SIZE)
    assert len(source) == 3 * 2 + len(photos) == 3 * 2 + 9
    allowed = {tuple(pair) for pair in np.asarray(photos.pairs[:]).tolist()}
    assert {tuple(pair) for pair in pairs.tolist()} <= allowed
    assert mixed.name == f"people+{market.name}"
    assert mixed.identity() != dataclasses.replace(mixed, also="").identity()
    with pytest.raises(UserError, match="one_camera: leaves no pair"):
        dataclasses.replace(mixed, one_camera=True).open("train", skeleton=SKELETON, size=SIZE)


def test_people_of_both_are_held_out(market):
    mixed = DataConfig(identities=3, views=2, also=str(market), hold_out=1)
    sources = (mixed.open("train", skeleton=SKELETON, size=SIZE),
               mixed.held_out(skeleton=SKELETON, size=SIZE))
    people = [set(source.persons) for source in sources]
    assert [len(some) for some in people] == [2 + 3, 1 + 1] and not people[0] & people[1]


def test_a_run_learns_from_both(tmp_path, market, capsys):
    argv = ["train", "tiny", "--data.also", str(market), "--train.total-images", "8",
            "--train.batch-size", "4", "--data.identities", "3", "--data.views", "2",
            "--output", str(tmp_path / "run")]
    code = main(argv)
    assert code == 0, capsys.readouterr().err
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert main([*argv[:2], "--data.also", str(tmp_path / "nowhere"), "--output",
                 str(tmp_path / "other")]) == 2
    assert "nowhere" in capsys.readouterr().err
