"""Runs what `repose export` wrote, with JAX and Pillow and without this package.

    repose export people --output people.repose
    python examples/run_exported.py people.repose photo.png photo.json target.json out.png [SEED]

The poses are JSON as `examples/person-a.json` is: "size", height and width of their picture, and
"joints", x and y by name. Photo and poses are scaled to the model's size, whose proportions they must
have; the target pose is taken as it is, on nobody's body but its own (`--retarget none`), and a joint
that a file does not tell is unknown. The file begins with a line of JSON that says what it takes and
what wrote it; the rest was serialized by `jax.export`.
"""

import json
import sys

import jax
import numpy as np
from jax import export
from PIL import Image, ImageOps

FORMAT = 1


def read(path):
    """(header, what can be called); ends with one line where this JAX cannot run it."""
    try:
        with open(path, "rb") as file:
            header, content = json.loads(file.readline()), file.read()
        form, version = header["format"], header["calling_convention"]
    except OSError as error:
        sys.exit(f"{path}: cannot be read ({error.strerror})")
    except (ValueError, KeyError, TypeError):
        sys.exit(f"{path}: is nothing that `repose export` wrote")
    low = export.minimum_supported_calling_convention_version
    high = export.maximum_supported_calling_convention_version
    if form != FORMAT or not low <= version <= high:
        sys.exit(f"{path}: is of format {form} and calling convention {version}, written with JAX "
                 f"{header['jax']}; JAX {jax.__version__} and this script run format {FORMAT} and "
                 f"{low} to {high}: export it again")
    if jax.default_backend() not in header["platforms"]:
        sys.exit(f"{path}: is for {', '.join(header['platforms'])}, this is {jax.default_backend()}: "
                 "export it with --platforms")
    return header, export.deserialize(bytearray(content))


def check_size(path, size, header):
    """Ends with one line unless (height, width), scaled, fills the model's picture to the pixel."""
    scale = min(new / old for new, old in zip(header["size"], size))
    if [round(old * scale) for old in size] != header["size"]:
        wanted = "{}x{}".format(*header["size"][::-1])
        sys.exit(f"{path}: is of {size[1]}x{size[0]}, the model paints {wanted}: crop it to these "
                 "proportions")


def read_pose(path, header):
    """(size, [joints, 3]): x, y in pixels of the model's pictures, and whether the joint is known."""
    pose = np.zeros((len(header["joints"]), 3), np.float32)
    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
        size, joints = told["size"], told["joints"]
        if told.get("unit", "pixels") != "pixels" or len(size) != 2 or not all(
                type(side) is int and side > 0 for side in size):
            raise ValueError
        for row, name in zip(pose, header["joints"]):
            x, y, visibility = (*joints.get(name, (0, 0, 0)), 1)[:3]
            row[:] = (x, y, visibility > 0)
    except OSError as error:
        sys.exit(f"{path}: cannot be read ({error.strerror})")
    except (ValueError, KeyError, TypeError, AttributeError):
        sys.exit(f"{path}: is no pose as examples/person-a.json is: see repose pose FILE -o pose.json")
    known = pose[:, 2] > 0
    if not (known.any() and np.isfinite(pose).all()):
        sys.exit(f"{path}: tells no joint of the model's: {', '.join(header['joints'])}")
    if missing := [name for name, told in zip(header["joints"], known) if not told]:
        print(f"note: {path}: does not tell {', '.join(missing)}", file=sys.stderr)
    check_size(path, size, header)
    # Scaled about the picture's corner, which lies half a pixel off the centre of the first pixel.
    scale = np.array(header["size"][::-1]) / np.array(size[::-1])
    pose[known, :2] = (pose[known, :2] + 0.5) * scale - 0.5
    return size, pose


def read_photo(path, header):
    """((height, width) of the file, uint8 [height, width, 3] of the model's size)."""
    try:
        picture = ImageOps.exif_transpose(Image.open(path))
    except OSError as error:
        sys.exit(f"{path}: cannot be read as a picture ({error})")
    if picture.mode not in ("RGB", "L"):
        sys.exit(f"{path}: is a picture of the mode {picture.mode}: give an opaque one, RGB or grey")
    size = [picture.height, picture.width]
    check_size(path, size, header)
    picture = picture.convert("RGB")
    if size != header["size"]:
        picture = picture.resize(header["size"][::-1], Image.Resampling.LANCZOS)
    return size, np.asarray(picture)


def main(path, photo, source_pose, target_pose, output, seed=0):
    """Paints one picture."""
    header, exported = read(path)
    size, source = read_photo(photo, header)
    of, pose = read_pose(source_pose, header)
    if of != size:
        sys.exit(f"{source_pose}: is in a picture of {of[1]}x{of[0]}, {photo} is of "
                 f"{size[1]}x{size[0]}: give the pose of this photo")
    _, target = read_pose(target_pose, header)
    painted = exported.call(source[None], pose[None], target[None], np.full(1, seed, np.uint32))
    Image.fromarray(np.asarray(painted)[0]).save(output)


if __name__ == "__main__":
    if len(sys.argv) not in (6, 7):
        sys.exit(__doc__)
    if not (seed := sys.argv[6:] or ["0"])[0].isdecimal() or int(seed[0]) >= 2**32:
        sys.exit(f"seed: is {seed[0]}, give 0 to 4294967295")
    main(*sys.argv[1:6], int(seed[0]))
