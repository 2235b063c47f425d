"""`repose app` as a process of its own that is killed: what it still knows when it is started again."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from app_parts import photo
from test_app_jobs import call, eventually

from repose_jax.inference.app.requests import PhotoRequest, parse

pytestmark = pytest.mark.slow
_STEPS = 60


@contextlib.contextmanager
def server(model, folder):
    """The address of a server, and its process; ended at the end, if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "repose_jax.cli", "app", "--no-open", "--port", "0", "--model",
         str(model), "--jobs", str(folder), "--provenance.no-sign"],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        found = next(filter(None, (re.match(r"(http://[\d.:]+)/", line) for line in process.stdout)))
        yield found.group(1), process
    finally:
        process.kill()
        process.wait()


def known(address, job):
    return call(address, "GET", f"/jobs/{job['id']}")[1]


def test_nothing_is_lost_when_the_server_is_killed(market_model, tmp_path):
    """The picture that it was at begins anew; what was done stays done, what waited is painted."""
    from app_parts import tiny_service
    app, folder = tiny_service(market_model), tmp_path / "jobs"
    values = {"model": market_model.name, "photo": photo(), "steps": _STEPS, "retarget": "none"}
    values["source"] = values["target"] = app.photo(parse(PhotoRequest, json.dumps(
        {"model": market_model.name, "photo": photo()}).encode()))["pose"]
    with server(market_model, folder) as (address, process):
        jobs = [call(address, "POST", "/jobs", values | {"seed": seed},
                     **{"Idempotency-Key": f"k{seed}"})[1] for seed in range(5)]
        call(address, "DELETE", f"/jobs/{jobs[3]['id']}")
        eventually(lambda: known(address, jobs[0])["state"] == "done", 300)
        first = known(address, jobs[0])["answer"]
        eventually(lambda: known(address, jobs[1])["step"] > 0, 60)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with server(market_model, folder) as (address, process):
        assert known(address, jobs[0])["answer"] == first
        assert known(address, jobs[3])["state"] == "stopped"
        again = call(address, "POST", "/jobs", values | {"seed": 1}, **{"Idempotency-Key": "k1"})[1]
        assert again["id"] == jobs[1]["id"], "a request that is sent again is painted twice"
        for number in (1, 2, 4):
            eventually(lambda number=number: known(address, jobs[number])["state"] == "done", 300)
        status, alone = call(address, "POST", "/paint", values | {"seed": 1})
        assert status == 200 and known(address, jobs[1])["answer"]["picture"] == alone["picture"]
    kept = [json.loads(path.read_bytes()) for path in folder.iterdir()]
    assert all(job["body"] == "" for job in kept), "photos are kept after their pictures"


def test_a_server_killed_again_and_again_ends_its_jobs(market_model, tmp_path):
    from app_parts import tiny_service
    app, folder = tiny_service(market_model), tmp_path / "jobs"
    values = {"model": market_model.name, "photo": photo(), "steps": 3, "retarget": "none"}
    values["source"] = values["target"] = app.photo(parse(PhotoRequest, json.dumps(
        {"model": market_model.name, "photo": photo()}).encode()))["pose"]
    jobs = []
    for kill in range(3):
        with server(market_model, folder) as (address, process):
            jobs += [call(address, "POST", "/jobs", values | {"seed": 10 * kill + more})[1]
                     for more in range(4)]
            time.sleep(0.2 * kill)
            process.kill()
    with server(market_model, folder) as (address, process):
        for job in jobs:
            eventually(lambda job=job: known(address, job)["state"] == "done", 300)
    assert len(list(folder.glob("*.job.json"))) == len(jobs) == 12
