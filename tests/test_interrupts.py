"""An interrupt that a library swallows is raised again."""

import signal
import threading

import pytest

from repose_jax.common.interrupts import remembered_interrupts
from repose_jax.data.records.shards import write_parts


@pytest.fixture(autouse=True)
def default_handler():
    """That of a program started by a user; a shell's background jobs have another."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def swallowed():
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        return
    raise AssertionError("nothing was raised where the signal came")


def test_what_was_swallowed_is_raised_when_asked():
    with pytest.raises(KeyboardInterrupt), remembered_interrupts() as check:
        check()
        swallowed()
        check()
        raise AssertionError("not raised again")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_or_at_the_end():
    done = []
    with pytest.raises(KeyboardInterrupt), remembered_interrupts():
        swallowed()
        done.append(True)
    assert done


def test_others_handlers_and_threads_are_left_alone():
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    with remembered_interrupts() as check:
        signal.raise_signal(signal.SIGINT)
        check()
    assert heard
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seen = []

    def run():
        with remembered_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


class Swallowing:
    """Records whose second one loses an interrupt."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 10

    def __call__(self, index):
        self.asked.append(index)
        if index == 1:
            swallowed()
        return {"name": str(index)}

    def name(self, index):
        return str(index)

    identity = name

    def counts(self, kept):
        return {"people": len(kept)}


def test_a_build_stops_at_the_next_record(tmp_path):
    records = Swallowing()
    with pytest.raises(KeyboardInterrupt):
        write_parts(tmp_path, "train", records, lambda record: b"x", settings="")
    assert records.asked == [0, 1] and not list(tmp_path.iterdir())
