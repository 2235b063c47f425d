"""Runs that are killed, doubled, poisoned or starved of disk lose nothing and say so in a line."""

from __future__ import annotations

import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.common.files import check_writable, write_whole
from repose_jax.common.lock import alone
from repose_jax.training.checkpoint import Checkpoints, _dropped_reads_unheard
from repose_jax.training.log import TrainingLog
from repose_jax.training.run_list import runs_in
from repose_jax.training.state import OptimizerConfig
from repose_jax.training.weight_file import export_safetensors, load_safetensors
from test_checkpoint import CONFIG, PARAMS, assert_same, state_of, written
from test_loop import Batches, config_of, run


def restored(folder: pathlib.Path, like=None):
    with Checkpoints(folder, config=CONFIG) as checkpoints:
        return checkpoints.restore_latest(state_of(0.0) if like is None else like)


def test_a_second_run_in_a_folder_is_refused_and_takes_nothing_from_the_first(tmp_path):
    class Doubled(Batches):
        def __next__(self):
            if self.position == 7:
                with pytest.raises(UserError, match="is in use by another process"):
                    run(tmp_path, config_of(seed=4))
            return super().__next__()

    state, _ = run(tmp_path, batches=Doubled())
    assert_same(state, run(tmp_path.with_name("alone"))[0])
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize(
    "name", ["SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "JAX_NUM_PROCESSES"])
def test_tasks_that_do_not_know_each_other_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "2")
    with pytest.raises(UserError, match=f"{name}=2: says that there are several tasks"):
        run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv(name, "1")
    # What the script of `sbatch --ntasks 2` starts without srun: one task of a job that has two.
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    run(tmp_path / "run")


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_parameters_that_an_update_ruins_are_never_saved(tmp_path, kind):
    """Loss and gradient of the step are finite; what comes of them is not."""
    config = config_of(checkpoint_every_images=8, optimizer=OptimizerConfig(
        learning_rate=3e38, warmup_images=24, kind=kind))
    with pytest.raises(UserError, match="non-finite loss at image 8; .* none was due"):
        run(tmp_path, config)
    ruined = Batches()
    ruined.set_state({"position": 0})
    first = config_of(total_images=40, checkpoint_every_images=8)
    run(tmp_path / "good", first)

    def rises(params, batch, keys):
        # Of slope 1 until the third batch, then steep enough to leave float32.
        slope = jnp.where(batch["x"][0, 0] == steep, 1e38, 1.0)
        return slope * jnp.sum(params["w"]), {}

    steep = Batches()
    steep.set_state({"position": 3})
    steep = float(next(steep)["x"][0, 0])
    config = config_of(checkpoint_every_images=8, optimizer=OptimizerConfig(
        learning_rate=10.0, kind="sgd", clip_norm=0.0))
    with pytest.raises(UserError, match="at image 32; the last good checkpoint is .*/24;"):
        run(tmp_path / "later", config, loss_fn=rises)


@pytest.mark.parametrize("how", ["truncate", "empty", "delete"])
def test_any_file_of_a_checkpoint_may_be_missing_or_cut(tmp_path, how):
    written(tmp_path / "whole", 10, 20)
    files = sorted(path.relative_to(tmp_path / "whole") for path in
                   (tmp_path / "whole" / "20").rglob("*") if path.is_file())
    assert len(files) > 5
    for number, name in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        path = folder / name
        if how == "delete":
            path.unlink()
        else:
            os.truncate(path, path.stat().st_size // 2 if how == "truncate" else 0)
        right_or_refused(folder)


def right_or_refused(folder: pathlib.Path) -> bool:
    """Whether the newest checkpoint was refused; otherwise it, or the one before, came back."""
    try:
        found = restored(folder)
    except UserError as error:
        assert "\n" not in str(error) and f"resume from the one before it, {folder / '10'}" in str(
            error)
        return True
    assert found.images in (10, 20)
    assert_same(found.state, state_of(found.images))
    return False


def trial(folder: pathlib.Path, whole: pathlib.Path, seed: int) -> bool:
    """Flips a bit or writes zeros at a random place of a random file of the newest checkpoint."""
    rng = random.Random(seed)
    shutil.copytree(whole, folder)
    files = sorted(path for path in (folder / "20").rglob("*")
                   if path.is_file() and path.stat().st_size)
    path = rng.choices(files, [file.stat().st_size for file in files])[0]
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content))
    if rng.random() < 0.5:
        content[place] ^= 1 << rng.randrange(8)
    else:
        content[place:place + 16] = bytes(len(content[place:place + 16]))
    path.write_bytes(content)
    refused = right_or_refused(folder)
    shutil.rmtree(folder)
    return refused


@pytest.mark.parametrize("trials", [20, pytest.param(400, marks=pytest.mark.slow)])
def test_a_damaged_bit_is_noticed(tmp_path, trials):
    written(tmp_path / "whole", 10, 20)
    refused = sum(trial(tmp_path / "trial", tmp_path / "whole", seed) for seed in range(trials))
    assert 0 < refused < trials


def test_of_the_only_checkpoint_the_line_says_that_there_is_none_before_it(tmp_path):
    written(tmp_path, 10)
    shutil.rmtree(tmp_path / "10" / "state")
    with pytest.raises(UserError, match="damaged.*start afresh, there is none before it"):
        restored(tmp_path)


@pytest.mark.parametrize("content", [
    "[" * 100_000, '{"init_timestamp_nsecs": ' + "9" * 5000 + "}",
    '{"init_timestamp_nsecs": {"a": 1}}', '{"commit_timestamp_nsecs": ' + "9" * 400 + "}"])
def test_what_tells_when_a_checkpoint_was_written_may_be_anything(tmp_path, content):
    """Orbax reads it of every checkpoint as soon as it opens the folder."""
    for number, hint in ((20, "the one before it, .*/10"), (10, "the newest, .*/20")):
        folder = tmp_path / str(number)
        written(folder, 10, 20)
        (folder / str(number) / "_CHECKPOINT_METADATA").write_text(content)
        with pytest.raises(UserError, match=rf"/{number}: damaged checkpoint .*from {hint}$"):
            restored(folder)


def test_of_reads_that_end_after_the_first_has_failed_nothing_is_told(monkeypatch):
    """Whether there are any depends on the disk and on threads; they came in two of 120 files."""
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)

    def unraisable(error, thing):
        return types.SimpleNamespace(
            exc_type=type(error), exc_value=error, exc_traceback=None, err_msg=None, object=thing)

    late, others = unraisable(RuntimeError("Event loop is closed"), None), [
        unraisable(RuntimeError("Event loop is closed"), restored),
        unraisable(RuntimeError("another"), None)]
    with _dropped_reads_unheard():
        for one in (late, *others):
            sys.unraisablehook(one)
    assert heard == others
    sys.unraisablehook(late)
    assert heard == [*others, late]


def test_a_log_with_damaged_lines_is_read_without_them(tmp_path):
    rows = [b'{"images": 8, "loss": 2.0}', b"\x00\xff\x00", b"[" * 100_000, b"5", b'{"loss": 1.0}',
            b'{"images": 16, "loss": 1.0}', b'{"images": 24, "lo']
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(rows))
    assert [row["images"] for row in TrainingLog(tmp_path).rows()] == [8, 16]
    (facts,) = runs_in(tmp_path)
    assert facts.images == 16 and facts.losses == (2.0, 1.0)


def test_a_checkpoint_from_before_there_were_hashes_is_resumed(tmp_path, monkeypatch):
    from repose_jax.training import checkpoint

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "sealed", lambda metadata: {
            key: value for key, value in metadata.items() if key != "sha256"})
        written(tmp_path / "old", 10)
        with Checkpoints(tmp_path / "bad", config=CONFIG) as checkpoints:
            state = state_of(1.0)
            checkpoints.save(state.replace(params=jax.tree.map(lambda x: x * np.nan, state.params)),
                             images=10, data_state=None)
    assert restored(tmp_path / "old").images == 10
    with pytest.raises(UserError, match="params/down/bias has values that are not finite"):
        restored(tmp_path / "bad")


def test_a_disk_that_fills_in_a_checkpoint_is_one_line_and_the_run_goes_on(tmp_path):
    """A limit on the size of files stands for a full disk: the system's calls fail alike."""
    rng = np.random.default_rng(0)
    large = {**PARAMS, "large": rng.normal(size=(256, 1024)).astype(np.float32)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
            checkpoints.save(state_of(1.0, large), images=10, data_state=None)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, limits[1]))
        with pytest.raises(UserError, match="checkpoint cannot be written .*make room and run"):
            with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
                checkpoints.save(state_of(2.0, large), images=20, data_state=None)
                checkpoints.wait()
        with pytest.raises(ZeroDivisionError):  # what ended the block is not hidden
            with Checkpoints(tmp_path, config=CONFIG) as checkpoints:
                checkpoints.save(state_of(2.0, large), images=20, data_state=None)
                raise ZeroDivisionError
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert restored(tmp_path, state_of(0.0, large)).images == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10"]


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(
        "import multiprocessing, os, time\n"
        "from repose_jax.common.processes import end_with_parent\n"
        "def work(_):\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(2, end_with_parent) as pool:\n"
        "        pool.map(work, range(2))\n")
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    deadline = time.monotonic() + 10
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        # A zombie, which nobody may wait for here, is as dead as any.
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_file_is_synced_before_it_has_its_name_and_its_folder_after(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append(
        "folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file") or fsync(handle))
    monkeypatch.setattr(os, "replace", lambda *names: calls.append("rename") or replace(*names))
    write_whole(tmp_path / "a", lambda file: file.write(b"content"))
    assert calls == ["file", "rename", "folder"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_killed_processes_left_is_cleared_and_nothing_else(tmp_path):
    old = time.time() - 3600
    for name in (".model.safetensors.5281.tmp", ".a.png.1-0badcafe.tmp", ".mine.tmp", "a.1.tmp"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (old, old))
    (tmp_path / ".young.png.1-0badcafe.tmp").write_text("")

    def write(file):
        (temporary,) = tmp_path.glob(".new.*.tmp")
        os.utime(temporary, (old, old))
        check_writable(tmp_path)  # whose writer lives, so it stays
        assert temporary.exists()

    write_whole(tmp_path / "new", write)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".mine.tmp", ".young.png.1-0badcafe.tmp", "a.1.tmp", "new"]


def test_a_link_laid_in_the_way_is_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda _: "0badcafe")
    (tmp_path / f".a.{os.getpid()}-0badcafe.tmp").symlink_to(victim)
    with pytest.raises(UserError, match="cannot be written"):
        write_whole(tmp_path / "a", lambda file: file.write(b"evil"))
    assert victim.read_text() == "mine"


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "stdout").symlink_to("/dev/null")
    for name in ("pipe", "stdout"):
        with pytest.raises(UserError, match=f"{name}: is a device or a pipe, no file"):
            write_whole(tmp_path / name, lambda file: file.write(b"content"))
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "stdout").is_symlink()


def test_a_file_of_the_locks_name_is_neither_emptied_nor_followed(tmp_path):
    (tmp_path / "lock").write_text("mine")
    with pytest.raises(UserError, match="lock: is there and is no lock"), alone(tmp_path):
        pass
    assert (tmp_path / "lock").read_text() == "mine"
    (tmp_path / "victim").write_text("mine")
    for target in ("victim", "no/such/folder"):  # the second had it ask again for ever
        (tmp_path / "lock").unlink()
        (tmp_path / "lock").symlink_to(target)
        with pytest.raises(OSError, match="symbolic links"), alone(tmp_path):
            pass
    assert (tmp_path / "victim").read_text() == "mine"


def test_the_same_weights_are_the_same_bytes(tmp_path):
    strings = {f"key{number}": "x" * number for number in (5, 3, 9, 1, 7)}
    for number in range(8):
        export_safetensors(tmp_path / str(number), PARAMS, strings)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    params, metadata = load_safetensors(tmp_path / "0")
    assert metadata == strings
    assert_same(params, jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(np.float32),
                                     PARAMS))
