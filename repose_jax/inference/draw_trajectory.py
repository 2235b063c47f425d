"""Draws a sampling: each step's guess at the picture, the pose read off it, and the energy."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from repose_jax.common.signal import to_image
from repose_jax.diffusion.samplers import Step
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.skeleton import Skeleton

_MOST, _HEIGHT, _GAP, _LABEL = 12, 256, 6, 16
_CURVES = (("energy", "energy"), ("pose_error", "distance to the target's joints, heights"),
           ("field", "distance to the valid poses"), ("shift", "change of a pixel, rms"))


def draw_trajectory(
    segments: Sequence[Step], target_pose: Float[np.ndarray, "joints 3"], skeleton: Skeleton,
) -> Image.Image:
    """One picture of how a picture came about.

    Args:
      segments: the trajectory of one picture, from `generate(..., trajectory=True)`.
      target_pose: pixels of the picture.
      skeleton: of the poses.

    Returns:
      First the target pose, then the guesses, at most `_MOST` of them, in the second row with the
      pose that the guiding estimator read off them (none where a step was not guided); below, the
      energy and its parts over the guided steps.
    """
    pictures, poses, guided = [], [], []
    curves: dict[str, list[float]] = {name: [] for name, _ in _CURVES}
    for step in segments:
        for i, picture in enumerate(np.asarray(to_image(jnp.asarray(step.x0)))[:, 0]):
            pictures.append(picture)
            poses.append(np.asarray(step.info["pose"])[i, 0] if "pose" in step.info else None)
            if poses[-1] is not None:
                guided.append(len(pictures))
                for name, values in curves.items():
                    if name in step.info:
                        values.append(float(np.asarray(step.info[name])[i, 0]))
    shown = np.unique(np.linspace(0, len(pictures) - 1, _MOST).round().astype(int))
    upscale = -(-_HEIGHT // pictures[0].shape[0])
    height, width = (upscale * side for side in pictures[0].shape[:2])
    black = np.zeros_like(pictures[0])

    def enlarge(picture):
        return Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)

    def overlay(picture, pose):
        if pose is None:
            return enlarge(picture)
        return Image.fromarray(draw_skeleton(picture, pose, skeleton, upscale=upscale))

    target = Image.fromarray(draw_skeleton(black, target_pose, skeleton, upscale=upscale))
    columns = [("target pose", target, target)] + [
        (f"step {i + 1}", enlarge(pictures[i]), overlay(pictures[i], poses[i])) for i in shown]
    plot = _plot(guided, curves, len(pictures), len(columns) * (width + _GAP))
    canvas = Image.new("RGB", (len(columns) * (width + _GAP) + _GAP, 2 * (height + _GAP) + _LABEL
                               + (plot.height if plot else 0)), (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    for i, (label, above, below) in enumerate(columns):
        left = _GAP + i * (width + _GAP)
        pen.text((left, 2), label, fill=(30, 30, 30))
        canvas.paste(above, (left, _LABEL))
        canvas.paste(below, (left, _LABEL + height + _GAP))
    if plot:
        canvas.paste(plot, (0, _LABEL + 2 * (height + _GAP)))
    return canvas


def _plot(steps: list[int], curves: dict[str, list[float]], count: int, width: int):
    """The curves side by side; None where nothing was guided."""
    drawn = [(curves[name], title) for name, title in _CURVES if curves[name]]
    if not drawn:
        return None
    # The object interface: pyplot would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(width / 100, 2.6), dpi=100, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.subplots(1, len(drawn), squeeze=False)[0]
    for axis, (values, title) in zip(axes, drawn):
        axis.plot(steps, values, marker="o", markersize=3)
        # A letter of this size is about 6 pixels wide; few steps leave room for few letters.
        axis.set_title(textwrap.fill(title, max(10, width // len(drawn) // 6 - 6)), fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlim(0.5, count + 0.5)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")
