"""What a preset would need of devices that are not there."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from repose_jax.cli import main
from repose_jax.tasks.plan import CHIPS, Plan, collectives

PROGRAM = """
  %a = (f32[128]{0}, bf16[2,3]{1,0}) all-reduce(%x, %y), replica_groups={}
  %b = f32[8,4]{1,0} all-gather(%z), dimensions={0}
  %c = ((f32[4]), (f32[16]{0})) all-gather-start(%w), dimensions={0}
  %d = (f32[16]{0}) all-gather-done(%c)
  %e = pred[7] add(%b, %b)
"""


def test_collectives_are_counted_by_kind_and_bytes():
    found = collectives(PROGRAM)
    assert found["all-reduce"] == (1, 128 * 4 + 6 * 2)
    assert found["all-gather"][0] == 2 and set(found) == {"all-reduce", "all-gather"}


def test_time_is_operations_over_the_share_of_the_peak():
    plan = Plan(4, 1, {"state": 3, "temporary": 4}, 197e12, {})
    assert plan.step_s(CHIPS["v5e"], 0.5) == pytest.approx(2.0) and plan.peak == 7


@pytest.mark.parametrize("topology", ["v5e", "h100:x", "moon:4x4", "h100:0"])
def test_an_unknown_topology_is_one_line(topology, capsys):
    if topology == "v5e" and importlib.util.find_spec("libtpu"):
        pytest.skip("loads libtpu into this process")
    assert main(["plan", "tiny", "--topology", topology]) == 2
    assert "topology" in capsys.readouterr().err


@pytest.mark.slow
def test_under_pmap_the_gradients_are_reduced_once_and_nothing_else_is_sent():
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("needs libtpu")
    done = subprocess.run(
        [sys.executable, "-m", "repose_jax.cli", "plan", "tiny", "--topology", "v5e:2x2"],
        capture_output=True, text=True, timeout=600, env=os.environ | {"XLA_FLAGS": ""})
    assert done.returncode == 0, done.stderr
    parameters = int(re.search(r"([\d,]+) parameters", done.stdout)[1].replace(",", ""))
    [(count, size)] = re.findall(r"(\d+) all-reduce of ([\d.]+) MiB", done.stdout)
    assert count == "1" and abs(float(size) - 4 * parameters / 2**20) < 0.1
    assert "all-gather" not in done.stdout
