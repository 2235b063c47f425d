"""Painted pictures at the resolution of their photo."""

from __future__ import annotations

import base64
import dataclasses
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from painter_parts import (
    CONFIG, MODEL, SCENE, SIZE, SOURCE, paint, poses, random_params, with_mask, with_shares)
from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.signal import to_image
from repose_jax.data.people.renderer import render_person
from repose_jax.experiments.bench.enlarging import compare, slope
from repose_jax.inference.app.requests import AlignmentRequest, File, PaintRequest
from repose_jax.inference.app.service import AppService
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.models.enlarging import enlarged
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import load_model, save_model
from repose_jax.networks.place import without_person
from repose_jax.networks.warp import resize
from repose_jax.pose.formats import NamedPose, read_pose, write_pose
from repose_jax.pose.skeleton import MARKET14

PHOTO = np.asarray(to_image(SOURCE))


def photo(times):
    """A photo of so many times the model's size, whose details that size cannot hold."""
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (2, times * SIZE[0], times * SIZE[1], 3)).astype(np.uint8)


def of_the_model_s_size(large, times):
    return np.asarray(Image.fromarray(large).reduce(times))


class TestEnlarged:
    def test_a_photo_of_the_model_s_size_changes_nothing(self):
        model = RePoseModel(SCENE)
        given = random_params(model)
        painted = np.asarray(to_image(jax.jit(model.paint)(
            given, SOURCE, poses(2), poses(3))[0].picture))
        same = enlarged(model, given, painted, PHOTO, PHOTO, poses(2), poses(3))
        # A place of 8-bit values, not of the signal that they are from.
        np.testing.assert_allclose(np.asarray(same, int), painted, atol=1)

    @pytest.mark.parametrize("times", [2, 3])
    def test_what_is_kept_where_it_is_comes_from_the_photo_itself(self, times):
        """All aligned, and nobody moves: the photo, whatever the smaller picture could show of it."""
        large = photo(times)
        small = np.stack([of_the_model_s_size(x, times) for x in large])
        still = RePoseModel(dataclasses.replace(CONFIG, network=dataclasses.replace(
            CONFIG.network, rpa=dataclasses.replace(CONFIG.network.rpa, iterations=0))))
        given = with_shares(random_params(still), 40.0)
        shown = enlarged(still, given, small, small, large, poses(2), poses(2))
        np.testing.assert_allclose(np.asarray(shown, int), large, atol=1)

    def test_what_is_painted_anew_is_only_made_larger(self):
        """Nothing kept: the photo's details have no say."""
        given = with_mask(-40.0)
        painted = np.asarray(to_image(paint(given, SOURCE, poses(2), poses(3))[0].picture))
        shown = enlarged(MODEL, given, painted, PHOTO, photo(2), poses(2), poses(3))
        wanted = resize(jnp.asarray(painted, jnp.float32), (2 * SIZE[0], 2 * SIZE[1]))
        np.testing.assert_allclose(np.asarray(shown, int), wanted, atol=1)

    def test_the_place_behind_is_the_photo_s(self):
        """All of it place: the photo with its own person filled in."""
        model, large = RePoseModel(SCENE), photo(2)
        small = np.stack([of_the_model_s_size(x, 2) for x in large])
        given = with_shares(random_params(model), -40.0, 40.0)
        moved = poses(2).at[..., :2].set(2 * poses(2)[..., :2] + 0.5)

        def place(pictures, pose):
            return np.asarray(without_person(jnp.asarray(pictures, jnp.float32), pose, MARKET14))

        painted = np.rint(place(small, poses(2))).astype(np.uint8)
        shown = enlarged(model, given, painted, small, large, poses(2), poses(3))
        np.testing.assert_allclose(np.asarray(shown, int), place(large, moved), atol=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A painter, and a photo of four times its size with its pose beside it."""
    folder = tmp_path_factory.mktemp("enlarging")
    save_model(folder / "painter.safetensors", SCENE, random_params(RePoseModel(SCENE)),
               {"images": 1}, SampleConfig(steps=0))
    plain = dataclasses.replace(CONFIG, network=dataclasses.replace(
        CONFIG.network, painter=dataclasses.replace(CONFIG.network.painter, channels=())))
    model = RePoseModel(plain)
    save_model(folder / "plain.safetensors", plain, jax.jit(model.init)(jax.random.key(0)),
               {"images": 1}, SampleConfig(steps=1))
    size = (4 * SIZE[0], 4 * SIZE[1])
    render = render_person(0, 3, 0, size)
    Image.fromarray(render.image).save(folder / "photo.png")
    for name, view in (("photo", 0), ("other", 1)):
        pose = render_person(0, 3, view, size).annotated("market14")
        write_pose(folder / f"{name}.json", NamedPose(
            pose=pose, name=name, skeleton=MARKET14, size=size))
    return folder


class TestCommand:
    def test_a_picture_and_its_grid_and_its_drawing(self, files, tmp_path):
        def painted(*more):
            return main(["transfer", str(files / "photo.png"), "--pose", str(files / "other.json"),
                         "--model", str(files / "painter.safetensors"), "--provenance.no-sign",
                         "--output", str(tmp_path / "out"), *more])

        assert painted("--enlarge", "4", "--explain") == 0
        file = tmp_path / "out" / "photo_2_other.png"
        with Image.open(file) as picture:
            assert picture.size == (4 * SIZE[1], 4 * SIZE[0])
            assert json.loads(picture.info["repose:settings"])["enlarge"] == 4
        assert file.with_name("photo_2_other-explain.png").exists()
        # One of another size is another picture.
        assert painted("--enlarge", "2") == 2
        assert painted("--enlarge", "2", "--overwrite") == 0
        with Image.open(file) as picture:
            assert picture.size == (2 * SIZE[1], 2 * SIZE[0])

    def test_a_wide_photo_is_painted_in_its_own_aspect(self, files, tmp_path):
        """As high as the model's pictures, or what of their size it fills, without bands beside it."""
        high, wide = SIZE[0], SIZE[1]
        photos = tmp_path / "photos"
        photos.mkdir()
        with Image.open(files / "photo.png") as picture:
            picture.resize((4 * wide, 3 * high)).save(photos / "wide.png")
            picture.save(photos / "high.png")
        pose = read_pose(files / "photo.json")
        for name, by in (("high", 1.0), ("wide", 0.75)):
            height = round(4 * high * by)
            write_pose(photos / f"{name}.json", dataclasses.replace(
                pose, pose=pose.pose * np.float32((1, by, 1)), size=(height, 4 * wide)))
        for frame, expected in (("photo", (round(wide / 0.75), high)),
                                ("model", (wide, round(0.75 * high)))):
            out = tmp_path / frame
            assert main(["transfer", str(photos), "--pose", str(files / "other.json"),
                         "--model", str(files / "painter.safetensors"), "--provenance.no-sign",
                         "--output", str(out), "--grid", "--enlarge", "2", "--frame", frame]) == 0
            sizes = {}
            for name in ("wide_2_other", "high_2_other", "grid"):
                with Image.open(out / f"{name}.png") as picture:
                    sizes[name] = picture.size
            assert sizes["high_2_other"] == (2 * wide, 2 * high)
            assert sizes["wide_2_other"] == (2 * expected[0], 2 * expected[1])
            assert sizes["grid"] == (6 * max(wide, expected[0]), 2 * (expected[1] + high))
        # One in another frame is another picture.
        assert main(["transfer", str(photos), "--pose", str(files / "other.json"), "--enlarge", "2",
                     "--model", str(files / "painter.safetensors"), "--provenance.no-sign",
                     "--output", str(tmp_path / "photo"), "--frame", "model"]) == 2

    def test_a_head_that_the_model_cannot_find_is_refused_before_anything_is_painted(self, files):
        transfer = PoseTransfer.load(files / "painter.safetensors")
        for times in (1, 2):
            with pytest.raises(UserError, match="skeleton has no face"):
                transfer(files / "photo.png", files / "other.json", enlarge=times, head=0.5)

    def test_what_cannot_be_enlarged_is_a_line(self, files, tmp_path, capsys):
        for model, times, says in (("plain", "2", "needs a painter"), ("painter", "9", "enlarge"),
                                   ("painter", "0", "enlarge")):
            assert main(["transfer", str(files / "photo.png"), "--pose", str(files / "other.json"),
                         "--model", str(files / f"{model}.safetensors"), "--enlarge", times,
                         "--output", str(tmp_path / "out.png")]) == 2
            assert says in capsys.readouterr().err
            assert not list(tmp_path.iterdir())

    def test_from_python(self, files):
        transfer = PoseTransfer(load_model(files / "painter.safetensors"))
        given = files / "photo.png", files / "other.json"
        assert transfer(*given, enlarge=3).size == (3 * SIZE[1], 3 * SIZE[0])
        assert transfer(*given).size == (SIZE[1], SIZE[0])
        with pytest.raises(UserError, match="enlarge"):
            transfer(*given, enlarge=0)

    def test_from_the_page(self, files):
        """The picture, the photo beside it, and the drawing of where it comes from."""
        service = AppService([str(files / "painter.safetensors")])
        joints = json.loads((files / "photo.json").read_text())
        content = base64.b64encode((files / "photo.png").read_bytes()).decode()
        asked = PaintRequest(model="painter.safetensors", photo=File(name="photo.png", base64=content),
                             target=joints, source=joints, enlarge=2)
        answer = service.paint(asked)
        for name in ("picture", "source"):
            with Image.open(io.BytesIO(base64.b64decode(answer[name]))) as picture:
                assert picture.size == (2 * SIZE[1], 2 * SIZE[0])
        picture = File(name="made.png", base64=answer["picture"])
        assert service.alignment(AlignmentRequest(painted=asked, picture=picture))["picture"]
        with pytest.raises(UserError, match="not of the model's size"):
            service.alignment(AlignmentRequest(
                painted=dataclasses.replace(asked, enlarge=1), picture=picture))


def test_a_ramp_s_slope_is_its_step_and_a_blur_s_is_less():
    ramp = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (1, 8, 8, 3))
    everywhere = jnp.ones((1, 8, 8))
    assert float(slope(ramp, everywhere)[0]) == pytest.approx(1.0)
    stripes = jnp.broadcast_to((jnp.arange(8) % 2)[None, None, :, None], (1, 8, 8, 3)).astype(float)
    halved = stripes.at[:, :, 4:].set(0.5)
    assert float(slope(halved, everywhere)[0]) < float(slope(stripes, everywhere)[0])
    right = everywhere.at[:, :, :4].set(0.0)  # its first pixels' slope is to the last ones left of it
    assert float(slope(halved, right)[0]) < 0.2


@pytest.mark.slow
def test_photos_details_make_a_rendered_person_sharper():
    persons, found = compare(PoseTransfer.load("people-256"), 2, 10, 0)
    assert len(persons) == 10
    bicubic, detailed = (rows[:, 1].mean() for rows in found.values())
    assert bicubic < detailed < 1.2
