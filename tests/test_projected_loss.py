"""The discriminator of heads: its game, its norms, what it leaves alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from repose_jax.models.perceptual_loss import CloseUps
from repose_jax.models.projected_loss import fresh_critic, realism_terms
from repose_jax.networks.efficientnet_lite import TAP_CHANNELS
from repose_jax.networks.projected_discriminator import normalised, spectral_norm


def seen(seed, shift=0.0, shown=(1.0, 1.0)):
    """Features of two pictures; the painted ones differ by `shift` in one channel."""
    keys = jax.random.split(jax.random.key(seed), 2 * len(TAP_CHANNELS))
    sides = (8, 4, 2, 1)

    def drawn(keys, shift):
        found = [jax.random.normal(key, (2, side, side, c)) / c ** 0.5
                 for key, side, c in zip(keys, sides, TAP_CHANNELS, strict=True)]
        return tuple(x.at[..., 0].add(shift / x.shape[-1] ** 0.5) for x in found)

    return CloseUps(drawn(keys[:4], shift), drawn(keys[4:], 0.0), jnp.array(shown), jnp.ones(2))


CRITIC = fresh_critic(jax.random.key(0))
terms = jax.jit(realism_terms, static_argnums=2)


@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (1, 1, 12, 4), (1, 1, 3, 1)])
def test_the_spectral_norm_is_the_largest_singular_value(shape):
    kernel = np.random.default_rng(0).normal(size=shape)
    kernel[0, 0] += 1.0  # one that stands out: power iteration tells equal ones apart slowly
    matrix = kernel.reshape(-1, shape[-1])
    truth, gradient = jax.value_and_grad(spectral_norm)(jnp.asarray(kernel))
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    assert float(truth) == pytest.approx(values[0], rel=1e-3)
    np.testing.assert_allclose(gradient.reshape(matrix.shape), np.outer(left[:, 0], right[0]),
                               atol=0.05)


def test_only_kernels_are_normalised():
    found = normalised({"a": {"kernel": 3 * jnp.eye(4).reshape(1, 1, 4, 4), "bias": jnp.full(4, 2.0)}})
    np.testing.assert_allclose(found["a"]["kernel"], jnp.eye(4).reshape(1, 1, 4, 4), rtol=1e-5)
    np.testing.assert_array_equal(found["a"]["bias"], 2.0)


def test_each_side_is_moved_by_its_own_term():
    given = seen(0)

    def of(name):
        return jax.jit(jax.grad(
            lambda params, ours, theirs: realism_terms(
                params, CloseUps(ours, theirs, given.shown, given.nearer), 0.5)[name], (0, 1, 2)))(
            CRITIC, given.ours, given.theirs)

    def size(tree):
        return float(optax.tree.norm(tree))

    critic, picture, target = of("realism")
    assert size(critic) == size(target) == 0 and size(picture) > 0
    critic, picture, target = of("critic")
    assert size(picture) == size(target) == 0 and size(critic) > 0


def test_a_critic_that_knows_nothing_costs_two():
    """Hinge loss at scores of 0, Lim & Ye 2017."""
    blind = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0 * leaf if path[0].key.startswith("score") else leaf, CRITIC)
    found = terms(blind, seen(1), 0.5)
    assert float(found["critic"]) == pytest.approx(2) and float(found["realism"]) == 0


def test_pairs_without_a_head_count_nothing():
    one, both = seen(2, shown=(1.0, 0.0)), seen(2)
    first = CloseUps(*(tuple(x[:1] for x in some) for some in one[:2]), jnp.ones(1), jnp.ones(1))
    for name, value in terms(CRITIC, one, 0.5).items():
        assert float(value) == pytest.approx(float(terms(CRITIC, first, 0.5)[name]), rel=1e-5)
        assert float(value) != pytest.approx(float(terms(CRITIC, both, 0.5)[name]), rel=1e-5)
    nobody = terms(CRITIC, seen(2, shown=(0.0, 0.0)), 0.5)
    assert {float(value) for value in nobody.values()} == {0.0}


def test_small_heads_move_the_picture_less_and_teach_as_much():
    near, far = seen(3), seen(3)._replace(nearer=jnp.array([0.25, 0.25]))
    ours, theirs = terms(CRITIC, near, 0.5), terms(CRITIC, far, 0.5)
    assert float(theirs["realism"]) == pytest.approx(float(ours["realism"]) / 4, rel=1e-5)
    assert float(theirs["critic"]) == pytest.approx(float(ours["critic"]), rel=1e-6)


def test_it_learns_what_is_painted():
    """Painted heads that all lack something are told from real ones they were not learnt from."""
    optimizer = optax.adam(2e-3)

    @jax.jit
    def step(params, state, given):
        gradient = jax.grad(lambda params: realism_terms(params, given, 1.0)["critic"])(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    params, state = CRITIC, optimizer.init(CRITIC)
    for seed in range(40):
        params, state = step(params, state, seen(seed, shift=2.0))
    assert float(terms(params, seen(100, shift=2.0), 1.0)["critic"]) < 1.0
    assert float(terms(params, seen(100), 1.0)["critic"]) > 1.5  # where nothing is lacking
