"""What tests of built datasets share."""

import numpy as np

from repose_jax.data.records.manifest import read_manifest

SMALL = (64, 44)


def assert_same(built, folder):
    assert built.names == folder.names and built.persons == folder.persons
    assert built.size == folder.size and built.skeleton is folder.skeleton
    np.testing.assert_array_equal(built.poses, folder.poses)
    np.testing.assert_array_equal(built.pairs[:], folder.pairs[:])
    for i in range(len(folder)):
        np.testing.assert_array_equal(built.image(i), folder.image(i))


def digests(path):
    return {name: split["sha256"] for name, split in read_manifest(path)["splits"].items()}


def build_args(root, output, *more):
    return ["data", "build", "deepfashion", "--source", str(root), "--output", str(output), "--size",
            *map(str, SMALL), *more]
