"""The server of the human study: what it takes, what it keeps, whom it refuses."""

import json
import socket
import threading
import urllib.error
import urllib.request

import pytest

from study_parts import METHODS, build, fill, one_line, option_of, pictures_of_methods, score
from repose_jax.cli import main
from repose_jax.studies.human.serve import make_server


@pytest.fixture
def material(tmp_path):
    return pictures_of_methods(tmp_path)


@pytest.fixture
def server(material):
    assert build(material, "--kind", "best") == 0
    with make_server(material / "study", "127.0.0.1", 0, lambda text: None) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def post(url, content, **headers):
    headers = {"Content-Type": "application/json"} | headers
    try:
        with urllib.request.urlopen(
                urllib.request.Request(url, data=content, headers=headers)) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_server_keeps_whole_answers_once_and_the_key_to_itself(material, server):
    with urllib.request.urlopen(f"{server}/") as reply:
        assert b'content="answers"' in reply.read()
    for path in ("key.json", "answers/", "../study/key.json", "answers/answers-p1.json"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{server}/{path}")
    sent = fill(material, "p1", lambda e: option_of(e, METHODS[0])).read_bytes()
    assert post(f"{server}/answers", sent) == (200, "stored")
    stored = material / "study" / "answers" / "answers-p1.json"
    assert stored.read_bytes() == sent
    assert post(f"{server}/answers", sent)[0] == 400
    assert post(f"{server}/answers", sent.replace(b'"p1"', b'"P1"'))[0] == 400
    assert post(f"{server}/answers", sent[:-9])[0] == 400
    assert post(f"{server}/elsewhere", sent)[0] == 400
    assert [p.name for p in stored.parent.iterdir()] == [stored.name]
    assert score(material, stored)[0] == 0


def test_serving_refuses_a_folder_without_study_and_a_foreign_page(material, capsys):
    assert main(["study", "serve", str(material)]) == 2
    assert "key.json" in one_line(capsys)
    assert build(material) == 0
    assert build(material, "--seed", "3", output="other") == 0
    (material / "other" / "index.html").rename(material / "study" / "index.html")
    assert main(["study", "serve", str(material / "study")]) == 2
    assert "index.html" in one_line(capsys)


def test_other_sites_can_neither_read_nor_post(material, server):
    sent = fill(material, "p1", lambda e: option_of(e, METHODS[0])).read_bytes()
    port = server.rpartition(":")[2]
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"},
                    {"Content-Type": "text/plain"}, {"Host": "evil.example"},
                    {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
                    {"Host": "[::1"}, {"Origin": f"http://127.0.0.1:{int(port) + 1}"}):
        assert post(f"{server}/answers", sent, **headers)[0] == 403, headers
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(server, headers={"Host": "evil.example"}))
    for host in ("localhost", "127.0.0.1", "10.0.0.7:80"):
        with urllib.request.urlopen(urllib.request.Request(server, headers={"Host": host})) as reply:
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
    assert not list((material / "study" / "answers").iterdir())
    assert post(f"{server}/answers", sent, Origin=server) == (200, "stored")


@pytest.mark.parametrize("content", [
    b"", b"{}", b"[" * 100_000, b"9" * 5000, b'{"format": "repose-study-answers-1"}', b"\xff\xfe"])
def test_bodies_that_are_no_answers_are_answered(server, content):
    assert post(f"{server}/answers", content)[0] == 400


def test_times_without_end_and_a_folder_that_is_gone_are_answered(material, server):
    sent = fill(material, "p1", lambda e: option_of(e, METHODS[0])).read_bytes()
    content = json.loads(sent)
    content["answers"][0]["shown_ms"] = 10**400
    assert post(f"{server}/answers", json.dumps(content).encode())[0] == 400
    (material / "study" / "answers").rmdir()
    (material / "study" / "answers").write_text("")
    assert post(f"{server}/answers", sent)[0] == 500


def test_a_hundred_people_may_come_at_once(material, server):
    sent = fill(material, "p1", lambda e: option_of(e, METHODS[0])).read_bytes()
    replies = []
    people = [threading.Thread(target=lambda n=n: replies.append(post(
        f"{server}/answers", sent.replace(b'"p1"', f'"p{n}"'.encode())))) for n in range(100)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert replies == [(200, "stored")] * 100
    assert len(list((material / "study" / "answers").iterdir())) == 100


def test_slow_clients_keep_nobody_waiting(material, server):
    """Half a request line, half the headers, nothing, half a body, and silence: 300 of them."""
    sent = fill(material, "p1", lambda e: option_of(e, METHODS[0])).read_bytes()
    port = int(server.rpartition(":")[2])
    halves = (b"GE", b"GET / HTTP/1.1\r\nHost: local", b"", (
        f"POST /answers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(sent)}\r\n\r\n").encode() + sent[:9])
    slow = []
    try:
        for number in range(300):
            slow.append(socket.create_connection(("127.0.0.1", port), timeout=60))
            slow[-1].sendall(halves[number % 4])
        # Well before the first of them is given up, which is what the others do not wait for.
        with urllib.request.urlopen(f"{server}/", timeout=25) as reply:
            assert reply.status == 200
        assert post(f"{server}/answers", sent) == (200, "stored")
    finally:
        for connection in slow:
            connection.close()
    assert [path.name for path in (material / "study" / "answers").iterdir()] == ["answers-p1.json"]
