"""Several processes that train one model: how they find each other, agree, and end together.

`jax.distributed` does the work. Process 0 takes the folder, writes log, pictures and model; all
write the checkpoints.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import importlib.util
import itertools
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import jax
import numpy as np
from jax._src import distributed as coordination  # JAX shows nothing else that waits without Gloo
from jax.experimental import multihost_utils

from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Natural, Positive, Range, check_fields

# Not SLURM_NTASKS: a batch script's own commands have it, too, and are one task all the same. What
# `srun` starts, and it alone, is a step.
_SEVERAL = {"SLURM_STEP_NUM_TASKS": "slurm", "OMPI_COMM_WORLD_SIZE": "ompi"}
"""Variables that launchers set, and what `jax.distributed` calls these launchers."""
# What the libraries for collectives say of a partner that is gone.
_NO_ANSWER = ("closed by peer", "reset by peer", "Broken pipe", "Gloo", "NCCL", "heartbeat",
              "Barrier", "UNAVAILABLE", "DEADLINE_EXCEEDED")
_DAY_MS = 86_400_000
_meetings = itertools.count()  # all processes meet in one order
_GIVEN = {"coordinator": "JAX_COORDINATOR_ADDRESS", "processes": "JAX_NUM_PROCESSES",
          "process": "JAX_PROCESS_ID"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributedConfig:
    """How this process finds the others. Slurm's srun, Open MPI and TPU pods tell it by themselves.

    Attributes:
      coordinator: HOST:PORT of process 0; else JAX_COORDINATOR_ADDRESS.
      processes: how many there are; else JAX_NUM_PROCESSES.
      process: the number of this one, from 0; else JAX_PROCESS_ID.
      join_s: seconds to wait for the others to start.
      lost_s: seconds without a sign of life after which a process counts as lost, and all end.
    """

    coordinator: str | None = None
    processes: Positive | None = None
    process: Natural | None = None
    join_s: Annotated[int, Range(1, 86_400)] = 300
    lost_s: Annotated[int, Range(5, 86_400)] = 60

    def __post_init__(self):
        check_fields(self, "distributed")


def launch(config: DistributedConfig, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """What `jax.distributed.initialize` is to be told; None for a process that is alone.

    Raises:
      UserError: the options or variables name some of coordinator, processes and process only, or
        contradict each other.
    """
    given = {name: environ.get(variable) if getattr(config, name) is None else getattr(config, name)
             for name, variable in _GIVEN.items()}
    missing = [name for name, value in given.items() if value is None]
    if not missing:
        return _explicit(given)
    for variable, method in _SEVERAL.items():
        if _count(environ, variable) > 1:
            return {"cluster_detection_method": method}
    if len(missing) < len(given):
        raise UserError("distributed", f"lacks {', '.join(missing)}",
                        "give --distributed.coordinator, .processes and .process, or none of them")
    return {} if _in_tpu_pod(environ) else None


def refuse_unjoined(environ: Mapping[str, str]) -> None:
    """Raises UserError where a launcher has started several tasks that do not know each other."""
    for name in (*_SEVERAL, "PMI_SIZE", _GIVEN["processes"]):
        count = _count(environ, name)
        if count > 1:
            raise UserError(
                f"{name}={count}", "says that there are several tasks, each of which would train "
                "alone", "start them with `repose train`, which joins what srun, mpirun or "
                f"--distributed.coordinator name, or unset {name} if there is one")


def _count(environ: Mapping[str, str], variable: str) -> int:
    value = environ.get(variable, "")
    return int(value) if value.isdecimal() else 0


def _explicit(given: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {}
    for name in ("processes", "process"):
        if not str(given[name]).isdecimal():
            raise UserError(_GIVEN[name], f"is {given[name]!r:.60}", "give a whole number")
        numbers[name] = int(given[name])
    host, _, port = str(given["coordinator"]).rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError("distributed.coordinator", f"is {given['coordinator']!r:.60}",
                        "give HOST:PORT of process 0")
    if numbers["process"] >= numbers["processes"]:
        raise UserError("distributed.process", f"is {numbers['process']} of "
                        f"{numbers['processes']} processes", "count them from 0")
    return {"coordinator_address": given["coordinator"], "num_processes": numbers["processes"],
            "process_id": numbers["process"], "cluster_detection_method": "deactivate"}


def _in_tpu_pod(environ: Mapping[str, str]) -> bool:
    """Whether this is a host of a TPU, where JAX finds the others in the machine's metadata."""
    platforms = environ.get("JAX_PLATFORMS", "")
    if platforms and "tpu" not in platforms or environ.get("TPU_SKIP_MDS_QUERY"):
        return False
    if importlib.util.find_spec("libtpu") is None:
        return False
    return "TPU_WORKER_HOSTNAMES" in environ or bool(
        glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*"))


@contextlib.contextmanager
def joined(config: DistributedConfig) -> Iterator[None]:
    """Joins the other processes, if there are any, for as long as the block lasts.

    Must come before JAX is asked for devices. Where a process is lost, JAX ends the others; what it
    writes then is replaced by one line.

    Raises:
      UserError: the processes cannot find each other.
    """
    how = launch(config, os.environ)
    if how is None:
        yield
        return
    with _one_line_at_the_end():
        heard = logging.getLogger("jax._src.clusters.cluster")
        level = heard.level
        heard.setLevel(logging.CRITICAL)  # it tells in words of its own what is raised besides
        try:
            jax.distributed.initialize(
                **how, initialization_timeout=config.join_s,
                heartbeat_timeout_seconds=config.lost_s)
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            if isinstance(error, KeyError):  # of the environment
                first = f"{error.args[0]} is not set"
            raise UserError("distributed", f"cannot join the other processes ({first:.200})",
                            "start all of them with the same coordinator, whose port must be free, "
                            "or name it with --distributed.coordinator, .processes, .process"
                            ) from None
        finally:
            heard.setLevel(level)
        yield
        meet()  # JAX's own waiting at the end is over after five minutes, and the first still writes
        jax.distributed.shutdown()


@contextlib.contextmanager
def _one_line_at_the_end() -> Iterator[None]:
    """Standard error goes through a process that turns JAX's report of a lost process into a line.

    JAX ends the process from a thread that no Python code can hold up.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    relay = subprocess.Popen(
        [sys.executable, "-S", os.path.join(os.path.dirname(__file__), "stderr_relay.py")],
        stdin=subprocess.PIPE, stdout=kept, stderr=kept)
    assert relay.stdin is not None  # a pipe was asked for
    os.dup2(relay.stdin.fileno(), 2)
    relay.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        relay.wait()


def is_first() -> bool:
    """Whether this process is the one that writes and tells."""
    return jax.process_index() == 0


def tells_of_a_lost_process(error: BaseException | None) -> bool:
    """Whether what was raised, or what it was raised from, is that another process does not answer."""
    while error is not None and jax.process_count() > 1:
        if isinstance(error, jax.errors.JaxRuntimeError) and any(
                words in str(error) for words in _NO_ANSWER):
            return True
        error = error.__cause__ or error.__context__
    return False


def meet() -> None:
    """Waits for all processes, however long one of them takes to read, to compile or to write.

    What exchanges something for the first time on CPUs gives the others 30 seconds to come, whatever
    it is told (Gloo, as it connects); but who is slow is not lost. Who is lost ends the wait, see
    `joined`.
    """
    if coordination.global_state.client is not None:
        coordination.global_state.client.wait_at_barrier(f"repose/{next(_meetings)}", _DAY_MS)


def all_well(where: Any, error: UserError | None) -> None:
    """Returns when every process calls this without an error; else ends all of them.

    Raises:
      UserError: the given one, or one that names the process that had one.
    """
    if jax.process_count() == 1:
        if error is not None:
            raise error
        return
    failed = multihost_utils.process_allgather(np.int32(error is not None))
    if error is not None:
        raise error
    if failed.any():
        raise UserError(where, f"cannot be used by process {int(np.argmax(failed))}",
                        "see the line of that process")


def same_everywhere(where: Any, digest: bytes) -> None:
    """Raises UserError on all processes where their digests, of equal length, differ."""
    if jax.process_count() == 1:
        return
    found = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
    other = np.flatnonzero((found != found[0]).any(axis=1))
    if other.size:
        raise UserError(where, f"processes 0 and {other[0]} have other data, settings or versions",
                        "give all processes the same command, package and data")


def stop_all() -> None:
    """Asks all processes to end after a step that they agree on, see `stop_agreed`."""
    os.kill(os.getpid(), signal.SIGTERM)


def stop_agreed(step: int) -> bool:
    """Whether a process was asked to end (SIGTERM) and this is the step after which all do.

    Every process has to ask at every step.
    """
    return bool(multihost_utils.reached_preemption_sync_point(step))
