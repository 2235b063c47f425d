"""Draws what the recurrent pose alignment did: flow, mask and aligned source at each iteration."""

from __future__ import annotations

import colorsys

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from repose_jax.networks.rpa import Alignment
from repose_jax.networks.warp import resize, warp
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.skeleton import Skeleton

_HEIGHT, _GAP, _LABEL = 256, 6, 16  # pixels of a cell, at least, and around it


def flow_colors(flow: Float[np.ndarray, "h w 2"], reach: float) -> UInt8[np.ndarray, "h w 3"]:
    """A flow as colours: hue is the direction, saturation the length up to `reach`."""
    length = np.clip(np.hypot(flow[..., 0], flow[..., 1]) / max(reach, 1e-6), 0, 1)
    hue = (np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi)) % 1.0
    wheel = np.array([colorsys.hsv_to_rgb(h / 255, 1, 1) for h in range(256)])
    color = wheel[(hue * 255).astype(int)]
    return np.round(255 * (1 - length[..., None] * (1 - color))).astype(np.uint8)


def draw_alignment(
    alignment: Alignment,
    source: UInt8[np.ndarray, "h w 3"],
    source_pose: Float[np.ndarray, "joints 3"],
    target_pose: Float[np.ndarray, "joints 3"],
    generated: UInt8[np.ndarray, "h2 w2 3"],
    skeleton: Skeleton,
) -> Image.Image:
    """One picture of the whole alignment.

    The first row shows source, target pose, the source under the finest flow, and the result, which
    may be larger. Then a row for each level, coarse to fine, with aligned source, flow and mask of
    every iteration.
    """
    size = source.shape[:2]
    upscale = -(-_HEIGHT // size[0])
    height, width = (upscale * side for side in size)

    def enlarge(picture):
        return Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)

    def draw(ground, pose):
        return Image.fromarray(draw_skeleton(ground, pose, skeleton, upscale=upscale))

    black = np.zeros_like(source)
    aligned = to_8bit(np.asarray(alignment.picture[0]) * 127.5 + 127.5)
    rows = [[
        ("source", draw(source, source_pose)), ("target pose", draw(black, target_pose)),
        ("aligned source", enlarge(aligned)), ("result", enlarge(generated))]]
    flows = [np.asarray(step.flow[0]) * [width, height] for step in alignment.trace]
    reach = max((float(np.quantile(np.hypot(f[..., 0], f[..., 1]), 0.98)) for f in flows),
                default=1.0)
    picture = jnp.asarray(source[None], jnp.float32)
    levels = list(dict.fromkeys(step.level for step in alignment.trace))
    for level in levels:
        row = []
        steps = [step for step in alignment.trace if step.level == level]
        for k, step in enumerate(steps, start=1):
            moved = to_8bit(np.asarray(warp(picture, resize(step.flow[:1], size))[0]))
            flow = np.asarray(step.flow[0]) * [width, height]
            mask = to_8bit(255 * np.asarray(step.mask[0])).repeat(3, axis=-1)
            row += [(f"level {level}, k={k}", enlarge(moved)),
                    ("flow", enlarge(flow_colors(flow, reach))), ("mask", enlarge(mask))]
        rows.append(row)
    across = max(map(len, rows))
    canvas = Image.new("RGB", (across * (width + _GAP) + _GAP,
                               len(rows) * (height + _GAP + _LABEL) + _GAP), (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    for i, row in enumerate(rows):
        top = _GAP + i * (height + _GAP + _LABEL)
        for j, (label, cell) in enumerate(row):
            left = _GAP + j * (width + _GAP)
            pen.text((left, top), label, fill=(30, 30, 30))
            canvas.paste(cell, (left, top + _LABEL))
    return canvas


def to_8bit(values: Float[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Rounds and clips to 0 .. 255."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
