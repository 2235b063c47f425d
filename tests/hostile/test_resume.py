"""Runs that are gone on with otherwise than they began, or where nothing can be written any more."""

from __future__ import annotations

import json
import pathlib
import resource
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from repose_jax.cli import main
from repose_jax.cli.terminal import use_compilation_cache
from repose_jax.common import signing_keys
from repose_jax.common.errors import UserError
from repose_jax.tasks import fit
from repose_jax.training.checkpoint import refuse_other_config
from repose_jax.training.weight_file import export_safetensors
from test_loop import Batches, assert_same, config_of, run


class Known(Exception):
    """What a run is known by, before anything is compiled."""


@pytest.fixture
def known_by(tmp_path, monkeypatch):
    """From the options of `repose train` to what a resumed run must share."""
    def train(config, *, metadata, **_):
        raise Known(json.dumps({**metadata, **config.identity()}))

    monkeypatch.setattr(fit, "train", train)

    def known(*options: str, preset: str = "tiny"):
        with pytest.raises(Known) as raised:
            main(["train", preset, "--output", str(tmp_path / "run"), "--data.identities", "2",
                  "--data.views", "2", *options])
        return json.loads(str(raised.value))

    return known


OTHERWISE = {
    "batch_size": ("--train.batch-size", "16"),
    "seed": ("--train.seed", "1"),
    "ema_decay": ("--train.ema-decay", "0.5"),
    "optimizer.learning_rate": ("--train.optimizer.learning-rate", "0.5"),
    "optimizer.kind": ("--train.optimizer.kind", "sgd"),
    "optimizer.warmup_images": ("--train.optimizer.warmup-images", "8"),
    "data.seed": ("--data.seed", "1"),
    "data.identities": ("--data.identities", "3"),
    "data.views": ("--data.views", "3"),
    "model.network.unet.channels": ("--model.network.unet.channels", "8", "8"),
    "model.schedule.steps": ("--model.schedule.steps", "50"),
    "objective.drop_both": ("--objective.drop-both", "0.2"),
}


@pytest.mark.parametrize("field", OTHERWISE)
def test_what_decides_the_parameters_must_stay_and_the_line_names_it(known_by, field):
    before, now = known_by(), known_by(*OTHERWISE[field])
    with pytest.raises(UserError, match=rf"another configuration: {field} was"):
        refuse_other_config("run", before, now)


def test_what_decides_nothing_may_change(known_by):
    before = known_by()
    for options in (
            ("--train.log-every-images", "8"), ("--train.checkpoint-every-images", "8"),
            ("--train.keep", "1"), ("--train.max-minutes", "1"), ("--train.parallel", "fsdp"),
            ("--train.accumulate", "2"), ("--train.total-images", "1024"), ("--data.workers", "1"),
            ("--sample.steps", "2")):
        refuse_other_config("run", before, known_by(*options))


# --- nothing can be written

LINES = """
import contextlib, io, sys
from repose_jax.cli import main
from repose_jax.cli.terminal import use_compilation_cache
from repose_jax.common import signing_keys
commands = {commands!r}
for words in commands:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    lines = [line for line in said.getvalue().splitlines() if not line.startswith("note: ")]
    print(code, len(lines), lines[-1] if lines else "")
"""


def test_a_read_only_file_system_is_a_line(tmp_path):
    """A read-only mount, as root is asked by no mode of a folder."""
    example = pathlib.Path(__file__).parents[2] / "examples"
    place = tmp_path / "place"
    (place / "run").mkdir(parents=True)
    shutil.copy(example / "pose-arms.json", place / "pose.json")
    photo, pose = (str(example / name) for name in ("person-a.png", "pose-arms.json"))
    out = str(place / "o")
    commands = [
        ["train", "tiny", "--output", out],
        ["train", "tiny", "--output", str(place / "run")],
        ["transfer", photo, "--pose", pose, "--output", f"{out}.png"],
        ["transfer", photo, "--pose", pose, "--output", out],
        ["pose", pose, "-o", f"{out}.json"],
        ["data", "build", "people", "--identities", "2", "--output", out],
        ["pose", str(place / "pose.json")]]
    script = LINES.format(commands=commands)
    mount = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$0" && '
             'mount -o remount,bind,ro "$0" || exit 77; exec "$@"', str(place)]
    try:
        done = subprocess.run([*mount, sys.executable, "-c", script], capture_output=True, text=True,
                              timeout=600)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode in (1, 77) and "unshare" in done.stderr or done.returncode == 77:
        pytest.skip("no mount can be made here")
    assert done.returncode == 0, done.stderr
    *refused, read = done.stdout.splitlines()
    assert len(refused) == len(commands) - 1 and read.startswith("0 ")
    for line in refused:
        code, count, text = line.split(" ", 2)
        assert (code, count) == ("2", "1") and str(place) in text and "cannot be" in text, line


def test_a_user_without_a_home_gets_no_folder_called_like_one(tmp_path, monkeypatch, capsys):
    def nobody(number):
        raise KeyError(number)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    before = jax.config.jax_compilation_cache_dir
    use_compilation_cache()
    said = capsys.readouterr().err
    assert said.startswith("note: compiled programs cannot be kept (XDG_CACHE_HOME: is not set")
    assert said.count("\n") == 1 and jax.config.jax_compilation_cache_dir == before
    with pytest.raises(UserError, match="XDG_CONFIG_HOME: is not set, and this user has no home"):
        signing_keys.folder()
    assert not list(tmp_path.iterdir())


def test_a_build_without_temporary_space_is_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/no/such/folder"])
    assert main(["data", "build", "people", "--identities", "2", "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "TMPDIR: is of no use (No usable temporary directory" in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def drawn(params, images) -> np.ndarray:
    return np.random.default_rng(images).integers(0, 256, (40, 40, 3), np.uint8)


@pytest.mark.parametrize("most", [100, 700, 100_000])
def test_a_disk_that_fills_at_any_file_loses_nothing(tmp_path, most):
    """No file may be larger than so: a row, the curve or the model file is the first that is."""
    whole, _ = run(tmp_path / "whole", config_of(sample_every_images=80), sample_fn=drawn)
    folder, limits = tmp_path / "full", resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def train_and_export():
        state, _ = run(folder, config_of(sample_every_images=80), sample_fn=drawn)
        export_safetensors(folder / "model", state.ema, {"config": "x" * 200_000})
        return state

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            train_and_export()
            failed = ""
        except UserError as error:
            failed = str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    print(failed)
    assert "make room and run" in failed and "\n" not in failed
    assert ("full/model" in failed) == (most == 100_000)
    assert not [path for path in folder.rglob("*") if path.suffix == ".tmp"]
    assert_same(train_and_export(), whole)
    assert (tmp_path / "full" / "log.jsonl").read_text().count("\n") == 10


def test_a_disk_that_fills_in_transfer_is_a_line_and_the_command_goes_on(
        market, market_model, tmp_path, capsys):
    poses = market / "market-annotation-test.csv"
    name = next((market / "bounding_box_test").glob("*.jpg"))
    words = ["transfer", str(name), "--source-pose", str(poses), "--pose", str(poses), "--pose-name",
             name.name, "--model", str(market_model), "--steps", "2",
             # Two signatures of the same are never the same bytes.
             "--provenance.no-sign", "--output"]
    assert main([*words, str(tmp_path / "whole.png")]) == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    capsys.readouterr()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        code = main([*words, str(tmp_path / "full.png")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    *bar, said = capsys.readouterr().err.splitlines()
    assert code == 2 and said.startswith("repose: error: ") and "make room" in said
    assert not any("error" in line.lower() for line in bar)
    assert [path.name for path in tmp_path.iterdir()] == ["whole.png"]
    assert main([*words, str(tmp_path / "full.png")]) == 0
    assert (tmp_path / "full.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


# --- long runs


def open_files() -> int:
    return len(list(pathlib.Path("/proc/self/fd").iterdir()))


def resident_mb() -> float:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmRSS")


@pytest.mark.parametrize("steps", [300, pytest.param(2_000, marks=pytest.mark.slow)])
def test_memory_and_open_files_are_flat(tmp_path, steps):
    """With a checkpoint each fifty steps; what the first third takes is what is needed."""
    seen = []

    class Watched(Batches):
        def __next__(self):
            if self.position % 20 == 10:
                seen.append((resident_mb(), open_files()))
            return super().__next__()

    run(tmp_path, config_of(total_images=8 * steps, checkpoint_every_images=400,
                            log_every_images=400), batches=Watched())
    third = len(seen) // 3
    (early_mb, early_files), (late_mb, late_files) = (
        np.max(part, axis=0) for part in (seen[:third], seen[-third:]))
    print(f"{steps} steps: {early_mb:.0f} MB, then {late_mb:.0f} MB; {early_files:.0f} files open, "
          f"then {late_files:.0f}")
    assert late_files <= early_files + 5
    assert late_mb < early_mb + 20 + steps / 50


def test_it_counts(tmp_path):
    """That the measures above can fail."""
    files, before = open_files(), resident_mb()
    held = [open("/dev/null") for _ in range(20)]
    block = np.ones(1 << 25, np.uint8)
    assert open_files() >= files + 20 and resident_mb() > before + 20 and block[-1]
    for file in held:
        file.close()
