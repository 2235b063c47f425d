"""Pictures to be painted, one after the other, in the order in which they were asked for.

Jobs are kept in memory; with a folder they are kept on the disk too, photos included, and a server that
was killed goes on with them. What is done is kept until there is much of it; photos are not.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import pathlib
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from repose_jax.common.errors import UserError
from repose_jax.common.files import check_writable, write_content
from repose_jax.models.watching import Watch

MOST_OF_ONE = 32  # unfinished jobs of a client
MOST_WAITING = 128
MOST_WAITING_BYTES = 256 << 20
KEPT = 512  # finished jobs
_PATIENCE_S = 20.0

Paint = Callable[[bytes, Watch], dict[str, Any]]
_STATES = ("waiting", "painting", "done", "stopped", "failed")
_ID_BYTES = 16


class TooMany(UserError):
    """There is no place for another job now."""


class Conflict(UserError):
    """A key was used for another request."""


@dataclasses.dataclass(eq=False)
class Job:
    """One picture.

    Attributes:
      id: by which it is asked for; cannot be guessed.
      client: who asked.
      key: the client's own name for it, or "".
      digest: SHA-256 of the request.
      order: the time at which it was asked for.
      body: the request; empty once it is finished.
      state: waiting, painting, done, stopped or failed.
      step, steps: of the sampler, done and in all; 0 of 0 where it does not step.
      preview: what the picture will be, as far as is known.
      answer: of a finished job: `picture` and what belongs to it, or `error`.
      seconds_left: an estimate, None where there is none.
    """

    id: str
    client: str
    key: str
    digest: str
    order: float
    body: bytes = b""
    state: str = "waiting"
    step: int = 0
    steps: int = 0
    preview: UInt8[np.ndarray, "h w 3"] | None = None
    answer: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds_left: float | None = None
    stop: bool = False
    finished: threading.Event = dataclasses.field(default_factory=threading.Event)


class Jobs:
    """The queue and its one painter.

    Args:
      paint: makes a picture of a request's body, and is stopped by the watch it is given; UserError
        for a request that cannot be painted.
      steps: how many steps a request's body asks for; UserError as `paint`.
      folder: keeps jobs over a restart; None keeps them in memory.
      say: is told of faults of ours.

    Raises:
      UserError: the folder cannot be written, or holds what is no job.
    """

    def __init__(self, paint: Paint, steps: Callable[[bytes], int],
                 folder: pathlib.Path | None = None, say: Callable[[str], None] = print):
        self._paint, self._steps, self._folder, self._say = paint, steps, folder, say
        self._jobs: collections.OrderedDict[str, Job] = collections.OrderedDict()
        self._keys: dict[tuple[str, str], str] = {}
        self._changed = threading.Condition()
        self._closed = False
        if folder is not None:
            check_writable(folder)
            folder.chmod(0o700)  # photos lie in it
            for job in sorted(map(_read, folder.glob("*.job.json")), key=lambda job: job.order):
                self._add(job)
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()

    def submit(self, body: bytes, client: str = "", key: str = "") -> Job:
        """Puts a request at the end of the queue; a second one of the same client and key is the first.

        Raises:
          UserError: the request cannot be painted.
          Conflict: the key stands for another request.
          TooMany: there are too many jobs, of this client or in all.
        """
        steps, digest = self._steps(body), hashlib.sha256(body).hexdigest()
        with self._changed:
            known = self._jobs.get(self._keys.get((client, key), "")) if key else None
            if known is not None:
                if known.digest != digest:
                    raise Conflict("Idempotency-Key", "was used for another request",
                                   "give each request a key of its own")
                return known
            waiting = [job for job in self._jobs.values() if not job.finished.is_set()]
            if len(waiting) >= MOST_WAITING or len(body) + sum(
                    len(job.body) for job in waiting) > MOST_WAITING_BYTES:
                raise TooMany("request", "is one too many: the queue is full", "wait a moment")
            if sum(job.client == client for job in waiting) >= MOST_OF_ONE:
                raise TooMany("request", f"is one too many: {MOST_OF_ONE} of yours are not finished",
                              "wait for one of them")
            job = Job(secrets.token_hex(_ID_BYTES), client, key, digest, time.time(), body,
                      steps=steps)
            self._write(job)
            self._add(job)
            self._changed.notify_all()
        return job

    def get(self, name: str) -> Job | None:
        """The job of an id; None where there is none."""
        return self._jobs.get(name)

    def stop(self, job: Job) -> None:
        """Ends a job at its next step, or before it begins; one that is finished stays as it is."""
        with self._changed:
            job.stop = True
            if job.state == "waiting":
                self._finish(job, "stopped", {})

    def ahead(self, job: Job) -> int:
        """How many jobs are painted before it is."""
        if job.finished.is_set():
            return 0
        with self._changed:
            return sum(not other.finished.is_set() and other.order < job.order
                       for other in self._jobs.values())

    def close(self) -> None:
        """Ends the painter at its next step; a folder keeps that picture and those that wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # A thread that is inside of a program when Python ends makes it end badly.
        self._worker.join(_PATIENCE_S)

    def _add(self, job: Job) -> None:
        self._jobs[job.id] = job
        if job.key:
            self._keys[job.client, job.key] = job.id
        done = [other for other in self._jobs.values() if other.finished.is_set()]
        for old in done[:max(0, len(done) - KEPT)]:
            del self._jobs[old.id]
            self._keys.pop((old.client, old.key), None)
            if self._folder is not None:
                (self._folder / f"{old.id}.job.json").unlink(missing_ok=True)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next() is not None)
                if self._closed:
                    return
                job = self._next()
                assert job is not None
                job.state = "painting"
            try:
                answer = self._painted(job)
                unfinished = job.step < job.steps
                state = "stopped" if job.stop and (unfinished or not job.steps) else "done"
                if unfinished and not job.stop:
                    return  # closed in the middle: a server with the same folder begins it anew
            except UserError as error:
                answer, state = {"error": str(error)}, "failed"
            except Exception as error:  # noqa: BLE001  # told here and there, and the queue goes on
                self._say(f"a job failed ({type(error).__name__}: {error})")
                answer, state = {"error": "repose app: has a defect, see its terminal; please report "
                                 "it"}, "failed"
            with self._changed:
                self._finish(job, state, {} if state == "stopped" else answer)

    def _next(self) -> Job | None:
        return next((job for job in self._jobs.values() if job.state == "waiting"), None)

    def _painted(self, job: Job) -> dict[str, Any]:
        first: list[float] = []

        def watch(step: int, pictures: UInt8[np.ndarray, "batch h w 3"]) -> bool:
            first.append(time.perf_counter())
            job.step, job.preview = step, pictures[0]
            if len(first) > 1:  # the first step's time is mostly the compiler's
                job.seconds_left = (job.steps - step) * (first[-1] - first[0]) / (len(first) - 1)
            return not (job.stop or self._closed)

        return self._paint(job.body, watch)

    def _finish(self, job: Job, state: str, answer: dict[str, Any]) -> None:
        job.state, job.answer, job.body, job.preview, job.seconds_left = state, answer, b"", None, None
        try:
            self._write(job)
        except UserError as error:  # the picture is there all the same
            self._say(str(error))
        job.finished.set()

    def _write(self, job: Job) -> None:
        if self._folder is not None:
            values = {name: getattr(job, name) for name in _WRITTEN}
            write_content(self._folder / f"{job.id}.job.json", json.dumps(
                values | {"body": job.body.decode()}))


_WRITTEN = ("id", "client", "key", "digest", "order", "state", "step", "steps", "answer")


def _read(path: pathlib.Path) -> Job:
    """A job of a folder; one that was being painted waits again."""
    try:
        values = json.loads(path.read_bytes())
        job = Job(body=values.pop("body").encode(), **values)
        sound = job.state in _STATES and path.name == f"{job.id}.job.json"
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise UserError(path, "is not a job", "take it away, or give another --jobs")
    if job.state in ("waiting", "painting"):
        job.state, job.step = "waiting", 0
    else:
        job.finished.set()
    return job
