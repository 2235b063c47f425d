"""What is printed: names of any letters, in any encoding, or where nothing can be written."""

from __future__ import annotations

import io
import json
import os
import pathlib
import subprocess
import sys

import pytest

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.pose.skeleton import OPENPOSE18

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"

POSE = {"annotations": [{"id": 1, "image_id": 7, "category_id": 1, "keypoints": [
            number for joint in range(17) for number in (3 * joint + 1, 5 * joint + 1, 2)]}],
        "images": [{"id": 7, "file_name": "a\ud800\x1b[2J\u202e\u5199\u3000.jpg", "width": 64,
                    "height": 128}]}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_name_that_no_terminal_shows_is_shown_otherwise(tmp_path, monkeypatch, encoding):
    (tmp_path / "pose.json").write_text(json.dumps(POSE))
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))  # which is strict
    assert main(["pose", str(tmp_path / "pose.json"), "-o", str(tmp_path / "out.json")]) == 0
    said = written.getvalue().decode(encoding)
    assert "nose" in said and "[2J" in said and "\x1b" not in said and "\u202e" not in said
    assert encoding != "utf-8" or "a\ufffd\ufffd[2J\ufffd\u5199\u3000" in said


@pytest.mark.parametrize("name", ["\udce9.json", "\u5199\u3000\u771f.json", "1.00\u202fPM  2.json"])
def test_a_file_of_such_a_name_is_read_and_errors_name_it(tmp_path, capsys, name):
    (tmp_path / name).write_text(json.dumps(POSE))
    assert main(["pose", str(tmp_path / name)]) == 0
    (tmp_path / name).write_text("{}")
    assert main(["pose", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and name.replace("\udce9", "\ufffd") in said


def test_an_error_is_a_line_whatever_it_is_about():
    assert str(UserError("a\nb", "is\n\nwrong\t", "mend  it")) == "a\ufffdb: is wrong; mend it"
    assert str(UserError("a", "x" * 10**6, "mend")) == f"a: {'x' * 800}...; mend"


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a\ud800"])
def test_a_pose_whose_name_no_file_can_have_is_a_line(tmp_path, capsys, name):
    joints = {joint: [3 * n + 1, 5 * n + 1] for n, joint in enumerate(OPENPOSE18.joints)}
    (tmp_path / "pose.json").write_text(json.dumps(
        {"skeleton": "openpose18", "size": [256, 128], "name": name, "joints": joints}))
    assert main(["transfer", str(EXAMPLES / "person-a.png"), "--source-pose",
                 str(EXAMPLES / "pose-arms.json"), "--pose", str(tmp_path / "pose.json"),
                 "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "which no file can be called" in said
    assert not (tmp_path / "out").exists()


def start(shell: str, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m",
                           "repose_jax.cli", *words], capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_a_line():
    done = start("> /dev/full", "models")
    assert done.returncode == 2 and done.stderr == (
        "repose: error: standard output: cannot be written (No space left on device); make room, or "
        "send it elsewhere\n")


def test_standard_output_may_be_closed():
    done = start(">&-", "models")
    assert (done.returncode, done.stderr) == (0, "")
