"""Images of which pixels are missing: what training makes of them, against whole ones."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from metrics.kernel import kernel_distance
from models import training
from models.build import build_gan
from models.data import read
from models.export import export_generator
from models.generator import Generator
from models.options import GANOptions


def generated(options: GANOptions, examples, info, directory: Path, seed: int) -> Generator:
    gan = build_gan(options, examples, "0123456789", {}, seed)
    training.train(gan, options, examples, seed, directory)
    export_generator(gan.ema, str(directory / "model"), info, {"steps": options.steps})
    return Generator(str(directory / "model"))


@pytest.mark.e2e
def test_whole_digits_are_learned_from_digits_with_holes(make, digits, tmp_path, judge):
    """With 30 % of the pixels missing at random, both ways come nearer to whole digits than training on the holes."""
    masks = (np.random.default_rng(0).random((digits.train.count, 8, 8, 1)) >= 0.3).astype(np.uint8)
    holed = dataclasses.replace(digits.train, images=digits.train.images * masks, masks=masks)
    pattern, info = make.write_split(tmp_path / "split", holed), make.info_of(holed)
    ways = {way: read(pattern, info, way) for way in ("mask", "interpolate")}
    ways["holes"] = dataclasses.replace(ways["mask"], masks=None)
    real = judge.judge(digits.eval.images)["features"].numpy()
    labels, options = digits.eval.labels, GANOptions(steps=600)
    distance = {}
    for way, examples in ways.items():
        images = generated(options, examples, info, tmp_path / way, 0).generate(labels, np.arange(len(labels)))
        distance[way] = kernel_distance(real, judge.judge(images)["features"].numpy())
    assert max(distance["mask"], distance["interpolate"]) < distance["holes"], distance
