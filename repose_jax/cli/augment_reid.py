"""`repose augment-reid`."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence

from repose_jax.cli.terminal import Terminal, parse, say, use_compilation_cache
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Fraction, Positive, Seed, Weight


@dataclasses.dataclass(frozen=True)
class AugmentReidOptions:
    """Train re-identification with shares of the real pictures, without and with generated ones.

    Goes on where it stopped.

    Attributes:
      data: a folder with training and test people.
      output: folder for runs, generated pictures, table.md and results.json.
      model: that generates.
      shares: of the real training pictures.
      generated: generated pictures for each real one that is kept.
      images: of the first training.
      longer: share of that by which it goes on, with and without generated pictures.
      seed: of pictures, noise and queries.
    """

    data: str
    output: pathlib.Path
    model: str = "market1501"
    shares: tuple[Fraction, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    generated: Weight = 1.0
    images: Positive | None = None
    longer: Weight = 0.5
    seed: Seed = 0


def augment_reid(argv: Sequence[str]) -> int:
    """Do generated pictures help to tell people apart? With shares of the real ones."""
    options = parse(AugmentReidOptions, "augment-reid", argv)
    use_compilation_cache()
    from repose_jax.common.files import check_writable
    from repose_jax.experiments.presets.reid_market1501 import CONFIG
    from repose_jax.studies.reid_augmentation import AugmentReid, augment_reid, markdown, write

    if options.images is not None and options.images < CONFIG.train.batch_size:
        raise UserError("images", f"are {options.images}",
                        f"give {CONFIG.train.batch_size}, a batch, or more")
    check_writable(options.output)
    experiment = dataclasses.replace(
        CONFIG, data=dataclasses.replace(CONFIG.data, path=options.data),
        train=dataclasses.replace(CONFIG.train, total_images=options.images
                                  or CONFIG.train.total_images))
    wanted = AugmentReid(
        model=options.model, experiment=experiment, shares=options.shares,
        generated=options.generated, longer=options.longer, seed=options.seed)

    with contextlib.closing(Terminal()) as events:
        rows = augment_reid(wanted, options.output, events=events)
    write(rows, wanted, options.output, "repose augment-reid " + " ".join(argv))
    say(markdown(rows))
    say(f"wrote {options.output / 'results.json'}")
    return 0
