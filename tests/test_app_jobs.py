"""The queue of the page's server: order, bounds, stopping, and what a killed server still knows."""

import json
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from app_parts import photo, running

from repose_jax.common.errors import UserError
from repose_jax.inference.app import jobs as module
from repose_jax.inference.app.jobs import Conflict, Jobs, TooMany


class Painter:
    """Paints five steps when it is let; the request says what becomes of it."""

    def __init__(self):
        self.order, self.gate = [], threading.Semaphore(0)

    def steps(self, body):
        if body == b"bad":
            raise UserError("request", "is bad", "give a good one")
        return 5

    def paint(self, body, watch):
        self.order.append(body)
        if body.startswith(b"fail"):
            raise UserError("photo", "is no use", "give another")
        if body.startswith(b"defect"):
            raise ZeroDivisionError("division by zero")
        for step in range(1, 6):
            self.gate.acquire()
            if not watch(step, np.zeros((1, 4, 2, 3), np.uint8)):
                return {}
        return {"picture": body.decode()}


@pytest.fixture
def painter():
    return Painter()


def queue(painter, folder=None, told=None):
    return Jobs(painter.paint, painter.steps, folder, (told if told is not None else []).append)


def eventually(check, seconds=10):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def test_pictures_come_in_order_with_their_steps(painter):
    jobs = queue(painter)
    first, second = jobs.submit(b"one"), jobs.submit(b"two")
    eventually(lambda: first.state == "painting")
    assert jobs.ahead(first) == 0 and jobs.ahead(second) == 1 and second.state == "waiting"
    painter.gate.release(3)
    eventually(lambda: first.step == 3)
    assert first.steps == 5 and first.preview.shape == (4, 2, 3) and first.seconds_left is not None
    painter.gate.release(7)
    assert second.finished.wait(10) and first.answer == {"picture": "one"}
    assert painter.order == [b"one", b"two"] and first.body == b"" and first.preview is None


def test_a_job_is_stopped_before_it_begins_and_in_the_middle(painter):
    jobs = queue(painter)
    first, second, third = (jobs.submit(word) for word in (b"one", b"two", b"three"))
    jobs.stop(second)
    assert second.state == "stopped"
    painter.gate.release(2)
    eventually(lambda: first.step == 2)
    jobs.stop(first)
    painter.gate.release(6)
    assert third.finished.wait(10)
    assert first.state == "stopped" and first.step == 3 and first.answer == {}
    assert painter.order == [b"one", b"three"] and third.state == "done"
    jobs.stop(third)
    assert third.state == "done" and third.answer == {"picture": "three"}


def test_mistakes_and_defects_are_lines_and_the_queue_goes_on(painter):
    told = []
    jobs = queue(painter, told=told)
    with pytest.raises(UserError, match="is bad"):
        jobs.submit(b"bad")
    fail, defect, good = jobs.submit(b"fail"), jobs.submit(b"defect"), jobs.submit(b"good")
    painter.gate.release(5)
    assert good.finished.wait(10) and good.state == "done"
    assert fail.state == "failed" and fail.answer["error"] == "photo: is no use; give another"
    assert "has a defect" in defect.answer["error"] and len(told) == 1 and "ZeroDivision" in told[0]


def test_a_key_stands_for_one_request_of_one_client(painter):
    jobs = queue(painter)
    first = jobs.submit(b"one", "a", "key")
    assert jobs.submit(b"one", "a", "key") is first
    with pytest.raises(Conflict):
        jobs.submit(b"other", "a", "key")
    assert jobs.submit(b"one", "b", "key") is not first
    assert jobs.submit(b"one", "a") is not jobs.submit(b"one", "a")


def test_there_is_an_end_to_what_waits(painter, monkeypatch):
    monkeypatch.setattr(module, "MOST_OF_ONE", 3)
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    jobs = queue(painter)
    mine = [jobs.submit(b"mine", "a") for _ in range(3)]
    with pytest.raises(TooMany, match="3 of yours"):
        jobs.submit(b"mine", "a")
    jobs.submit(b"theirs", "b")
    jobs.stop(mine[2])
    jobs.submit(b"mine", "a")
    jobs.submit(b"theirs", "b")
    with pytest.raises(TooMany, match="queue is full"):
        jobs.submit(b"theirs", "c")
    monkeypatch.setattr(module, "MOST_WAITING", 50)
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 1000)
    with pytest.raises(TooMany, match="queue is full"):
        jobs.submit(b"x" * 990, "d")


def test_a_killed_server_goes_on_with_its_jobs(painter, tmp_path):
    """The first queue is abandoned in the middle of a picture, as a kill would leave its folder."""
    jobs = queue(painter, tmp_path)
    done = jobs.submit(b"one", "a", "first")
    painter.gate.release(5)
    assert done.finished.wait(10)
    broken, stopped, waiting = (jobs.submit(word, "a", word.decode())
                                for word in (b"two", b"three", b"four"))
    painter.gate.release(2)
    eventually(lambda: broken.step == 2)
    jobs.stop(stopped)
    kept = json.loads((tmp_path / f"{done.id}.job.json").read_bytes())
    assert kept["body"] == "", "the photo is kept after its picture was painted"

    other = Painter()
    again = queue(other, tmp_path)
    other.gate.release(10)
    eventually(lambda: again.get(waiting.id).finished.is_set())
    assert other.order == [b"two", b"four"], "in order, what was begun anew, what was done not again"
    assert again.get(done.id).answer == {"picture": "one"}
    assert again.get(stopped.id).state == "stopped"
    assert again.submit(b"one", "a", "first").id == done.id, "the key is forgotten"
    again.close()
    for damaged in ("{}", "[" * 100_000):
        (tmp_path / "x.job.json").write_text(damaged)
        with pytest.raises(UserError, match="is not a job"):
            queue(Painter(), tmp_path)


def test_closing_ends_a_picture_in_the_middle_and_keeps_it(painter, tmp_path):
    jobs = queue(painter, tmp_path)
    job = jobs.submit(b"one")
    painter.gate.release(2)
    eventually(lambda: job.step == 2)
    threading.Timer(0.3, painter.gate.release).start()
    jobs.close()
    assert job.step == 3 and not jobs._worker.is_alive()
    other = Painter()
    again = queue(other, tmp_path)
    other.gate.release(5)
    assert again.get(job.id).finished.wait(10) and again.get(job.id).state == "done"


def test_what_is_done_is_forgotten_in_time(painter, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 2)
    jobs = queue(painter, tmp_path)
    painter.gate.release(50)
    made = []
    for number in range(5):
        made.append(jobs.submit(b"%d" % number))
        assert made[-1].finished.wait(10)
    assert [jobs.get(job.id) is not None for job in made] == [False, False, True, True, True]
    assert len(list(tmp_path.iterdir())) == 3


def call(address, method, path, values=None, **headers):
    body = None if values is None else json.dumps(values).encode()
    request = urllib.request.Request(address + path, body, {
        "Content-Type": "application/json"} | headers, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def asked(service, model, **changes):
    from repose_jax.inference.app.requests import PhotoRequest, parse
    pose = service.photo(parse(PhotoRequest, json.dumps(
        {"model": model, "photo": photo()}).encode()))["pose"]
    return {"model": model, "photo": photo(), "target": pose, "retarget": "none", "steps": 2} | changes


def test_over_http_a_job_is_asked_for_watched_and_had_once(service, market_model):
    values = asked(service, market_model.name)
    with running(service) as address:
        key = {"Idempotency-Key": "k1"}
        status, job = call(address, "POST", "/jobs", values, **key)
        assert status == 202 and job["steps"] == 2
        assert call(address, "POST", "/jobs", values, **key)[1]["id"] == job["id"]
        assert call(address, "POST", "/jobs", values | {"seed": 1}, **key)[0] == 409
        eventually(lambda: call(address, "GET", f"/jobs/{job['id']}")[1]["state"] == "done", 300)
        answer = call(address, "GET", f"/jobs/{job['id']}")[1]["answer"]
        status, at_once = call(address, "POST", "/paint", values)
        assert status == 200 and at_once["picture"] == answer["picture"]
        assert call(address, "DELETE", f"/jobs/{job['id']}")[1]["state"] == "done"
        for method, path, wanted in [
                ("GET", "/jobs/none", 404), ("DELETE", "/jobs/none", 404), ("GET", "/jobs", 405),
                ("PUT", "/jobs", 405), ("PATCH", "/facts", 405), ("DELETE", "/facts", 405),
                ("POST", "/facts", 405), ("TRACE", "/", 405)]:
            status, found = call(address, method, path, {} if method == "POST" else None)
            assert status == wanted and "\n" not in found["error"], (method, path, status)
        assert call(address, "POST", "/jobs", {})[0] == 400
        assert call(address, "POST", "/jobs", values, **{"Idempotency-Key": "ä"})[0] == 400
        status, _ = call(address, "DELETE", f"/jobs/{job['id']}", Origin="http://evil.example")
        assert status == 403


def test_a_token_is_asked_for(service, market_model):
    values = asked(service, market_model.name)
    with running(service, token="s3cret") as address:
        assert urllib.request.urlopen(address + "/").status == 200, "the page itself asks for it"
        for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Bearer s3cre"}):
            assert call(address, "GET", "/facts", **headers)[0] == 401
            assert call(address, "POST", "/jobs", values, **headers)[0] == 401
            assert call(address, "GET", "/jobs/none", **headers)[0] == 401
        given = {"Authorization": "Bearer s3cret"}
        assert call(address, "GET", "/facts", **given)[0] == 200
        assert call(address, "POST", "/jobs", values, **given)[0] == 202


def test_the_document_is_of_what_is_parsed(service, market_model):
    with running(service) as address:
        status, found = call(address, "GET", "/openapi.json")
    assert status == 200 and found["openapi"] == "3.1.0"
    body = found["paths"]["/paint"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["model", "photo", "target"] and not body["additionalProperties"]
    assert body["properties"]["seed"] == {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
    assert body["properties"]["retarget"] == {"enum": ["bones", "scale", "none"]}
    assert body["properties"]["photo"]["required"] == ["name", "base64"]
    assert body["properties"]["model"] == {"enum": service.names}
    links = found["paths"]["/jobs"]["post"]["responses"]["202"]["links"]
    known = {operation["operationId"] for path in found["paths"].values()
             for name, operation in path.items() if name != "parameters"}
    assert {link["operationId"] for link in links.values()} == set(links) <= known
    assert {"400", "409", "413", "429", "503"} <= set(found["paths"]["/jobs"]["post"]["responses"])


def test_the_client_paints_waits_and_says_what_is_wrong(service, market_model, tmp_path):
    import base64

    from repose_jax import Client
    path, pose = tmp_path / "a.png", tmp_path / "pose.json"
    path.write_bytes(base64.b64decode(photo()["base64"]))
    values = asked(service, market_model.name)
    pose.write_text(json.dumps(values["target"]))
    seen = []
    with running(service, token="t") as address:
        client = Client(address, "t")
        painted = client.paint(path, pose, market_model.name, seed=3, steps=2, retarget="none",
                               progress=lambda job: seen.append(job["state"]))
        assert painted.startswith(b"\x89PNG") and seen[-1] == "done"
        with pytest.raises(UserError, match="model: is nobody"):
            client.paint(path, pose, "nobody")
        with pytest.raises(UserError, match="Authorization"):
            Client(address).paint(path, pose, market_model.name)
    with pytest.raises(UserError, match="does not answer"):
        Client(address).paint(path, pose, market_model.name)
