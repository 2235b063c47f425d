"""Checkpoints that are whole or not there, and weight files that say what is wrong with them."""

from __future__ import annotations

import functools
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import multihost_utils

from repose_jax.common.errors import UserError
from repose_jax.training.checkpoint import Checkpoints, decode_state, encode_state
from repose_jax.training.state import OptimizerConfig, create_state, make_optimizer
from repose_jax.training.weight_file import export_safetensors, load_safetensors

CONFIG = {"seed": 1, "model": {"width": 8, "levels": (1, 2)}, "note": "a"}
PARAMS = {
    "down": {"kernel": np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4),
             "bias": np.array([0.5, -0.25, 0.0, 1.0], np.float32)},
    "scale": np.float32(1.5) * np.ones((), np.float32)}


def state_of(scale: float, params=PARAMS):
    optimizer = make_optimizer(OptimizerConfig(weight_decay=0.1), 4)
    state = create_state(jax.tree.map(lambda leaf: scale * jnp.asarray(leaf), params), optimizer)
    return state.replace(step=jnp.int32(7))


def written(folder: pathlib.Path, *images: int, keep: int = 3, data_state=None) -> None:
    with Checkpoints(folder, config=CONFIG, keep=keep) as checkpoints:
        for count in images:
            checkpoints.save(state_of(count), images=count, data_state=data_state,
                             extra={"wall_s": 1.5})


def assert_same(first, second):
    jax.tree.map(
        functools.partial(np.testing.assert_array_equal, strict=True),
        *(jax.tree.map(np.asarray, tree) for tree in (first, second)))


def test_a_checkpoint_comes_back_whole(tmp_path):
    written(tmp_path, 10, 20, data_state={"position": 3})
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        assert checkpoints.latest() == tmp_path / "20"
        restored = checkpoints.restore_latest(state_of(0.0))
    assert_same(restored.state, state_of(20))
    assert restored[1:] == (20, {"position": 3}, {"wall_s": 1.5}, False)
    assert type(restored.state.opt_state) is type(state_of(0.0).opt_state)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_process_that_is_lost_while_reading_has_damaged_nothing(tmp_path, monkeypatch, processes):
    """What a partner's end looks like on one machine alone can only be the file's fault."""
    written(tmp_path, 10)
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        def lost(*_, **__):
            raise jax.errors.JaxRuntimeError("Gloo AllGather failed: Connection closed by peer")

        monkeypatch.setattr(checkpoints._manager, "restore", lost)
        monkeypatch.setattr(jax, "process_count", lambda: processes)
        with pytest.raises(jax.errors.JaxRuntimeError if processes > 1 else UserError,
                           match="Gloo" if processes > 1 else "damaged checkpoint"):
            checkpoints.restore_latest(state_of(0.0))
        monkeypatch.undo()


def test_an_empty_folder_has_none(tmp_path):
    with Checkpoints(tmp_path / "new", config=CONFIG) as checkpoints:
        assert checkpoints.latest() is None
        assert checkpoints.restore_latest(state_of(0.0)) is None


def test_the_newest_are_kept_and_one_that_exists_is_left(tmp_path):
    written(tmp_path, 10, 20, 30, 30, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20", "30"]


def test_what_is_saved_is_the_state_at_the_call_though_its_buffers_are_donated(tmp_path):
    move = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    large = {**PARAMS, "large": np.ones((1024, 1024), np.float32)}
    state = state_of(1.0, large)
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        checkpoints.save(state, images=10, data_state=None)
        for _ in range(20):
            state = move(state)
        checkpoints.wait()
        assert_same(checkpoints.restore_latest(state).state, state_of(1.0, large))


def test_saving_says_nothing_of_the_step_that_several_processes_end_after(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point",
                        lambda step: asked.append(step))
    written(tmp_path, 10, 20)
    assert not asked  # it counts steps, and checkpoints count images


@pytest.mark.parametrize("data_state", [
    None, b"\x00\xff grain", {"a": 1, "workers": [{"b": b"\x01"}, 2.5]}, {"n": np.int64(3)}])
def test_an_iterator_may_keep_its_place_as_bytes_or_as_a_dict(tmp_path, data_state):
    assert decode_state(encode_state(data_state)) == data_state
    written(tmp_path, 10, data_state=data_state)
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        assert checkpoints.restore_latest(state_of(0.0)).data_state == data_state


@pytest.mark.parametrize("change, line", [
    ({"model": {"width": 16, "levels": [1, 2]}, "note": "b"}, "model.width was 8, now 16"),
    ({"model": {"width": 8, "levels": [1, 3]}}, r"model.levels was \[1, 2\], now \[1, 3\]"),
    ({"extra": True}, "extra was not set, now True"),
    ({"model": {"levels": [1, 2]}}, "model.width was 8, now not set")])
def test_another_configuration_is_refused_by_its_first_field(tmp_path, change, line):
    written(tmp_path, 10)
    with Checkpoints(tmp_path, config={**CONFIG, **change}) as checkpoints:
        with pytest.raises(UserError, match=line):
            checkpoints.restore_latest(state_of(0.0))


def test_other_content_is_refused_and_a_run_that_knows_none_goes_on(tmp_path):
    content = {"content": {"names": "1", "pictures": "2"}}
    written(tmp_path, 10)
    with Checkpoints(tmp_path, config=CONFIG | content) as checkpoints:
        assert checkpoints.restore_latest(state_of(0.0)).unknown
        checkpoints.save(state_of(20), images=20, data_state={})
        checkpoints.wait()
        assert not checkpoints.restore_latest(state_of(0.0)).unknown
    content["content"]["pictures"] = "3"
    with Checkpoints(tmp_path, config=CONFIG | content) as checkpoints:
        with pytest.raises(UserError, match="learnt from other pictures than these; give the pict"):
            checkpoints.restore_latest(state_of(0.0))


def test_a_half_written_checkpoint_is_not_picked_up(tmp_path):
    written(tmp_path, 10, 20)
    partial = tmp_path / "30.orbax-checkpoint-tmp-123"
    shutil.copytree(tmp_path / "20", partial)
    os.remove(partial / "_CHECKPOINT_METADATA")
    shutil.rmtree(partial / "metadata")
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        restored = checkpoints.restore_latest(state_of(0.0))
    assert restored.images == 20
    assert_same(restored.state, state_of(20))


@pytest.mark.parametrize("damage", ["metadata", "state", "state/d", "truncate"])
def test_a_damaged_checkpoint_is_one_clear_line(tmp_path, damage):
    written(tmp_path, 10, 20)
    if damage == "truncate":
        for path in (tmp_path / "20" / "state").rglob("*"):
            if path.is_file():
                os.truncate(path, path.stat().st_size // 2)
    else:
        shutil.rmtree(tmp_path / "20" / damage)
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        with pytest.raises(UserError, match="20: .*delete it to resume from the one before"):
            checkpoints.restore_latest(state_of(0.0))
    shutil.rmtree(tmp_path / "20")
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        assert checkpoints.restore_latest(state_of(0.0)).images == 10


def test_a_state_of_another_shape_is_refused(tmp_path):
    written(tmp_path, 10)
    other = {**PARAMS, "scale": np.ones((2,), np.float32)}
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        with pytest.raises(UserError, match=(
                r"params/scale was \['float32'\], now \['float32', 2\]")):
            checkpoints.restore_latest(state_of(0.0, other))
    with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
        with pytest.raises(UserError, match="params/scale was .*, now not there"):
            checkpoints.restore_latest(state_of(0.0, {"down": PARAMS["down"]}))


# --- weight files


def test_weights_survive_a_file(tmp_path):
    path = tmp_path / "deep" / "model.safetensors"
    export_safetensors(path, PARAMS, {"skeleton": "market14"}, dtype=np.float32)
    params, metadata = load_safetensors(path)
    assert metadata == {"skeleton": "market14"}
    assert_same(params, PARAMS)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_half_floats_halve_the_file_and_come_back_as_float32(tmp_path):
    weights = {"w": np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)}
    export_safetensors(tmp_path / "half", weights, {})
    export_safetensors(tmp_path / "full", weights, {}, dtype=np.float32)
    assert (tmp_path / "half").stat().st_size < 0.51 * (tmp_path / "full").stat().st_size
    params, _ = load_safetensors(tmp_path / "half")
    assert params["w"].dtype == np.float32
    np.testing.assert_array_equal(params["w"], weights["w"].astype(np.float16))


def test_the_expected_types_are_taken_and_integers_left(tmp_path):
    weights = {"w": np.ones((2, 2), np.float32), "count": np.arange(3)}
    export_safetensors(tmp_path / "file", weights, {})
    like = {"w": jax.ShapeDtypeStruct((2, 2), jnp.bfloat16),
            "count": jax.ShapeDtypeStruct((3,), np.int32)}
    params, _ = load_safetensors(tmp_path / "file", like)
    assert params["w"].dtype == jnp.bfloat16 and params["count"].dtype == np.int32
    assert load_safetensors(tmp_path / "file")[0]["count"].dtype == np.int64


def test_jax_arrays_views_and_bfloat16_can_be_exported(tmp_path):
    weights = {"w": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
               "h": jnp.ones(2, jnp.bfloat16)}
    export_safetensors(tmp_path / "file", weights, {}, dtype=np.float32)
    params, _ = load_safetensors(tmp_path / "file")
    np.testing.assert_array_equal(params["w"], np.arange(6.0).reshape(2, 3).T)
    np.testing.assert_array_equal(params["h"], 1.0)


@pytest.mark.parametrize("like, line", [
    ({**PARAMS, "more": np.ones(2)}, "lacks the tensor more"),
    ({"down": PARAMS["down"]}, "has the tensor scale that the model lacks"),
    ({**PARAMS, "down": {**PARAMS["down"], "kernel": np.ones((4, 4))}},
     r"down/kernel has the shape \[3, 4\] where the model has \[4, 4\]")])
def test_weights_of_another_model_are_refused_by_name(tmp_path, like, line):
    export_safetensors(tmp_path / "file", PARAMS, {})
    with pytest.raises(UserError, match=line):
        load_safetensors(tmp_path / "file", like)


def test_a_file_that_is_no_weight_file_is_one_clear_line(tmp_path):
    export_safetensors(tmp_path / "good", PARAMS, {"a": "b"})
    good = (tmp_path / "good").read_bytes()
    files = {"cut": good[:-5], "short": good[:4], "empty": b"", "text": b"hello, world " * 9,
             "header": good[:20] + b"}" + good[21:], "long": good + b"\0"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match="damaged or not a safetensors file"):
            load_safetensors(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        load_safetensors(tmp_path / "missing")
    with pytest.raises(UserError):
        load_safetensors(tmp_path)


def test_a_failed_export_leaves_the_old_file(tmp_path):
    path = tmp_path / "model"
    export_safetensors(path, PARAMS, {})
    old = path.read_bytes()
    for value in (1e6, np.nan):
        with pytest.raises(UserError, match="w has values that float16 cannot hold"):
            export_safetensors(path, {"w": np.array([1.0, value])}, {})
    assert path.read_bytes() == old
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        export_safetensors(tmp_path / "taken" / "model", PARAMS, {})


def test_a_slash_in_a_name_would_be_ambiguous(tmp_path):
    with pytest.raises(ValueError, match="slash"):
        export_safetensors(tmp_path / "file", {"a/b": np.ones(1)}, {})
