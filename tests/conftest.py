"""Before any test imports the package: JAX on one CPU thread, and checks of the annotated shapes.

Every function of the pure parts of the package is checked, at trace time, against the array shapes
and types that its signature promises. Users do not pay for this: the hook is installed here alone.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile

# Pictures are signed with a certificate that is made at first use: not in the user's own folder.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="repose-tests-")
for _name in ("REPOSE_PROVENANCE_CERTIFICATE", "REPOSE_PROVENANCE_KEY"):
    os.environ.pop(_name, None)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tiny networks take longer to compile than to run: compile less carefully, and only once. All this
# stands in the environment, so that programs that tests start do the same.
for _flag in ("--xla_cpu_multi_thread_eigen=false",
              # The emitters of fused loops and a module for each thread double the time of compiling.
              "--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"):
    if _flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_flag}".strip()
# Tests that train share their process with others, which count its memory: it is given back.
os.environ.setdefault("MALLOC_ARENA_TEST", "8")  # glibc's own
_cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_cache / "repose_jax" / "tests")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

import jax  # noqa: E402, F401  (reads the environment)
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402
from PIL import Image  # noqa: E402

# Not network.py: its containers also carry shapes and shardings, which are no arrays.
_networks = pathlib.Path(__file__).parents[1] / "repose_jax" / "networks"
install_import_hook(
    [f"repose_jax.{name}" for name in (
        "common.fields", "common.signal", "data.config", "diffusion", "models.pose_transfer",
        "models.sample_config", "models.sampling", "pose")]
    + [f"repose_jax.networks.{file.stem}" for file in _networks.glob("*.py")
       if file.stem not in ("__init__", "network")],
    # The numeric tower: an int where a float is asked for is fine.
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


@pytest.fixture(scope="session")
def market(tmp_path_factory) -> pathlib.Path:
    """A Market-1501 folder, 32x16: in each split four rendered people, each by three cameras."""
    from repose_jax.data.people.renderer import render_person
    from repose_jax.data.people.source import identity_numbers

    root, size = tmp_path_factory.mktemp("market"), (32, 16)
    for split in ("train", "test"):
        folder = root / f"bounding_box_{split}"
        folder.mkdir()
        rows, names = ["name:keypoints_y:keypoints_x"], []
        for number, identity in enumerate(identity_numbers(split, 4), start=1):
            for camera in (1, 2, 3):
                render = render_person(0, identity, camera, size)
                pose = render.annotated("market14")
                names.append(f"{number:04d}_c{camera}s1_{camera:06d}_00.jpg")
                Image.fromarray(render.image).save(folder / names[-1], quality=95)
                joints = np.where(pose[:, 2:] > 0, np.rint(pose[:, :2]), -1).astype(int)
                rows.append(f"{names[-1]}:{joints[:, 1].tolist()}:{joints[:, 0].tolist()}")
        (root / f"market-annotation-{split}.csv").write_text("\n".join(rows) + "\n")
    pairs = [f"{a},{b}" for a in names for b in names if a != b and a[:4] == b[:4]]
    (root / "market-pairs-test.csv").write_text("\n".join(["from,to", *pairs]) + "\n")
    return root


@pytest.fixture(scope="session")
def market_model(market, tmp_path_factory) -> pathlib.Path:
    """The folder of a model of that size and skeleton, of random weights: nothing is trained."""
    from repose_jax.experiments.presets.tiny import CONFIG
    from repose_jax.models.pose_transfer import RePoseModel
    from repose_jax.models.weights import FILE_NAME, save_model

    network = dataclasses.replace(CONFIG.model.network, skeleton="market14")
    config = dataclasses.replace(CONFIG.model, network=network)
    rng = np.random.default_rng(0)
    # The heads start at zero, and all pictures would be grey.
    params = jax.tree.map(
        lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(leaf.dtype),
        jax.eval_shape(RePoseModel(config).init, jax.random.key(0)))
    folder = tmp_path_factory.mktemp("market-model")
    save_model(folder / FILE_NAME, config, params, {"images": 0}, CONFIG.sample)
    return folder


@pytest.fixture(scope="module")
def service(market_model):
    """What the page of `repose app` asks, with that model."""
    from app_parts import tiny_service

    return tiny_service(market_model)


@pytest.fixture(scope="module")
def address(service):
    """Where a server of it listens."""
    from app_parts import running

    with running(service) as found:
        yield found


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of two records; the list gets the number of each record that is prepared."""
    from repose_jax.data.records import shards

    prepared, prepare = [], shards._prepare
    monkeypatch.setattr(shards, "SIZE", 2)
    monkeypatch.setattr(shards, "_prepare",
                        lambda records, i: prepared.append(i) or prepare(records, i))
    return prepared


@pytest.fixture(params=("desktop", "phone"))
def browser(request, tmp_path):
    """A browser of each kind of tests/browsers.py, for tests marked slow; skips where there is none."""
    from browsers import chromium

    yield from chromium(request.param, tmp_path)


@pytest.fixture
def page(browser, address, tmp_path):
    """The page of `repose app` with a photo on it."""
    from app_browser import opened

    yield from opened(browser, address, tmp_path)
