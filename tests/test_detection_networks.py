"""Detectors of others on photos: RTMPose and MediaPipe, in networks whose answers are known."""

from __future__ import annotations

import contextlib
import sys
import types

import numpy as np
import pytest
from PIL import Image

from repose_jax.cli import main
from repose_jax.cli.detector import load_detector
from repose_jax.common.errors import UserError
from repose_jax.data.image.crop import framed
from repose_jax.inference.detection.photo_pose import photo_pose
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.models.model_config import ModelConfig
from repose_jax.models.sample_config import SampleConfig
from repose_jax.networks.network import NetworkConfig
from repose_jax.pose.detectors import BODY25, HALPE26, MEDIAPIPE33, WHOLEBODY23
from repose_jax.pose.formats import read_pose
from repose_jax.pose.skeleton import COCO17


INPUT = (64, 48)  # of the networks that the tests build


def save_network(path, nodes, constants, *, shape=(1, 3, *INPUT), outputs=("simcc_x", "simcc_y")):
    """An ONNX file with an input x of that shape."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper
    graph = helper.make_graph(
        [helper.make_node(*node, **more) for node, more in nodes], "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def blob_network(path, points: int = 17):
    """Says of joint k where the colour k % 3 has its blob: the correlation with a Gaussian."""
    nodes, constants = [(("Relu", ["x"], ["lit"]), {})], {}
    constants["colours"] = np.arange(points, dtype=np.int64) % 3
    for name, axis, side in (("x", 2, INPUT[1]), ("y", 3, INPUT[0])):
        bins = np.arange(2 * side) / 2
        constants[f"kernel_{name}"] = (0.01 * np.exp(
            -(np.arange(side)[:, None] - bins) ** 2 / 18)).astype(np.float32)
        nodes += [
            (("ReduceMax", ["lit"], [f"row_{name}"]), {"axes": [axis], "keepdims": 0}),
            (("MatMul", [f"row_{name}", f"kernel_{name}"], [f"bins_{name}"]), {}),
            (("Gather", [f"bins_{name}", "colours"], [f"simcc_{name}"]), {"axis": 1})]
    constants["kernel_x"] *= 10
    constants["kernel_y"] *= 10
    return save_network(path, nodes, constants)


def blobs(size, places, sigma: float) -> np.ndarray:
    """A black picture with a red, a green and a blue blob at places x, y."""
    y, x = np.mgrid[:size[0], :size[1]]
    return np.stack([np.rint(255 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma ** 2)))
                     for a, b in places], axis=-1).astype(np.uint8)


class TestRTMPose:
    """From the photo through a network of known answers back to the photo."""

    @pytest.fixture(autouse=True)
    def _needs_onnxruntime(self):
        pytest.importorskip("onnxruntime")

    @pytest.mark.parametrize("box", [
        None, (150.0, 60.0, 210.0, 180.0), (140.0, 100.0, 220.0, 130.0), (-9.0, 10.0, 90.0, 99.0)])
    def test_joints_are_found_where_they_are(self, box, tmp_path):
        """A step of the network's input is here at most 4.2 pixels, and its bins half of that."""
        x0, y0, x1, y1 = box or (0, 0, 240, 200)
        places = [(x0 + a * (x1 - x0), y0 + b * (y1 - y0))
                  for a, b in ((0.3, 0.4), (0.52, 0.75), (0.71, 0.38))]
        left, _, right, _ = framed((x0, y0, x1, y1), INPUT, 1.25)
        step = (right - left) / INPUT[1]
        photo = blobs((200, 240), places, 2.5 * step)
        detector = load_detector("rtmpose", blob_network(tmp_path / "blob.onnx"))
        poses, skeleton = detector.people(photo, box)
        assert skeleton is COCO17 and poses.shape == (1, 17, 3)
        np.testing.assert_allclose(poses[0, :, :2], [places[k % 3] for k in range(17)],
                                   atol=0.3 * step + 0.01)

    def test_half_a_pixel(self, tmp_path):
        """In a box as large as the network's input, bins are half pixels of the photo."""
        places = [(71.0, 60.5), (80.5, 73.0), (88.0, 81.5)]
        box = (80 - 48 / 2.5, 70 - 64 / 2.5, 80 + 48 / 2.5, 70 + 64 / 2.5)
        detector = load_detector("rtmpose", blob_network(tmp_path / "blob.onnx"))
        poses, _ = detector.people(blobs((140, 160), places, 2.5), box)
        np.testing.assert_allclose(poses[0, :3, :2], places, atol=1e-3)

    @pytest.mark.parametrize(("points", "skeleton"), [
        (17, COCO17), (25, BODY25), (26, HALPE26), (133, WHOLEBODY23)])
    def test_points_say_which_skeleton(self, points, skeleton, tmp_path):
        detector = load_detector("rtmpose", blob_network(tmp_path / "blob.onnx", points))
        places = [(20.0, 30.0), (30.0, 40.0), (40.0, 20.0)]
        pose = photo_pose(detector, blobs((64, 60), places, 4.0))
        assert pose.skeleton is skeleton and pose.pose.shape == (len(skeleton), 3)
        assert "blob.onnx, which looks for one person who fills the photo" in pose.notes[0]

    def test_colours_and_scores(self, tmp_path):
        """Joint k's bins are all black but one of 0.4 times the mean of colour k % 3."""
        spot = np.zeros((1, 1, 2 * INPUT[1]), np.float32), np.zeros((1, 1, 2 * INPUT[0]), np.float32)
        spot[0][..., 30], spot[1][..., 50] = 0.4, 0.8  # the smaller of the two is the score
        colours = np.arange(17, dtype=np.int64) % 3
        path = save_network(tmp_path / "mean.onnx", [
            (("ReduceMean", ["x"], ["mean"]), {"axes": [2, 3], "keepdims": 0}),
            (("Gather", ["mean", "colours"], ["joints"]), {"axis": 1}),
            (("Unsqueeze", ["joints", "last"], ["column"]), {}),
            (("Mul", ["column", "spot_x"], ["simcc_x"]), {}),
            (("Mul", ["column", "spot_y"], ["simcc_y"]), {})],
            {"spot_x": spot[0], "spot_y": spot[1], "colours": colours,
             "last": np.array([2], np.int64)})
        photo = np.full((256, 192, 3), (250, 40, 230), np.uint8)
        poses, _ = load_detector("rtmpose", path).people(photo, (48.0, 64.0, 144.0, 192.0))
        expected = [0.4 * (250 - 123.675) / 58.395, 0, 0.4 * (230 - 103.53) / 57.375]
        np.testing.assert_allclose(poses[0, :3, 2], expected, rtol=1e-4)
        np.testing.assert_allclose(poses[0, 0, :2], [96 + (30 / 2 - 24) * 120 / 48,
                                                     128 + (50 / 2 - 32) * 160 / 64], atol=1e-3)

    def test_files_that_are_no_such_network(self, tmp_path):
        twice = [(("Identity", ["x"], [name]), {}) for name in ("simcc_x", "simcc_y")]
        flat = [(("ReduceMean", ["x"], [name]), {"axes": [2], "keepdims": 0})
                for name in ("simcc_x", "simcc_y")]
        (tmp_path / "text.onnx").write_text("not a network")
        for path, word in (
                (tmp_path / "none.onnx", "not a file"), (tmp_path, "not a file"),
                (tmp_path / "text.onnx", "onnxruntime can run"),
                (save_network(tmp_path / "a.onnx", twice, {}), "joints, bins"),
                (save_network(tmp_path / "b.onnx", flat, {}), "3 joints"),
                (save_network(tmp_path / "c.onnx", flat, {}, shape=(1, 3, "h", "w")), "height"),
                (save_network(tmp_path / "d.onnx", flat, {}, shape=(4, 3, 8, 8)), "height"),
                (save_network(tmp_path / "e.onnx", flat[:1], {}, outputs=["simcc_x"]), "gives")):
            with pytest.raises(UserError, match=word) as error:
                load_detector("rtmpose", path)
            assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1

    def test_networks_that_fail(self, tmp_path):
        """One when it is run at all, one for what it is shown."""
        wrong = [(("Shape", ["x"], ["shape"]), {}), (("Mul", ["shape", "two"], ["more"]), {}),
                 *((("Reshape", ["x", "more"], [f"simcc_{axis}"]), {}) for axis in "xy")]
        with pytest.raises(UserError, match="fails when it is run|onnxruntime can run"):
            load_detector("rtmpose", save_network(tmp_path / "wrong.onnx", wrong,
                                                  {"two": np.array([2], np.int64)}))
        root = [(("ReduceMax", ["x"], ["columns"]), {"axes": [2], "keepdims": 0}),
                (("Gather", ["columns", "colours"], ["joints"]), {"axis": 1}),
                *((("Sqrt", ["joints"], [f"simcc_{axis}"]), {}) for axis in "xy")]
        detector = load_detector("rtmpose", save_network(
            tmp_path / "root.onnx", root, {"colours": np.arange(17, dtype=np.int64) % 3}))
        with pytest.raises(UserError, match="root.onnx: has a number that is not finite"):
            photo_pose(detector, np.zeros((64, 48, 3), np.uint8))

    def test_from_the_command_line(self, tmp_path, capsys):
        network = blob_network(tmp_path / "blob.onnx")
        places = [(20.0, 30.0), (30.0, 40.0), (40.0, 20.0)]
        Image.fromarray(blobs((64, 60), places, 4.0)).save(tmp_path / "p.png")
        Image.fromarray(np.zeros((64, 60, 3), np.uint8)).save(tmp_path / "black.png")
        given = ["--detector", "rtmpose", "--detector-model", str(network)]
        pose = ["pose", str(tmp_path / "p.png"), "-o", str(tmp_path / "p.json")]
        assert main([*pose, *given, "--box", "5", "5", "55", "60"]) == 0
        found = read_pose(tmp_path / "p.json")
        np.testing.assert_allclose(found.pose[:3, :2], places, atol=1)
        assert "in the box 5 5 55 60, 17 of 17 joints" in capsys.readouterr().out
        (tmp_path / "p.json").unlink()
        for arguments, word in (
                ([*pose, *given, "--estimator", "estimator-people"], "--estimator"),
                ([*pose, *given, "--box", "5", "5", "3", "60"], "left, top"),
                ([*pose, *given, "--box", "1", "1", "9", "9", "--person", "0"], "--box"),
                (["pose", str(tmp_path / "black.png"), *pose[2:], *given], "no person")):
            assert main(arguments) == 2
            lines = capsys.readouterr().err.strip().splitlines()
            assert len(lines) == 1 and word in lines[0]
            assert not (tmp_path / "p.json").exists()

    def test_transfer_reads_both_photos_with_it(self, tmp_path, capsys, monkeypatch):
        """Up to the painting, which knows nothing of detectors."""
        config = ModelConfig(network=NetworkConfig(skeleton="openpose18", image_size=(128, 64)))
        model = types.SimpleNamespace(model=types.SimpleNamespace(config=config), sha256="0")
        monkeypatch.setattr(PoseTransfer, "load", lambda name, detector: PoseTransfer(
            model, SampleConfig(), detector))
        monkeypatch.setattr(PoseTransfer, "run", lambda self, prepared, *_: np.zeros(
            (len(prepared), *self.size, 3), np.uint8))
        network = blob_network(tmp_path / "blob.onnx")
        for name in ("a", "b"):
            Image.fromarray(blobs((64, 60), [(20.0, 30.0), (30.0, 40.0), (40.0, 20.0)], 4.0)).save(
                tmp_path / f"{name}.png")
        command = ["--pose", str(tmp_path / "b.png"), "--output", str(tmp_path / "o.png"),
                   "--retarget", "none", "--detector", "rtmpose", "--detector-model", str(network),
                   "--source-box", "3", "3", "50", "60"]
        assert main(["transfer", str(tmp_path / "a.png"), *command]) == 0
        said = capsys.readouterr().out
        assert "a.png: pose estimated by blob.onnx in the box 3 3 50 60" in said
        assert "b.png: pose estimated by blob.onnx, which looks for one person" in said
        assert (tmp_path / "o.png").exists()
        sources = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
        assert main(["transfer", *sources, *command]) == 2
        assert "one box for 2 photos" in capsys.readouterr().err


def test_a_detector_that_is_not_installed(monkeypatch, tmp_path):
    for kind, package in (("rtmpose", "onnxruntime"), ("mediapipe", "mediapipe")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=f"{package}: is not installed.*pip install"):
            load_detector(kind, tmp_path / "any")


class TestMediaPipe:
    """The adapter against a module that stands in for the package, which has no test network."""

    @pytest.fixture
    def pictures(self, monkeypatch):
        """What the landmarker was shown; it finds two people, at fixed fractions of the picture."""
        shown = []

        def landmarker(options):
            if open(options.base_options.model_asset_path).read() != "good":
                raise RuntimeError("Unable to open zip archive.")
            return contextlib.nullcontext(types.SimpleNamespace(detect=detect))

        def detect(picture):
            shown.append(picture.data)
            people = [[types.SimpleNamespace(
                x=left + 0.1 * (i % 3), y=0.1 + 0.02 * i, z=0.0,
                visibility=0.1 if i == 7 else 0.9) for i in range(33)] for left in (0.1, 0.6)]
            return types.SimpleNamespace(pose_landmarks=people if picture.data.any() else [])

        package = types.ModuleType("mediapipe")
        package.Image, package.ImageFormat = types.SimpleNamespace, types.SimpleNamespace(SRGB=1)
        python = types.ModuleType("mediapipe.tasks.python")
        python.BaseOptions = types.SimpleNamespace
        python.vision = types.SimpleNamespace(
            PoseLandmarkerOptions=types.SimpleNamespace,
            PoseLandmarker=types.SimpleNamespace(create_from_options=landmarker))
        for name, module in (("mediapipe", package), ("mediapipe.tasks.python", python),
                             ("mediapipe.tasks", types.ModuleType("mediapipe.tasks"))):
            monkeypatch.setitem(sys.modules, name, module)
        return shown

    def test_landmarks_become_poses_in_pixels(self, pictures, tmp_path):
        (tmp_path / "m.task").write_text("good")
        detector = load_detector("mediapipe", tmp_path / "m.task")
        photo = np.full((100, 200, 3), 9, np.uint8)
        poses, skeleton = detector.people(photo)
        assert skeleton is MEDIAPIPE33 and poses.shape == (2, 33, 3)
        np.testing.assert_allclose(poses[1, 2], [0.8 * 200 - 0.5, 0.14 * 100 - 0.5, 0.9], rtol=1e-5)
        assert not poses[:, 7].any()
        found = photo_pose(detector, photo, 1)
        assert "2 people" in found.notes[0] and "m.task, 32 of 33" in found.notes[1]
        with pytest.raises(UserError, match="no person"):
            photo_pose(detector, np.zeros_like(photo))

    def test_a_box_is_shown_alone_and_undone(self, pictures, tmp_path):
        (tmp_path / "m.task").write_text("good")
        detector = load_detector("mediapipe", tmp_path / "m.task")
        poses, _ = detector.people(np.full((100, 200, 3), 9, np.uint8), (50, 10, 90, 50))
        assert pictures[0].shape == (50, 50, 3)
        np.testing.assert_allclose(poses[0, 0], [45 + 5 - 0.5, 5 + 5 - 0.5, 0.9], rtol=1e-5)
        assert not poses[:, 7].any()

    def test_a_file_that_is_no_landmarker(self, pictures, tmp_path):
        (tmp_path / "m.task").write_text("bad")
        for path, word in ((tmp_path / "m.task", "zip archive"), (tmp_path / "n", "not a file")):
            with pytest.raises(UserError, match=word):
                load_detector("mediapipe", path)
