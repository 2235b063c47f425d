"""What long work tells: handed on to all who listen, and shown on the terminal."""

from __future__ import annotations

from heard import Heard

from repose_jax.cli.terminal import Terminal
from repose_jax.common.events import Several


def test_all_listeners_hear_all():
    first, second = Heard(), Heard()
    both = Several([first, second])
    both.tell("a sentence")
    both.progress("sampling", 1, 3, loss="0.5")
    both.record("log", {"images": 8})
    both.close()
    for heard in (first, second):
        assert heard.told == ["a sentence"]
        assert heard.steps == [("sampling", 1, 3, {"loss": "0.5"})]
        assert heard.records == [("log", {"images": 8})]


def test_a_bar_begins_where_the_work_begins_and_ends_with_it(capsys):
    shown = Terminal()
    for done in (40, 60, 80):
        shown.progress("training", done, 80, loss="0.25")
    assert shown._bar is None
    told = capsys.readouterr().err
    assert "training" in told and "80/80" in told and "loss=0.25" in told and "40/80" in told
    shown.progress("training", 80, 80)  # nothing is left to do: no bar
    assert capsys.readouterr().err == ""


def test_one_stage_follows_another_and_sentences_go_to_standard_output(capsys):
    shown = Terminal()
    shown.progress("sampling", 0, 4)
    shown.progress("denoising", 0, 100)
    shown.record("log", {"loss": 1.0})
    shown.record("end", {"images": 8, "reason": "interrupted"})
    assert shown._bar is None
    out, err = capsys.readouterr()
    assert out == "end: images 8, reason interrupted\n"
    assert "sampling" in err and "denoising" in err
