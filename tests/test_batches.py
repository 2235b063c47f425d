"""Pairs and the stream of their batches: which, in what order, mirrored how, resumed where."""

import json
import multiprocessing
import pickle

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.market1501.layout import load_market1501
from repose_jax.data.pairs.source import OrderedPairs, PairSource
from repose_jax.data.pairs.stream import batches, examples
from repose_jax.pose.skeleton import MARKET14, flip_pose


def memory_source(people=3, views=3):
    """Pictures whose every pixel is the picture's number, to be recognised in a batch."""
    n = people * views
    poses = np.random.default_rng(0).uniform(0, 8, (n, 14, 3)).astype(np.float32)
    poses[..., 2] = poses[..., 2] > 2
    poses[poses[..., 2] == 0] = 0
    pixels = np.arange(8, dtype=np.uint8) * 9
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None] + pixels[:, None],
                             (n, 16, 8, 3))
    return PairSource(skeleton=MARKET14, size=(16, 8), names=[str(i) for i in range(n)],
                      persons=[f"p{i % people}" for i in range(n)], poses=poses,
                      read=images.__getitem__)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_ordered_pairs_against_two_loops():
    persons = list("abacabcd")
    wanted = {(i, j) for i, p in enumerate(persons) for j, q in enumerate(persons)
              if p == q and i != j}
    pairs = OrderedPairs(persons)
    assert len(pairs) == len(wanted) == 10
    assert {tuple(p) for p in np.asarray(pairs).tolist()} == wanted
    np.testing.assert_array_equal(pairs[3], pairs[:][3])
    np.testing.assert_array_equal(pairs[[-1, 2]], pairs[:][[-1, 2]])
    assert len(OrderedPairs(list("abc"))) == 0
    with pytest.raises(IndexError):
        pairs[10]


def test_flip_swaps_left_and_right_and_both_pictures():
    source = memory_source()
    plain, mirrored = examples(source, [4]), examples(source, [4], np.array([True]))
    for key in ("source", "target"):
        np.testing.assert_array_equal(mirrored[key], plain[key][:, :, ::-1])
        pose, other = plain[f"{key}_pose"][0], mirrored[f"{key}_pose"][0]
        for joint in ("wrist", "hip"):
            left, right = (MARKET14.index(f"{side}_{joint}") for side in ("left", "right"))
            np.testing.assert_array_equal(other[left, 2], pose[right, 2])
            if pose[right, 2]:
                np.testing.assert_allclose(other[left, :2], [7 - pose[right, 0], pose[right, 1]],
                                           rtol=1e-6)
    assert (source.image(0)[0, :, 0] == np.arange(8) * 9).all(), "the source itself was mirrored"


def test_batches_hold_pairs_of_one_person_flipped_half_the_time():
    source, flips = memory_source(), []
    stream = batches(source, batch_size=16, seed=3)
    for _ in range(30):
        batch = next(stream)
        flipped = batch["source"][:, 0, 0, 0] > batch["source"][:, 0, -1, 0]
        numbers = [batch[key].min((1, 2, 3)) for key in ("source", "target")]
        assert (numbers[0] != numbers[1]).all() and (numbers[0] % 3 == numbers[1] % 3).all()
        for i, mirrored in enumerate(flipped):
            pose = source.pose(int(numbers[1][i]))
            wanted = flip_pose(pose, MARKET14, 8) if mirrored else pose
            np.testing.assert_array_equal(batch["target_pose"][i], wanted)
        flips += flipped.tolist()
    stream.close()
    assert 0.4 < np.mean(flips) < 0.6


def epoch(source, seed, start=0):
    """Sources and targets of one epoch, as picture numbers."""
    stream = batches(source, batch_size=6, seed=seed, flip=False)
    stream.set_state({"next_batch": start})
    pairs = []
    for _ in range(len(source.pairs) // 6):
        batch = next(stream)
        pairs += zip(batch["source"].min((1, 2, 3)), batch["target"].min((1, 2, 3)), strict=True)
    stream.close()
    return pairs


def test_an_epoch_visits_each_pair_once_in_an_order_of_its_own():
    source = memory_source()
    first, second, other = epoch(source, 0), epoch(source, 0, 3), epoch(source, 1)
    wanted = sorted(map(tuple, source.pairs[:].tolist()))
    assert sorted(first) == sorted(second) == sorted(other) == wanted
    assert len({str(first), str(second), str(other), str(wanted)}) == 4


@pytest.mark.parametrize("position", [0, 2, 7])
def test_resumed_equals_uninterrupted(position):
    source = memory_source()
    stream = batches(source, batch_size=4, seed=5)
    for _ in range(position):
        next(stream)
    state = json.loads(json.dumps(stream.get_state()))
    rest = [next(stream) for _ in range(6)]
    again = batches(source, batch_size=4, seed=5)
    next(again)
    again.set_state(state)
    assert all(same(batch, next(again)) for batch in rest)
    assert again.get_state() == stream.get_state()
    stream.close(), again.close()


def test_workers_give_the_same_batches(market):
    source = load_market1501(market)
    alone, helped = (batches(source, batch_size=3, seed=1, workers=n) for n in (0, 2))
    assert all(same(next(alone), next(helped)) for _ in range(4))
    helped.set_state({"next_batch": 2})
    alone.set_state({"next_batch": 2})
    assert same(next(alone), next(helped))
    alone.close(), helped.close()


def test_a_worker_that_is_killed_is_a_line(market):
    """As the system does to it where memory runs out."""
    stream = batches(load_market1501(market), batch_size=3, seed=1, workers=1)
    next(stream)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    with pytest.raises(UserError, match="data.workers: ended without a word"):
        for _ in range(100):
            next(stream)
    stream.close()


def test_one_epoch_without_repeat():
    stream = batches(memory_source(), batch_size=4, seed=0, repeat=False)
    assert len(list(stream)) == 18 // 4
    with pytest.raises(UserError, match="18 pairs"):
        batches(memory_source(), batch_size=19, seed=0, repeat=False)
    with pytest.raises(UserError, match="batch_size"):
        batches(memory_source(), batch_size=0, seed=0)


def test_cache_reads_each_picture_once_and_stays_here():
    source, reads = memory_source(), []
    inner = source._read
    source._read = lambda i: reads.append(i) or inner(i)
    for _ in range(3):
        source.image(2)
    assert reads == [2]
    source._read = len
    assert "_cache" not in pickle.loads(pickle.dumps(source)).__dict__
