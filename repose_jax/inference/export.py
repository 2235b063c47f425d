"""A model as StableHLO: one file that JAX runs without this package.

The file is a line of JSON (`Header`), then what `jax.export` serialized: the function

  (source uint8 [b, height, width, 3], source_pose float32 [b, joints, 3],
   target_pose float32 [b, joints, 3], seed uint32 [b]) -> uint8 [b, height, width, 3]

for any number b of pictures, its weights within it. Poses are in pixels of the source; a picture is
that of `PoseTransfer.run` with its seed, up to rounding.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity
from repose_jax.common.versions import versions
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import generate

FORMAT = 1
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What the first line of the file says.

    Attributes:
      format: of the file, 1.
      calling_convention: version of `jax.export`'s; each JAX runs a range of them.
      jax, repose_jax: versions that wrote it.
      platforms: that it runs on.
      size: (height, width) of the pictures.
      joints: names of the rows of a pose.
      model, model_sha256: what was exported.
      sample: settings of the sampler, which are part of the program.
      guide: SHA-256 of the networks that guide, by their part.
    """

    format: int
    calling_convention: int
    jax: str
    repose_jax: str
    platforms: tuple[str, ...]
    size: tuple[int, int]
    joints: tuple[str, ...]
    model: str
    model_sha256: str
    sample: dict[str, Any]
    guide: dict[str, str]


def export_model(
    transfer: PoseTransfer, config: SampleConfig, name: str, platforms: Sequence[str] = ("cpu",)
) -> bytes:
    """The content of the file.

    Args:
      transfer: the model.
      config: settings of the sampler.
      name: what the file calls the model.
      platforms: among `PLATFORMS`; none of them need be here.

    Raises:
      UserError: a setting is out of range, a guide cannot be used, or there is no such platform.
    """
    unknown = [platform for platform in platforms if platform not in PLATFORMS]
    if unknown or not platforms:
        raise UserError("platforms", f"are {', '.join(platforms) or 'none'}",
                        f"give some of {', '.join(PLATFORMS)}")
    transfer.check(config, 0)
    guide = transfer.guide(config)

    def painted(source, source_pose, target_pose, seed):
        return generate(
            transfer.loaded.model, transfer.loaded.params, source, source_pose, target_pose,
            jax.vmap(jax.random.key)(seed), config, False, guide)[0]

    batch, = export.symbolic_shape("b")
    shaped = jax.ShapeDtypeStruct
    pose = shaped((batch, len(transfer.skeleton.joints), 3), jnp.float32)
    exported = export.export(jax.jit(painted), platforms=tuple(platforms))(
        shaped((batch, *transfer.size, 3), jnp.uint8), pose, pose, shaped((batch,), jnp.uint32))
    header = Header(
        format=FORMAT, calling_convention=exported.calling_convention_version,
        **versions(("jax", "repose_jax")), platforms=tuple(platforms), size=transfer.size,
        joints=transfer.skeleton.joints, model=name, model_sha256=transfer.loaded.sha256,
        sample=identity(config), guide=guide.sha256 if guide else {})
    line = json.dumps(dataclasses.asdict(header))
    return line.encode() + b"\n" + bytes(exported.serialize())
