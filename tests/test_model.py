"""The model, generation and configuration: where network and diffusion meet."""

from __future__ import annotations

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.common.fields import from_dict, to_dict
from repose_jax.common.signal import to_image, to_signal
from repose_jax.diffusion.guidance import disentangled, two_branch
from repose_jax.diffusion.prediction import precondition
from repose_jax.diffusion.samplers import initial_noise
from repose_jax.diffusion.schedule import Schedule
from repose_jax.experiments.presets import market1501, people
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig
from repose_jax.tasks.pose_transfer import ExperimentConfig

SIZE = (16, 8)

# Every path at once: alignment, attention, injection, copy.
OURS = ModelConfig(
    network=NetworkConfig(
        image_size=SIZE, skeleton="market14", encoder_channels=(4, 6),
        unet=UNetConfig(channels=(4, 8), blocks=1, attention=(1,), patch=2, refine=3, groups=2,
                        dropout=0.0, resample_blocks=False),
        rpa=RPAConfig(iterations=1, initial="skeleton", hidden=3)),
    schedule=Schedule(kind="cosine", steps=40), prediction="preconditioned")

# What training may add, without the alignment, whose gradient has a test of its own.
FULL = dataclasses.replace(OURS, network=dataclasses.replace(
    OURS.network, learned_variance=True, rpa=RPAConfig(iterations=0),
    unet=dataclasses.replace(OURS.network.unet, dropout=0.2)))

MODEL = RePoseModel(OURS)


def with_unet(config: ModelConfig, **changes) -> ModelConfig:
    unet = dataclasses.replace(config.network.unet, **changes)
    return dataclasses.replace(config, network=dataclasses.replace(config.network, unet=unet))


@functools.cache
def params_of(config: ModelConfig, scale: float = 0.25):
    """Random parameters, so that nothing is silenced by an initial zero."""
    shapes = jax.eval_shape(RePoseModel(config).init, jax.random.key(0))
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(
        tree, [jnp.asarray(scale * rng.normal(size=x.shape), jnp.float32) for x in leaves])


@functools.cache
def make_batch(count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def poses():
        xy = rng.uniform(1, [SIZE[1] - 2, SIZE[0] - 2], (count, 14, 2))
        return np.concatenate([xy, np.ones((count, 14, 1))], -1).astype(np.float32)

    def pictures():
        return rng.integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)

    return {"source": pictures(), "target": pictures(), "source_pose": poses(),
            "target_pose": poses()}


def keys_of(count: int, seed: int = 0):
    return jax.random.split(jax.random.key(seed), count)


Y = jnp.asarray(np.random.default_rng(9).normal(size=(4, *SIZE, 3)), jnp.float32)
T = jnp.array([0, 13, 27, 39])


@functools.partial(jax.jit, static_argnames=("config", "branch"))
def predict(params, source, source_pose, target_pose, y=Y, config=OURS, branch="both"):
    """The prediction of one branch at (y, T)."""
    model = RePoseModel(config)
    context = model.condition(params, to_signal(source), source_pose, target_pose, branch)
    return model.denoiser(params, context)(y, T)


@functools.partial(jax.jit, static_argnames="objective")
def losses_of(params, pairs, keys, objective):
    """The loss of each pair by itself."""
    def loss(pair, key):
        pair = {name: values[None] for name, values in pair.items()}
        return MODEL.loss(params, pair, key[None], objective, False)[0]

    return jax.vmap(loss)(pairs, keys)


def inputs_of(batch):
    return batch["source"], batch["source_pose"], batch["target_pose"]


class TestSignal:
    def test_every_value_survives(self):
        image = jnp.arange(256, dtype=jnp.uint8).reshape(1, 1, 256).repeat(3, 1).reshape(1, 256, 3)
        signal = to_signal(image)
        assert signal.min() == -1 and signal.max() == 1
        np.testing.assert_array_equal(to_image(signal), image)

    def test_what_overshoots_is_clipped(self):
        np.testing.assert_array_equal(to_image(jnp.full((1, 1, 3), 1.5)), 255)
        np.testing.assert_array_equal(to_image(jnp.full((1, 1, 3), -1.5)), 0)


class TestConditions:
    params, batch, other = params_of(OURS), make_batch(), make_batch(seed=1)

    def test_everything_is_heard(self):
        plain = predict(self.params, *inputs_of(self.batch))
        for name in ("source", "source_pose", "target_pose"):
            changed = predict(self.params, *inputs_of(self.batch | {name: self.other[name]}))
            # At the last step, where only noise is left, the conditions decide everything.
            assert jnp.abs(changed.x0 - plain.x0)[3].max() > 1e-3

    def test_null_source(self):
        """None of the source's pixels get through."""
        plain = predict(self.params, *inputs_of(self.batch), branch="pose")
        changed = predict(
            self.params, *inputs_of(self.batch | {"source": self.other["source"]}), branch="pose")
        np.testing.assert_array_equal(plain.x0, changed.x0)

    def test_null_source_has_no_pose(self):
        """Nothing tells where the source's person stood: neither a branch nor a dropped source."""
        plain, moved = (inputs_of(self.batch | {"source_pose": pose}) for pose in (
            self.batch["source_pose"], self.other["source_pose"]))
        np.testing.assert_array_equal(predict(self.params, *plain, branch="pose").x0,
                                      predict(self.params, *moved, branch="pose").x0)
        never = ObjectiveConfig(drop_source=1.0)
        loss = jax.jit(lambda batch: MODEL.loss(self.params, batch, keys_of(4), never, False)[0])
        assert loss(self.batch) == loss(self.batch | {"source_pose": moved[1]})

    def test_pictures_are_apart(self):
        plain = predict(self.params, *inputs_of(self.batch))
        mixed = {k: np.concatenate([self.other[k][:2], v[2:]]) for k, v in self.batch.items()}
        changed = predict(self.params, *inputs_of(mixed))
        np.testing.assert_allclose(changed.x0[2:], plain.x0[2:], atol=1e-4)
        assert jnp.abs(changed.x0[:2] - plain.x0[:2]).max() > 1e-3

    def test_guidance_is_the_sum_of_the_branches(self):
        """A branch without the pose is one whose pose has no visible joint."""
        coefficients = disentangled(2.0, 1.5)

        @jax.jit
        def guided(params, source, source_pose, target_pose):
            denoisers, _ = MODEL.guided_denoisers(params, to_signal(source), source_pose,
                                                  target_pose, coefficients, two_branch(1.0))
            return [denoiser(Y, T) for denoiser in denoisers]

        unknown = self.batch | {"target_pose": np.zeros_like(self.batch["target_pose"])}
        parts = {"none": predict(self.params, *inputs_of(unknown), branch="pose"),
                 "pose": predict(self.params, *inputs_of(self.batch), branch="pose"),
                 "source": predict(self.params, *inputs_of(unknown))}
        out, plain = guided(self.params, *inputs_of(self.batch))
        expected = sum(c * parts[branch].x0 for branch, c in coefficients.items())
        np.testing.assert_allclose(out.x0, expected, atol=2e-3)
        np.testing.assert_allclose(
            plain.x0, predict(self.params, *inputs_of(self.batch)).x0, atol=2e-3)
        assert jnp.abs(expected - parts["source"].x0).max() > 0.1

    def test_zero_heads_know_nothing(self):
        """With no source there is nothing to copy either: their prediction is c_skip y."""
        silent = jax.tree.map(jnp.zeros_like, self.params["unet"]["head"])
        params = self.params | {"unet": self.params["unet"] | {"head": silent}}
        out = predict(params, *inputs_of(self.batch), branch="pose")
        c_skip, _, _ = precondition(OURS.schedule.alpha_bar(T))
        np.testing.assert_allclose(out.x0, c_skip * Y, atol=1e-5)

    @pytest.mark.slow
    def test_bfloat16_stays_near_float32(self):
        config = with_unet(OURS, bfloat16=True)
        assert jax.tree.structure(params_of(config)) == jax.tree.structure(self.params)
        exact = predict(self.params, *inputs_of(self.batch))
        rounded = predict(self.params, *inputs_of(self.batch), config=config)
        assert rounded.x0.dtype == jnp.float32
        error = jnp.abs(rounded.x0 - exact.x0)
        assert 0 < error.max() and error.mean() < 0.02 * jnp.abs(exact.x0).mean() + 0.01


class TestLoss:
    params, batch = params_of(OURS), make_batch()

    objective = ObjectiveConfig(drop_source=0.3, drop_pose=0.1, drop_both=0.2, draws=4)
    count = 400
    keys = keys_of(count)

    def losses(self, objective, **changes):
        """Of the four pairs, again and again, each time with another key."""
        batch = self.batch | changes
        return np.asarray(losses_of(
            self.params, {k: np.tile(v, (self.count // 4, *[1] * (v.ndim - 1)))
                          for k, v in batch.items()}, self.keys, objective))

    def test_does_not_depend_on_how_pairs_are_batched(self):
        """Four pairs together and one by one, several draws each."""
        together, parts = jax.jit(lambda *x: MODEL.loss(*x, self.objective, False))(
            self.params, self.batch, self.keys[:4])
        assert together == pytest.approx(self.losses(self.objective)[:4].mean(), rel=1e-4)
        assert parts["mse"] == together and together > 0

    @pytest.mark.slow
    def test_draws_are_different_noise_levels(self):
        """The loss is their mean: with four, it varies half as much as with one."""
        one = self.losses(dataclasses.replace(self.objective, draws=1))
        four = self.losses(self.objective)
        assert four.mean() == pytest.approx(one.mean(), rel=0.2)
        assert four.std() < 0.75 * one.std()

    def test_conditions_are_dropped_as_often_as_asked(self):
        """Seen in what the loss depends on."""
        other = make_batch(seed=1)
        plain = self.losses(self.objective)
        no_source, no_pose = (self.losses(self.objective, **{name: other[name]}) == plain
                              for name in ("source", "target_pose"))
        error = 3 * np.sqrt(0.25 / self.count)
        assert (no_source & ~no_pose).mean() == pytest.approx(0.3, abs=error)
        assert (no_pose & ~no_source).mean() == pytest.approx(0.1, abs=error)
        assert (no_source & no_pose).mean() == pytest.approx(0.2, abs=error)

    def test_the_field_judges_where_the_noise_is_low(self):
        """Only pictures whose share of noise is at most the limit count, in a mean over all."""
        @functools.partial(jax.jit, static_argnames=("limit", "low"))
        def field(batch, keys, limit, low):
            objective = ObjectiveConfig(field_weight=0.5, field_noise=limit, draws=8)

            def judge(x0, noise):
                return jnp.where((noise**2 <= 0.4) == low, 1.0, 0.0)

            return MODEL.loss(self.params, batch, keys, objective, False, judge)[1]["field"]

        quiet, loud = (float(field(self.batch, self.keys[:4], 1.0, low)) for low in (True, False))
        assert quiet + loud == pytest.approx(0.5) and min(quiet, loud) > 0.05
        assert float(field(self.batch, self.keys[:4], 0.4, True)) == pytest.approx(quiet)
        assert float(field(self.batch, self.keys[:4], 0.4, False)) == 0

    @pytest.mark.parametrize("changes", [
        {"drop_source": 0.6, "drop_both": 0.1}, {"drop_pose": 0.3, "drop_both": 0.3},
        {"drop_source": 0.7, "drop_pose": 0.4}, {"drop_pose": -0.1}, {"draws": 0}], ids=str)
    def test_impossible_objectives_are_refused(self, changes):
        with pytest.raises(UserError, match="objective"):
            ObjectiveConfig(**changes)

    def test_picture_error_is_that_of_the_prediction(self):
        keys, target = keys_of(4), to_signal(jnp.asarray(self.batch["target"]))
        errors = jax.jit(MODEL.picture_error)(self.params, self.batch, T, keys)
        y = OURS.schedule.noised(target, initial_noise(keys, (*SIZE, 3)), T)
        out = predict(self.params, *inputs_of(self.batch), y=y)
        np.testing.assert_allclose(errors, jnp.mean((out.x0 - target) ** 2, (1, 2, 3)), rtol=1e-3)
        assert errors[0] < 0.1 * errors[3]  # at t = 0 hardly any noise hides the picture

    @pytest.mark.slow
    def test_gradients_with_and_without_remat(self):
        """Recomputing changes nothing but memory, with dropout too; every weight learns."""
        params, keys = params_of(FULL), self.keys[:4]
        assert jax.tree.structure(params) == jax.tree.structure(
            params_of(with_unet(FULL, remat=True)))
        objective = ObjectiveConfig(drop_source=0.0)

        def outcome(remat):
            model = RePoseModel(with_unet(FULL, remat=remat))
            return jax.jit(jax.value_and_grad(
                lambda p, batch: model.loss(p, batch, keys, objective), has_aux=True))(
                    params, self.batch)

        (plain, parts), gradient = outcome(False)
        (saved, _), again = outcome(True)
        assert plain == pytest.approx(float(saved), rel=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4),
                     gradient, again)
        assert parts["mse"] + parts["vlb"] == pytest.approx(float(plain), rel=1e-6)
        silent = [jax.tree_util.keystr(path) for path, leaf
                  in jax.tree_util.tree_leaves_with_path(gradient)
                  if not (np.isfinite(leaf).all() and leaf.any())]
        assert silent == []
        # Output channels: three of the picture, three of the variance, the copy mask.
        assert np.abs(gradient["unet"]["head"]["bias"]).min() > 1e-6

class TestGenerate:
    params, batch = params_of(OURS), make_batch()

    def test_a_picture_depends_on_its_own_key_alone(self):
        config = SampleConfig(steps=3, sampler="ddpm")
        keys, inputs = keys_of(4), inputs_of(self.batch)

        def pictures(inputs, keys):
            out, (steps,) = generate(MODEL, self.params, *inputs, keys, config, trajectory=True)
            assert out.dtype == jnp.uint8
            np.testing.assert_array_equal(steps.t[:, 0], [39, 20, 0])
            np.testing.assert_array_equal(to_image(steps.x0[-1]), out)
            return np.asarray(out).astype(int)

        together = pictures(inputs, keys)
        assert together.shape == (4, *SIZE, 3)
        turned = pictures([x[::-1] for x in inputs], keys[::-1])
        np.testing.assert_allclose(turned[::-1], together, atol=1)  # one of 255 levels
        alone = pictures([x[2:3] for x in inputs], keys[2:3])
        np.testing.assert_allclose(alone, together[2:3], atol=1)
        assert np.abs(pictures(inputs, keys_of(4, seed=5)) - together).max() > 2

    def test_configurations(self):
        assert SampleConfig().coefficients() == two_branch(2.0)
        assert SampleConfig(source_weight=1.0).coefficients() == {"both": 1.0}
        config = SampleConfig(classifier_free="disentangled", source_weight=3.0, pose_weight=1.5)
        assert config.coefficients() == disentangled(1.5, 3.0)
        assert SampleConfig(eta=0.5).stepper().eta == 0.5
        assert type(SampleConfig(sampler="ddpm").stepper()).__name__ == "DDPM"


class TestConfig:
    @pytest.mark.parametrize("preset", [market1501.CONFIG, people.CONFIG],
                             ids=["market1501", "people"])
    def test_round_trip_through_json(self, preset):
        text = json.dumps(to_dict(preset))
        again = from_dict(ExperimentConfig, json.loads(text))
        assert again == preset
        assert hash(again.model) == hash(preset.model)  # jit needs it

    def test_absent_fields_keep_their_defaults(self):
        values = to_dict(OURS)
        del values["network"]["rpa"]["hidden"], values["schedule"]
        again = from_dict(ModelConfig, values)
        assert again.network.rpa.hidden == RPAConfig().hidden
        assert again.schedule == Schedule() and again.network.unet == OURS.network.unet

    def test_unknown_fields_are_named(self):
        values = to_dict(OURS)
        values["network"]["unet"]["wings"] = 2
        with pytest.raises(UserError, match="network.unet.*wings"):
            from_dict(ModelConfig, values)

    @pytest.mark.parametrize(("changes", "message"), [
        ({"skeleton": "octopus"}, "octopus.*openpose18"), ({"image_size": (18, 8)}, "multiples")])
    def test_impossible_networks_are_refused(self, changes, message):
        network = dataclasses.replace(OURS.network, **changes)
        with pytest.raises(UserError, match=message):
            ExperimentConfig(model=dataclasses.replace(OURS, network=network))
