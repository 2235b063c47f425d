"""Damaged files of every kind end in a value or in one line; the long form is the fuzzer itself."""

from __future__ import annotations

import json

import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.human_art.detections import read_detections
from repose_jax.experiments.bench.fuzz_readers import READERS, fuzz

# Files that a damaged pickle may keep busy outside of Python's reach are not for the suite.
QUICK = [name for name in READERS if not name.endswith(".npz")]


@pytest.mark.parametrize("most", [60, pytest.param(5_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", QUICK)
def test_damaged_files_are_a_value_or_a_line(tmp_path, name, most):
    outcome = fuzz(READERS[name], tmp_path, 0, 300, most)
    assert outcome.inputs == most and not outcome.faults, list(outcome.faults)


def test_a_number_that_no_float_holds_is_a_line(tmp_path):
    row = {"image_id": 7, "category_id": 1, "keypoints": [10**400] * 51, "score": 0.5}
    (tmp_path / "a.json").write_text(json.dumps([row]))
    with pytest.raises(UserError, match="all finite"):
        read_detections(tmp_path / "a.json", [7])
