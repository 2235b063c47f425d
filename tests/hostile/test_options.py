"""Wrong options: one line, exit code 2, at once and with nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

HUGE = "99999999999999999999"
TRAIN = {
    "train.total-images": ["0", "-1", "x", HUGE], "train.batch-size": ["0", "-8"],
    "train.seed": ["-1", HUGE, "2.5"], "train.keep": ["0", "-3"],
    "train.log-every-images": ["-5"], "train.checkpoint-every-images": ["-5"],
    "train.sample-every-images": ["-1"], "train.max-minutes": ["nan", "-1", "inf"],
    "train.ema-decay": ["1.5", "nan", "1", "-0.1"], "train.parallel": ["foo"],
    "train.optimizer.learning-rate": ["nan", "inf", "-1", "0"],
    "train.optimizer.betas": ["1.5 2", "-1 0.9", "nan 0.9", "0.9"],
    "train.optimizer.eps": ["-1", "0", "nan"], "train.optimizer.clip-norm": ["-1", "nan"],
    "train.optimizer.warmup-images": ["-8"], "train.optimizer.total-images": ["-8", "0"],
    "train.optimizer.weight-decay": ["-1", "nan"], "train.optimizer.decay": ["foo"],
    "train.optimizer.kind": ["lion"],
    "data.seed": ["-1", str(2**32)], "data.workers": ["-1", "1000000"],
    "data.share": ["0", "1.5", "nan"], "data.identities": ["0"], "data.views": ["1", "-2"],
    "data.hold-out": ["-1"], "data.augment.affine": ["2", "nan"],
    "model.network.unet.blocks": ["0", "1000000"], "model.network.unet.refine": ["10000000"],
    "model.network.unet.groups": ["0"], "model.network.unet.dropout": ["1", "nan"],
    "model.network.unet.heads": ["7"], "model.network.unet.attention": ["99"],
    "model.network.rpa.iterations": ["-1", "1000000"], "model.network.rpa.finest": ["-1"],
    "model.network.rpa.hidden": ["0"], "model.network.image-size": ["0 0", "18 8", "1048576 8"],
    "model.network.skeleton": ["octopus"], "model.schedule.steps": ["1", "1000000000"],
    "objective.drop-source": ["-0.1", "0.7"], "objective.draws": ["0"],
    "objective.field-weight": ["nan", "-1"], "objective.noise": ["0", "2"],
    "sample.steps": ["-1", "100000"], "sample.eta": ["2", "nan"], "sample.sampler": ["foo"],
    "sample.times": ["foo"], "sample.classifier-free-interval": ["1 0", "-1 2"],
    "sample.source-weight": ["inf"], "sample.guidance.pif": ["-1", "nan"],
    "sample.guidance.interval": ["1 0", "-1 2"], "no-such-field": ["1"]}
OTHERS = [
    "train", "train nothing", "train tiny", "nothing", "data build people --output OUT --size -64 32",
    "data build people --output OUT --size 100000 100000",
    "data build people --output OUT --workers -1", "data build people --output OUT --views 0",
    "data show people --output OUT/a.png --seed -1", "data show people --output OUT/a.png --size 0 0",
    "data show people --output OUT/a.png --count 0", "data check OUT --sample -1",
    "ablate weight --data people --output OUT --pairs 0",
    "ablate weight --data people --output OUT --batch-size -1",
    "ablate weight --data people --output OUT --seeds -1",
    "ablate weight --data people --output OUT --grid guidance.target=nan",
    "ablate weight --data people --output OUT --grid steps=a",
    "ablate weight --data people --output OUT --grid wings=2",
    "evaluate --data people --output OUT/a.json --model people --identities 0",
    "evaluate --data people --output OUT/a.json --model people --seed -1",
    "evaluate --data people --output OUT/a.json --model people --steps -1",
    "evaluate --data people --output OUT/a.json --model people --pairs -3",
    "transfer a.png --pose b.json --output OUT/a.png --seed -1",
    "transfer a.png --pose b.json --output OUT/a.png --eta nan",
    "transfer a.png --pose b.json --output OUT/a.png --guidance.target nan",
    "transfer a.png --pose b.json --output OUT/a.png --guidance.interval 0 2",
    "transfer a.png --pose b.json --output OUT/a.png --steps 2.5",
    "study serve OUT --port 70000", "study score OUT --answers a --output OUT/a.json --seed -1",
    "accept --images OUT --output OUT/a.html --per-image 0"]


@pytest.mark.parametrize("argv", [
    *(f"train tiny --output OUT --{option} {value}"
      for option, values in TRAIN.items() for value in values), *OTHERS])
def test_a_wrong_option_is_a_line(tmp_path, monkeypatch, capsys, argv):
    monkeypatch.setattr("repose_jax.cli.train.use_compilation_cache", lambda: None)
    out = tmp_path / "out"
    began = time.process_time()  # of CPU: a busy machine is not the option's fault
    code = main([word.replace("OUT", str(out)) for word in argv.split()])
    took = time.process_time() - began
    said = capsys.readouterr().err
    assert code == 2 and said.startswith("repose: error: ") and said.count("\n") == 1, said
    assert len(said) < 700 and took < 10
    left = [path for path in out.rglob("*") if not path.is_dir()] if out.exists() else []
    assert not left


@pytest.mark.parametrize("kind, fields", [
    (OptimizerConfig, {"learning_rate": float("nan")}), (OptimizerConfig, {"learning_rate": "x"}),
    (OptimizerConfig, {"betas": (0.9,)}), (LoopConfig, {"total_images": 0, "batch_size": 8}),
    (LoopConfig, {"total_images": 8.0, "batch_size": 8}),
    (LoopConfig, {"total_images": 8, "batch_size": 8, "optimizer": None}),
    (DataConfig, {"workers": True}), (DataConfig, {"share": 10**400})])
def test_python_is_told_the_same(kind, fields):
    with pytest.raises(UserError, match="give "):
        kind(**fields)


def started(*words: str, **options) -> subprocess.Popen:
    # What a shell began in its background ignores Ctrl-C, and so would what that begins.
    program = ("import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
               "runpy.run_module('repose_jax.cli', run_name='__main__')")
    return subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "80"}, **options)


def test_a_reader_that_has_enough_is_no_error():
    with started("train", "tiny", "--help") as help:
        help.stdout.read(10)
        help.stdout.close()
        assert help.wait(60) in (0, 141) and help.stderr.read() == b""


def test_ctrl_c_is_quiet(tmp_path):
    with started("data", "build", "people", "--output", str(tmp_path)) as build:
        deadline = time.monotonic() + 60
        while not any(tmp_path.rglob("lock")) and time.monotonic() < deadline:
            time.sleep(0.05)
        build.send_signal(signal.SIGINT)
        said = build.stderr.read()
        assert build.wait(60) == 130 and b"Traceback" not in said, said
