"""Several processes train as one does: really started, on this machine."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from devices import flags_for
from safetensors.numpy import load_file

from repose_jax.common.errors import UserError
from repose_jax.data.people.source import rendered_people
from repose_jax.data.pairs.stream import batches
from repose_jax.training import stderr_relay
from repose_jax.training.distributed import DistributedConfig, launch
from repose_jax.training.step import own_rows

OPTIONS = [
    "--train.total-images", "48", "--train.batch-size", "8", "--train.log-every-images", "16",
    "--train.checkpoint-every-images", "16", "--train.sample-every-images", "0",
    "--train.optimizer.kind", "sgd", "--train.optimizer.learning-rate", "0.05",
    "--train.optimizer.clip-norm", "0"]
SMALL = str(pathlib.Path(__file__).parents[1] / "examples" / "train_your_own.py")
SMALLEST_MODEL = str(pathlib.Path(__file__).with_name("smallest_model.py"))
# What hangs ends sooner by itself; where many programs share a core, compiling takes its time.
PATIENCE_S = 3600


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(folder: pathlib.Path, processes: int, devices: int, *options: str, preset: str = SMALL,
          lost_s: int = 60, **environ: str) -> list[subprocess.Popen]:
    """`repose train` in so many processes of so many devices, which are started."""
    port, started = free_port(), []
    for number in range(processes):
        joining = [] if processes == 1 or environ else [
            "--distributed.coordinator", f"127.0.0.1:{port}", "--distributed.processes",
            str(processes), "--distributed.process", str(number), "--distributed.lost-s", str(lost_s)]
        own = {name: value.format(number=number) for name, value in environ.items()}
        started.append(subprocess.Popen(
            [sys.executable, "-m", "repose_jax.cli", "train", preset, "--output", str(folder),
             *OPTIONS, *joining, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=os.environ | own | {"XLA_FLAGS": flags_for(devices)}))
    return started


def ended(started: list[subprocess.Popen], codes: tuple[int, ...] = (0, 0)) -> list[str]:
    """What the processes said; fails where one ends with another code, and leaves none behind."""
    try:
        said = ["\n".join(process.communicate(timeout=PATIENCE_S)) for process in started]
    finally:
        for process in started:
            process.kill()
    assert tuple(process.returncode for process in started) == codes[:len(started)], said
    return said


def average(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


def assert_close(first: pathlib.Path, second: pathlib.Path) -> None:
    """Equal to the rounding of the files' float16, and moved."""
    one, two = average(first), average(second)
    for name, value in one.items():
        np.testing.assert_allclose(value.astype("f4"), two[name].astype("f4"), rtol=2e-3,
                                   atol=2e-5, err_msg=name)


def rows(folder: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The run that all others must equal: one process of one device."""
    folder = tmp_path_factory.mktemp("one")
    ended(start(folder, 1, 1))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("processes, devices, mode", [
    (1, 8, "pmap"), (2, 4, "pmap"), (2, 4, "jit"), (2, 4, "fsdp")])
def test_two_processes_of_four_devices_train_as_one_of_eight_and_as_one_device(
        tmp_path, one, processes, devices, mode):
    said = ended(start(tmp_path, processes, devices, "--train.parallel", mode))
    assert_close(one, tmp_path)
    assert [row["images"] for row in rows(tmp_path)] == [16, 32, 48]
    losses = [[row["loss"] for row in rows(folder)] for folder in (one, tmp_path)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert "wrote" in said[0] and "wrote" not in said[-1] * (processes > 1)
    assert not (tmp_path / "lock").exists()


@pytest.mark.slow
def test_the_diffusion_model_does_too_with_dropout(tmp_path):
    for processes, devices in ((1, 1), (2, 2)):
        ended(start(tmp_path / str(processes), processes, devices, "--train.total-images", "16",
                    "--model.network.unet.dropout", "0.2", preset=SMALLEST_MODEL, lost_s=600))
    assert_close(tmp_path / "1", tmp_path / "2")
    losses = [[row["loss"] for row in rows(tmp_path / name)] for name in "12"]
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.slow
def test_a_job_goes_on_with_fewer_processes_and_another_way_of_parallelism(tmp_path, one):
    for count, devices, mode, images in ((2, 4, "pmap", 16), (1, 4, "fsdp", 32), (2, 1, "jit", 48)):
        ended(start(tmp_path / "many", count, devices, "--train.parallel", mode,
                    "--train.total-images", str(images)))
    assert_close(one, tmp_path / "many")
    assert [row["images"] for row in rows(tmp_path / "many")] == [16, 32, 48]


@pytest.mark.slow
def test_slurms_variables_are_enough(tmp_path):
    job = str(free_port() - (65535 - 2**12 + 1) + 2**12 * 16)
    ended(start(tmp_path, 2, 1, "--train.total-images", "16", SLURM_JOB_ID=job, SLURM_NTASKS="2",
                SLURM_STEP_NUM_TASKS="2", SLURM_STEP_NODELIST="localhost", SLURM_PROCID="{number}",
                SLURM_LOCALID="{number}", SLURM_STEP_NUM_NODES="1"))
    assert [row["images"] for row in rows(tmp_path)] == [16]


def trained_beyond(folder: pathlib.Path, images: int) -> None:
    """Returns when there is a checkpoint of so many images, or of more."""
    for _ in range(10 * PATIENCE_S):
        if any(int(path.name) >= images for path in (folder / "checkpoints").glob("*")
               if path.name.isdecimal()):
            return
        time.sleep(0.1)
    raise AssertionError("no checkpoint came")


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_lost_ends_the_other_with_one_line(tmp_path, killed):
    started = start(tmp_path, 2, 1, "--train.total-images", "1000000", lost_s=10)
    trained_beyond(tmp_path, 16)
    started[killed].kill()
    other = started[1 - killed]
    _, error = other.communicate(timeout=300)
    lines = [line for line in error.splitlines() if line and "image" not in line]
    assert other.returncode != 0 and stderr_relay.LINE.decode().strip() in error, error
    assert len(lines) == 1, error
    started[killed].communicate()
    # What was saved is good.
    ended(start(tmp_path, 1, 2, "--train.max-minutes", "0"))


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
def test_a_request_to_stop_one_ends_both_after_the_same_step(tmp_path, asked):
    """Also while a checkpoint is written, as here one always is."""
    started = start(tmp_path, 2, 1, "--train.total-images", "1000000",
                    "--train.checkpoint-every-images", "8")
    trained_beyond(tmp_path, 400)
    started[asked].send_signal(signal.SIGTERM)
    said = ended(started)
    assert "reason interrupted" in said[0]
    newest = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    # It takes a second to be heard. At step 400, were images taken for steps, there are 3,200.
    assert rows(tmp_path)[-1]["images"] == newest < 2400


@pytest.mark.slow
def test_who_is_slow_to_compile_is_not_lost(tmp_path):
    """Gloo, by which processors exchange, gives up 30 seconds after the first process has come."""
    started = start(tmp_path, 2, 4, "--train.total-images", "16", lost_s=600)
    while not (tmp_path / "log.jsonl").exists():  # which is there before the step is compiled
        assert started[0].poll() is None
        time.sleep(0.02)
    started[1].send_signal(signal.SIGSTOP)
    time.sleep(40)
    slow = started[0].poll()
    started[1].send_signal(signal.SIGCONT)
    ended(started)
    assert slow is None and [row["images"] for row in rows(tmp_path)] == [16]


@pytest.mark.slow
def test_processes_that_were_given_other_settings_are_told(tmp_path):
    second, port = [], str(free_port())
    for number, seed in enumerate("12"):
        second += start(tmp_path / "two", 1, 1, "--train.seed", seed, "--distributed.coordinator",
                        f"127.0.0.1:{port}", "--distributed.processes", "2",
                        "--distributed.process", str(number))
    for text in ended(second, (2, 2)):
        assert "processes 0 and 1 have other data, settings or versions" in text


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
def test_the_shares_of_a_batch_are_the_batch_whatever_the_number_of_processes(processes):
    people = rendered_people(identities=5, views=3, size=(32, 16))
    whole, size = batches(people, batch_size=8, seed=3), 8 // processes
    shares = [own_rows(batches(people, batch_size=8, seed=3), 8,
                       slice(number * size, (number + 1) * size)) for number in range(processes)]
    for _ in range(6):  # 30 pairs: an epoch ends within a batch
        wanted, found = next(whole), [next(share) for share in shares]
        for name, value in wanted.items():
            np.testing.assert_array_equal(value, np.concatenate([part[name] for part in found]))
        assert {share.get_state()["next_batch"] for share in shares} == {
            whole.get_state()["next_batch"]}


def test_what_says_that_there_are_others():
    alone = DistributedConfig()
    assert launch(alone, {}) is None
    assert launch(alone, {"SLURM_NTASKS": "8"}) is None  # a batch script's own command
    assert launch(alone, {"SLURM_STEP_NUM_TASKS": "2"}) == {"cluster_detection_method": "slurm"}
    assert launch(alone, {"OMPI_COMM_WORLD_SIZE": "2"}) == {"cluster_detection_method": "ompi"}
    told = launch(alone, {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2",
                          "JAX_PROCESS_ID": "1"})
    assert told["coordinator_address"] == "a:1" and told["num_processes"] == 2
    # Options stand above variables, and what is told above what a launcher says.
    config = DistributedConfig(coordinator="b:2", processes=4, process=3)
    told = launch(config, {"JAX_NUM_PROCESSES": "2", "SLURM_STEP_NUM_TASKS": "2"})
    assert (told["coordinator_address"], told["num_processes"], told["process_id"]) == ("b:2", 4, 3)


@pytest.mark.parametrize("wrong", [
    {"coordinator": "a:1"}, {"coordinator": "a:1", "processes": 2},
    {"coordinator": "a", "processes": 2, "process": 0},
    {"coordinator": "a:70000", "processes": 2, "process": 0},
    {"coordinator": "a:1", "processes": 2, "process": 2}])
def test_half_of_what_is_needed_is_one_line(wrong):
    with pytest.raises(UserError, match="distributed"):
        launch(DistributedConfig(**wrong), {})


@pytest.mark.slow
def test_nobody_to_join_is_one_line(tmp_path):
    [process] = start(tmp_path, 1, 1, "--distributed.coordinator", f"127.0.0.1:{free_port()}",
                      "--distributed.processes", "2", "--distributed.process", "1",
                      "--distributed.join-s", "2")
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0 and "repose: error:" in error, error
    assert len([line for line in error.splitlines() if line]) == 1, error


def test_half_of_slurms_variables_is_one_line(tmp_path):
    [process] = start(tmp_path, 1, 1, SLURM_STEP_NUM_TASKS="2", SLURM_PROCID="1")
    _, error = process.communicate(timeout=300)
    assert process.returncode == 2 and error.count("\n") == 1, error
    assert "cannot join the other processes (SLURM_JOB_ID is not set)" in error
    assert not list(tmp_path.iterdir())


def test_the_relay_tells_once_of_a_lost_process():
    """Whoever finds out first: the program, which writes the line itself, or JAX."""
    report = b"E1129 client.cc:1] coordination_service: another task died\n"
    for given in (stderr_relay.LINE + report, report + stderr_relay.LINE, 2 * stderr_relay.LINE):
        done = subprocess.run([sys.executable, "-S", stderr_relay.__file__], input=given,
                              capture_output=True, check=True)
        assert done.stdout == stderr_relay.LINE


def test_the_relay_lets_other_lines_through():
    given = b"one\n\rbar 10%\rbar 20%\ntwo\n" \
            b"W1 preemption_sync_manager.cc:147] Failed to retrieve notice\nF1 client.h:80] " \
            b"Terminating process because the JAX distributed service detected fatal errors\n@ 0x1\n"
    done = subprocess.run([sys.executable, "-S", stderr_relay.__file__], input=given,
                          capture_output=True, check=True)
    assert done.stdout == b"one\n\rbar 10%\rbar 20%\ntwo\n" + stderr_relay.LINE


def test_the_line_does_not_stand_behind_an_unfinished_bar():
    with subprocess.Popen([sys.executable, "-S", stderr_relay.__file__], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, bufsize=0) as relay:
        relay.stdin.write(b"\rbar 10%")
        assert relay.stdout.read(8) == b"\rbar 10%"
        relay.stdin.write(b"F1 coordination_service is gone\n@ 0x1\n")
        relay.stdin.close()
        assert relay.stdout.read() == b"\n" + stderr_relay.LINE
