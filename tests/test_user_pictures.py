"""Pictures that users really have: turned, of every mode, animated, with damaged tags."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.data.check import check_dataset
from repose_jax.data.image.files import (
    FolderImages, frame_note, image_size, is_picture, pixels_of, read_image)
from repose_jax.data.image.modes import as_rgb
from repose_jax.data.image.names import pictures_below
from repose_jax.data.registry import open_dataset
from repose_jax.studies.acceptance import pictures_in

GRADIENT = np.add.outer(np.arange(24) * 3, np.arange(16) * 8).astype(np.uint8)
PICTURE = np.stack([GRADIENT, 255 - GRADIENT, GRADIENT // 2], -1)
# What each orientation says was done to the upright picture before it was stored.
UNDO = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a), 7: lambda a: np.rot90(
            a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1)}


def exif(*entries):
    """An EXIF block of entries (tag, type, value bytes of four)."""
    body = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    for tag, kind, value in entries:
        body += struct.pack("<HHI", tag, kind, 1) + value
    return b"Exif\0\0" + body + bytes(16)


class TestOrientation:
    @pytest.mark.parametrize("suffix, atol", [
        (".jpg", 12), (".png", 0), (".webp", 12), (".tif", 0), (".avif", 12)])
    @pytest.mark.parametrize("turned", range(1, 9))
    def test_every_one_in_every_format(self, tmp_path, turned, suffix, atol):
        path = tmp_path / f"p{suffix}"
        block = Image.Exif()
        block[0x0112] = turned
        options = {"quality": 98} if atol else {}
        Image.fromarray(np.ascontiguousarray(UNDO[turned](PICTURE))).save(path, exif=block, **options)
        read = read_image(path)
        assert read.shape == PICTURE.shape and image_size(path) == (24, 16)
        assert abs(read.astype(int) - PICTURE).mean() <= atol

    @pytest.mark.parametrize("value", [
        struct.pack("<HH", 9, 0), struct.pack("<HH", 0, 0), struct.pack("<HH", 77, 0)])
    def test_what_is_no_orientation_is_1(self, tmp_path, value):
        Image.fromarray(PICTURE).save(tmp_path / "p.png", exif=exif((0x0112, 3, value)))
        np.testing.assert_array_equal(read_image(tmp_path / "p.png"), PICTURE)
        assert image_size(tmp_path / "p.png") == (24, 16)

    @pytest.mark.parametrize("other", [
        (0x011A, 5, struct.pack("<I", 38)),  # a rational of 0 / 0
        (0x0132, 2, b"x\0\0\0"), (0x0132, 3, struct.pack("<I", 7)), (0x010F, 11, b"\xff" * 4),
        (0x011A, 5, struct.pack("<I", 9999)), (0x8769, 4, struct.pack("<I", 9999)),
        (0x8825, 4, struct.pack("<I", 8)), (0x010F, 200, b"\xff" * 4)])
    def test_other_tags_may_be_damaged(self, tmp_path, other):
        turn = (0x0112, 3, struct.pack("<HH", 6, 0))
        stored = Image.fromarray(np.ascontiguousarray(UNDO[6](PICTURE)))
        stored.save(tmp_path / "p.jpg", exif=exif(turn, other), quality=98)
        assert read_image(tmp_path / "p.jpg").shape == PICTURE.shape
        assert image_size(tmp_path / "p.jpg") == (24, 16)

    @pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0MM\0", b"Exif\0\0" + b"\xff" * 30, b""])
    def test_a_damaged_block_turns_nothing(self, tmp_path, block):
        Image.fromarray(PICTURE).save(tmp_path / "p.jpg", exif=block, quality=98)
        assert read_image(tmp_path / "p.jpg").shape == PICTURE.shape


def saved(picture, path, **options):
    picture.save(path, **options)
    return read_image(path)


class TestModes:
    grey = np.repeat(GRADIENT[..., None], 3, -1)

    @pytest.mark.parametrize("values, suffix", [
        (GRADIENT.astype(np.float32) / 255, ".tif"), (GRADIENT.astype(np.float32), ".tif"),
        (GRADIENT.astype(np.uint16) * 257, ".tif"), (GRADIENT.astype(np.uint16) * 257, ".png"),
        (GRADIENT.astype(np.int32), ".tif"), (GRADIENT.astype(np.int32) * 257, ".tif")])
    def test_grey_of_more_than_8_bits(self, tmp_path, values, suffix):
        np.testing.assert_allclose(saved(Image.fromarray(values), tmp_path / f"p{suffix}"),
                                   self.grey, atol=1)

    @pytest.mark.parametrize("values, says", [
        (GRADIENT * 40.0 - 0, "values up to"), (GRADIENT - 3.0, "below 0"),
        (GRADIENT * np.nan, "below 0"), (GRADIENT.astype(np.int64) * 10_000, "values up to")])
    def test_scales_that_nobody_tells(self, tmp_path, values, says):
        kind = np.float32 if values.dtype == np.float64 else np.int32
        Image.fromarray(values.astype(kind)).save(tmp_path / "p.tif")
        with pytest.raises(UserError, match=f"p.tif: cannot be read as a picture.*{says}"):
            read_image(tmp_path / "p.tif")
        with pytest.raises(UserError, match=f"mine: cannot be read as a picture.*{says}"):
            pixels_of(Image.fromarray(values.astype(kind)), "mine")

    @pytest.mark.parametrize("mode, suffix", [
        ("1", ".png"), ("L", ".png"), ("P", ".png"), ("P", ".gif"), ("RGB", ".bmp"), ("CMYK", ".tif"),
        ("CMYK", ".jpg"), ("YCbCr", ".jpg"), ("L", ".webp"), ("RGB", ".avif")])
    def test_colours_come_out(self, tmp_path, mode, suffix):
        flat = Image.new("RGB", (16, 24), (255, 255, 255))
        flat.paste((0, 0, 0), (0, 0, 16, 8))
        read = saved(flat.convert(mode), tmp_path / f"p{suffix}")
        assert read.shape == (24, 16, 3) and read[:4].max() < 60 and read[14:].min() > 240

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "La", "RGBa"])
    def test_what_is_transparent_is_white(self, tmp_path, mode):
        clear = np.zeros((24, 16, 4), np.uint8)
        clear[:12] = [10, 10, 10, 255]
        picture = Image.fromarray(clear)
        if mode in ("LA", "La"):
            picture = picture.convert("LA")
        picture = picture.convert(mode)
        read = np.asarray(as_rgb(picture))
        assert read[:12].max() <= 11 and read[12:].min() == 255

    def test_a_transparent_palette(self, tmp_path):
        picture = Image.new("P", (16, 24), 0)
        picture.putpalette([0, 0, 0, 200, 10, 10] + [0] * 762)
        picture.paste(1, (0, 0, 16, 12))
        read = saved(picture, tmp_path / "p.png", transparency=0)
        assert read[0, 0].tolist() == [200, 10, 10] and read[20, 0].tolist() == [255] * 3


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif", ".avif"])
def test_animations_say_which_frame(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 24), (shade, shade, shade)) for shade in (200, 40, 90)]
    path = tmp_path / f"a_1{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert abs(int(read_image(path).mean()) - 200) < 4
    assert "3 frames, of which the first" in frame_note(path)[0]
    frames[0].save(tmp_path / "still.png")
    assert frame_note(tmp_path / "still.png") == []


def test_every_kind_is_a_picture_wherever_a_folder_is_read(tmp_path):
    folder, lines = tmp_path / "a", ["name:keypoints_y:keypoints_x"]
    folder.mkdir()
    y, x = [list(range(2, 20)), list(range(1, 10)) * 2]
    for i, suffix in enumerate((".jpg", ".JPEG", ".png", ".webp", ".avif", ".bmp", ".tif", ".gif")):
        Image.fromarray(PICTURE).save(folder / f"anna_{i}{suffix}")
        assert is_picture(folder / f"anna_{i}{suffix}")
        lines.append(f"anna_{i}{suffix}:{y}:{x}")
    (folder / "poses.csv").write_text("\n".join(lines))
    source = open_dataset(folder)
    assert len(source) == len(pictures_below(folder)) == len(pictures_in(folder)) == 8
    assert check_dataset(folder).counts[0].found == 8
    for i in range(8):
        assert abs(source.image(i).astype(int) - PICTURE).mean() < 25
        # What a dataset stores is a JPEG or a PNG of the same picture.
        stored = source.stored.encoded(i)
        assert Image.open(io.BytesIO(stored)).format in ("JPEG", "PNG")
        np.testing.assert_array_equal(read_image("stored", stored), source.image(i))


def test_a_picture_of_another_name(tmp_path):
    """The content decides, not the ending."""
    Image.fromarray(PICTURE).save(tmp_path / "p.png")
    (tmp_path / "p.png").rename(tmp_path / "p.jpg")
    np.testing.assert_array_equal(
        FolderImages(tmp_path, ["p.jpg"], (24, 16), False)(0), PICTURE)
