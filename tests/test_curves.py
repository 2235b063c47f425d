"""The loss of two runs is compared at the same times."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.experiments.bench import curves


def run(folder, losses, every=8):
    folder.mkdir()
    (folder / "log.jsonl").write_text("".join(
        json.dumps({"images": every * (row + 1), "loss": loss}) + "\n"
        for row, loss in enumerate(losses)))
    return folder


def test_the_difference_is_a_share_of_the_first_and_smoothed_where_it_is_asked_for(tmp_path):
    one = run(tmp_path / "one", [4.0, 4.0, 2.0, 2.0])
    other = run(tmp_path / "other", [4.0, 3.0, 3.0, 2.0])
    found = curves.read_curves(one, other)
    np.testing.assert_allclose(found.apart, [0, 0.25, 0.5, 0])
    smooth = found.smoothed(2)
    np.testing.assert_array_equal(smooth.images, [16, 24, 32])
    np.testing.assert_allclose(smooth.first, [4, 3, 2])
    np.testing.assert_allclose(smooth.apart, [0.125, 0, 0.25])
    for window in (0, 5):
        with pytest.raises(UserError, match="for 4 rows"):
            found.smoothed(window)


def test_the_table_ends_with_the_last_row_and_names_the_largest_difference(
        tmp_path, capsys, monkeypatch):
    one = run(tmp_path / "one", [4.0, 2.0, 1.0])
    other = run(tmp_path / "other", [4.0, 2.5, 1.0])
    monkeypatch.setattr(sys, "argv", [
        "curves", str(one), str(other), "--window", "1", "--rows", "2"])
    assert curves.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["16", "24"]
    assert lines[-1].startswith("single rows: at most 25.000% apart, after 16 images; 8.333%")


@pytest.mark.parametrize(("losses", "every", "said"), [
    ([1.0], 8, "has other rows than"), ([1.0, 2.0], 16, "has other rows than"),
    ([], 8, "has no log.jsonl with rows")])
def test_runs_that_cannot_be_compared_are_a_line(
        tmp_path, capsys, monkeypatch, losses, every, said):
    one, other = run(tmp_path / "one", [1.0, 2.0]), run(tmp_path / "other", losses, every)
    monkeypatch.setattr(sys, "argv", ["curves", str(one), str(other)])
    assert curves.main() == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
