"""Output that nobody reads to the end."""

import subprocess
import sys

import pytest

from pose_files import OPENPOSE, joints, openpose, write


@pytest.mark.parametrize("command", [["--help"], ["transfer", "--help"], ["pose", "p.json"]])
def test_a_reader_that_leaves_early(tmp_path, command):
    """As `repose ... | head`: the pipe is closed before anything is written."""
    write(tmp_path / "p.json", openpose(joints(OPENPOSE)))
    program = ("import os, sys\nreader, writer = os.pipe()\nos.dup2(writer, 1)\nos.close(writer)\n"
               "os.close(reader)\nfrom repose_jax.cli import main\nsys.exit(main(sys.argv[1:]))")
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True,
                          cwd=tmp_path, check=False)
    assert done.stderr == "" and done.returncode == 141
