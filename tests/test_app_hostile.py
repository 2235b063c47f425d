"""What a server must bear: files that are none, bodies that are none, and clients that are slow."""

import contextlib
import io
import json
import os
import socket
import struct
import time
import zlib

import numpy as np
import pytest
from app_parts import file, photo, running, tiny_service
from PIL import Image
from test_app_jobs import call

from repose_jax import Client
from repose_jax.common import local_server
from repose_jax.experiments.bench import app_hostile
from repose_jax.inference.app import serve

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def address(market_model, told):
    with running(tiny_service(market_model), told.append) as found:
        yield found


@pytest.fixture
def asked(address, market_model, told):
    def ask(content, name="a.png"):
        return call(address, "POST", "/photo",
                    {"model": market_model.name, "photo": file(name, content)})

    yield ask
    assert not told, told  # no defect of ours was met


def picture(mode, size, kind, **options):
    content = io.BytesIO()
    Image.new(mode, size).save(content, kind, **options)
    return content.getvalue()


def png_of_promises():
    """A PNG of 300 bytes that says it is 60000 pixels wide and high."""
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(
            ">I", zlib.crc32(name + content))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


@pytest.mark.parametrize("content, said", [
    (picture("1", (12000, 12000), "PNG"), "pixels"),
    (picture("L", (10000, 10000), "JPEG"), "pixels"), (png_of_promises(), "too large"),
    (picture("RGB", (64, 128), "PNG")[:-40], "a.png: "),
    (picture("RGB", (640, 1280), "JPEG")[:900], "a.png: "),
    (SVG, "is not a picture"), (b"%PDF-1.7\n", "is not a picture"),
    (b"PK\x03\x04" + bytes(99), "is not a picture"),
    (b"<html><script>alert(1)</script>", "is not a picture"), (b"", "is not a picture"),
    (b"\x00\x00\x00\x20ftypisom" + bytes(99), "is not a picture"),
    (b"\x89PNG\r\n\x1a\n" + b"\xff" * 200, "a.png: ")])
def test_files_that_are_no_photos_are_one_line(asked, content, said):
    status, answer = asked(content)
    assert status == 400 and said in answer["error"] and "\n" not in answer["error"]
    assert len(answer["error"]) < 400


def test_a_photo_is_turned_as_its_camera_says(asked):
    upright = np.zeros((128, 64, 3), np.uint8)
    upright[:64] = 255
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(np.rot90(upright)).save(content, "JPEG", exif=exif)
    assert asked(content.getvalue())[1]["size"] == [128, 64]


@pytest.mark.parametrize("name", [
    "../../etc/passwd.png", "C:\\windows\\a.png", "<script>alert(1)</script>.png", "a" * 5000 + ".png",
    "a\nb\r\n.png", "\x1b[31m.png", "", "\u202egnp.a", "a\x00.png", "/"])
def test_names_are_shown_and_never_opened(asked, name):
    status, answer = asked(b"none", name)
    error = answer["error"]
    assert status == 400 and "is not a picture" in error and len(error) < 300
    assert error.isprintable() and "etc" not in error and "windows" not in error


BODIES = [b"", b"[]", b"null", b"[" * 200_000, b'{"a":' * 50_000, b"9" * 100_000, b"\xff\xfe\x00",
          b'{"model": ' + b"1" * 5000 + b"}", b'{"model": NaN}', b'{"model": "a", "model": "b"}',
          b'{"model": {"$ne": 1}, "photo": "x"}', b'{"photo": {"name": [], "base64": {}}}']


@pytest.mark.parametrize("path", ["/photo", "/pose", "/save", "/alignment", "/paint", "/jobs"])
def test_bodies_that_are_none_are_one_line(address, told, path):
    for body in BODIES:
        status, text = exchange(address, head(address, path, len(body)) + body)
        assert status == 400 and "\n" not in json.loads(text)["error"], body[:40]
    assert not told, told


def head(address, path, length, method="POST"):
    return (f"{method} {path} HTTP/1.1\r\nHost: {address.partition('//')[2]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n").encode()


def connect(address):
    host, _, port = address.partition("//")[2].partition(":")
    return socket.create_connection((host, int(port)), 20)


def exchange(address, sent, finish=False):
    """Status and body of the answer to what is sent as it is.

    The status is 0 where it is hung up, and where the answer is a line alone, as that to what is
    no HTTP.
    """
    with connect(address) as client:
        client.sendall(sent)
        if finish:
            client.shutdown(socket.SHUT_WR)
        found = b"".join(iter(lambda: client.recv(65536), b""))
    top, _, body = found.partition(b"\r\n\r\n")
    return (int(top.split()[1]), body) if top.startswith(b"HTTP/") else (0, found)


@pytest.mark.parametrize("length", ["99999999999", "-5", "1e9", "0x10", "", "5, 5",
                                    str((32 << 20) + 1)])
def test_lengths_that_are_none_are_refused_before_anything_is_read(address, told, length):
    assert exchange(address, head(address, "/photo", length))[0] == 413
    assert not told


@pytest.mark.parametrize("busy", [60], indirect=True)  # 30 MB take a busy machine a while
def test_who_is_refused_in_the_middle_of_a_large_body_sees_the_answer(address, busy):
    """More than the system keeps for a reader who does not read."""
    for where, length, status in ((busy[0], 30 << 20, 503), (address, 33 << 20, 413)):
        assert exchange(where, head(where, "/photo", length) + b"9" * length)[0] == status


def test_what_is_sent_in_pieces_without_a_length_is_refused(address):
    sent = head(address, "/photo", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    assert exchange(address, sent + b"2\r\n{}\r\n0\r\n\r\n")[0] == 413


def test_a_body_that_is_shorter_than_it_says_is_one_line(address):
    status, body = exchange(address, head(address, "/photo", 1000) + b"{}", finish=True)
    assert status == 400 and b"shorter than it says" in body


def test_requests_that_are_none_are_one_line(address):
    for sent, wanted in ((b"\x00\x01\x02\r\n\r\n", 0), (b"GET /" + b"a" * 70000 + b"\r\n\r\n", 414),
                         (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n", 431),
                         (b"BREW / HTTP/1.1\r\n\r\n", 405), (b"GET / HTTP/9.9\r\n\r\n", 0)):
        status, body = exchange(address, sent)
        assert status == wanted and b"\n" not in body, sent[:20]


@pytest.mark.parametrize("path", ["/../serve.py", "/..%2fserve.py", "/%2e%2e/serve.py", "//etc/passwd",
                                  "/page/../../serve.py", "/jobs/../../etc/passwd", "/app.js%00.html",
                                  "/jobs/%00", "/\\..\\serve.py", "/jobs/" + "a" * 9000])
def test_paths_lead_nowhere_else(address, path):
    assert exchange(address, head(address, path, 0, "GET"))[0] in (400, 403, 404)


@pytest.fixture
def busy(market_model, monkeypatch, request):
    """A server whose four places are held by clients that have begun a body, and those clients.

    A body may take 1.5 seconds, or the parameter's.
    """
    monkeypatch.setattr(local_server, "_BODY_SECONDS", getattr(request, "param", 1.5))
    monkeypatch.setattr(serve, "_WAIT_S", 0.05)
    with running(tiny_service(market_model)) as address, contextlib.ExitStack() as clients:
        slow = [clients.enter_context(connect(address)) for _ in range(4)]
        for client in slow:
            client.sendall(head(address, "/photo", 500) + b"{")
        time.sleep(0.3)
        yield address, slow


def test_who_sends_slowly_keeps_no_place(market_model, busy):
    """A byte now and then holds one of the four places no longer than a body may take."""
    address, slow = busy
    values = {"model": market_model.name, "photo": photo()}
    assert call(address, "POST", "/photo", values)[0] == 503
    end = time.monotonic() + 1.4
    while time.monotonic() < end:  # drips, so that no single wait is long
        for client in slow:
            try:
                client.sendall(b" ")
            except OSError:
                pass
        time.sleep(0.05)
    assert b" 408 " in slow[0].recv(100)
    assert call(address, "POST", "/photo", values)[0] == 200


@pytest.mark.slow
def test_memory_under_files_that_mean_harm_is_bounded(market_model, monkeypatch):
    """Four photos of as many pixels as are taken are decoded at once, and nothing else adds to it."""
    monkeypatch.setattr(local_server, "_SECONDS", 2)
    with running(tiny_service(market_model)) as address:
        found = app_hostile.measure(address, os.getpid(), market_model.name, 2, 6, 3)
    answers = {name: set(counts) - {503} for name, counts in found["answers"].items()}
    taken = "49 million pixels, as many as are taken"
    assert answers.pop(taken) == {200} and set.union(*answers.values()) == {400}
    assert sum(n for counts in found["answers"].values() for s, n in counts.items() if s != 503) == 18
    # The clients' own bodies are in this process, too.
    assert found["peak_mb"] < found["before_mb"] + 2500 and found["after_mb"] < found["before_mb"] + 700


def test_who_is_told_to_wait_asks_again(market_model, busy):
    found = Client(busy[0]).ask("/photo", {"model": market_model.name, "photo": photo()})
    assert found["size"] == [256, 128]


def test_connections_have_an_end(market_model, monkeypatch):
    monkeypatch.setattr(local_server, "_CONNECTIONS", 3)
    with running(tiny_service(market_model)) as address:
        idle = [connect(address) for _ in range(3)]
        time.sleep(0.3)
        with connect(address) as fourth:
            assert fourth.recv(10) == b"", "a fourth is let in"
        for client in idle:
            client.close()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                if call(address, "GET", "/texts.json")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("places are not given back")
