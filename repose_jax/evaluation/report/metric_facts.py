"""What readers of a table need to know of each score: its title, digits and which way is better."""

from __future__ import annotations

import dataclasses

from repose_jax.evaluation.metrics.metric import Better, found_metrics


@dataclasses.dataclass(frozen=True)
class MetricFacts:
    """How a score is shown.

    Attributes:
      title: for people who read a table.
      better: which way is better; "neither" for what is shown to judge others by.
      digits: behind the point.
      decides: whether it is among the few that are shown first.
    """

    title: str
    better: Better
    digits: int = 4
    decides: bool = False


_FACTS = {
    "gaussian_ssim": MetricFacts("SSIM, Gaussian 1.5", "higher"),
    "psnr": MetricFacts("PSNR (dB)", "higher", 2),
    "mae": MetricFacts("MAE, |a - b| / (a + b)", "lower"),
    "ap": MetricFacts("AP", "higher"),
    "ap_medium": MetricFacts("AP, medium people", "higher"),
    "ar": MetricFacts("AR", "higher"),
    "cap": MetricFacts("CAP", "higher"),
    "cap_as_scripted": MetricFacts("CAP, HumanSD's script", "higher"),
    "pce": MetricFacts("PCE", "lower", 3),
    "torso_correlation": MetricFacts("torso colour", "higher", 3),
    "torso_correlation_real": MetricFacts("torso colour, real target", "neither", 3),
    "torso_box_correlation": MetricFacts("torso colour, box", "higher", 3),
    "torso_box_correlation_real": MetricFacts("torso colour, box, real target", "neither", 3),
    "pose_error": MetricFacts("pose error (heights)", "lower", decides=True),
    "pck_5": MetricFacts("joints within 5 %", "higher", 3),
    "pck_10": MetricFacts("joints within 10 %", "higher", 3),
    "leakage": MetricFacts("source pose leaks", "lower", 3, decides=True),
    "found_first": MetricFacts("person found first", "higher", 3, decides=True),
    "found_precision": MetricFacts("person found, average precision", "higher", 3),
}
_PREFIXES = {
    "ssim_": MetricFacts("SSIM, window", "higher"),
    "gaussian_ssim_": MetricFacts("SSIM, Gaussian", "higher"),
    "ms_ssim": MetricFacts("MS-SSIM", "higher"),
    "mask_gaussian_ssim": MetricFacts("SSIM of the person, Gaussian 1.5", "higher",
                                      decides=True),
    "inside_l1": MetricFacts("L1 within the person", "lower", decides=True),
    "lpips": MetricFacts("LPIPS", "lower"),
    "mask-lpips": MetricFacts("LPIPS of the person", "lower"),
    "frechet": MetricFacts("Frechet distance,", "lower", 2),
    "kid": MetricFacts("KID,", "lower", decides=True),
    "precision": MetricFacts("precision,", "higher", 3),
    "recall": MetricFacts("recall,", "higher", 3),
}


def facts(name: str) -> MetricFacts:
    """The facts of a score; a name that is not known is shown as it is, better neither way."""
    if name in _FACTS:
        return _FACTS[name]
    if (metric := found_metrics().get(name)) is not None:
        return MetricFacts(metric.title, metric.better, metric.digits)
    for prefix in sorted(_PREFIXES, key=len, reverse=True):
        if name.startswith(prefix):
            rest = name[len(prefix):].replace("_", " ").strip("- ")
            known = _PREFIXES[prefix]
            return dataclasses.replace(known, title=f"{known.title} {rest}".strip(" ,:"))
    return MetricFacts(name.replace("_", " "), "neither")
