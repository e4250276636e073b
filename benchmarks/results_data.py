"""Missing pixels and wrong labels, on scanned digits: `python benchmarks/results_data.py [SEED ...]` (default 0 1).

The first table trains the default network for 600 steps on long-tailed digits of which 30 % of the pixels are missing,
and judges it against whole held-out ones. The second gives every twentieth digit a wrong label, and asks how many of
them the judge lists, and how many of the listed are wrong.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder, whose metrics.py is another

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from metrics.frechet import frechet_distance
from metrics.kernel import kernel_distance
from models import judge, training
from models.build import build_gan
from models.classifier_options import ClassifierOptions
from models.data import Examples, to_uint8
from models.disagreements import Looks, disagreements
from models.missing import fill
from models.options import GANOptions

NAMES = "0123456789"
HELD_OUT, STEPS = 359, 600


def digits() -> Examples:
    """All of them, in random order."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = np.round(found.images / 16 * 255).astype(np.uint8)[order, ..., None]
    labels = found.target[order].astype(np.int64)
    return Examples(images, labels, np.ones(len(labels), np.float32), np.full(len(labels), b""))


def trained_judge(examples: Examples, seed: int, *looks: Looks) -> judge.JudgeModule:
    """A judge as the defaults say."""
    with tempfile.TemporaryDirectory() as folder:
        network = judge.train(ClassifierOptions(), examples, 10, seed, Path(folder) / "history.jsonl", *looks)
    return judge.JudgeModule(network)


def missing_pixels(seeds: list[int]) -> None:
    """Prints the first table."""
    everything = digits()
    heldout, rest = everything[:HELD_OUT], everything[HELD_OUT:]
    largest = int(np.sum(rest.labels == 0))
    tail = rest[np.concatenate([np.flatnonzero(rest.labels == k)[: int(largest * 10 ** (-k / 9))] for k in range(10)])]
    judged = trained_judge(rest, 0)
    real = judged.judge(heldout.images)["features"].numpy()
    masks = (np.random.default_rng(0).random((tail.count, 8, 8, 1)) >= 0.3).astype(np.uint8)
    black = dataclasses.replace(tail, images=tail.images * masks)
    ways = {
        "holes, `missing: mask`": dataclasses.replace(black, masks=masks),
        "holes, `missing: interpolate`": dataclasses.replace(tail, images=fill(black.images, masks).numpy()),
        "holes, black taken for pixels": black,
        "whole digits": tail,
    }
    print("| trained on | FID | KID | label agreement |\n|---|---|---|---|")
    for name, examples in ways.items():
        rows = []
        for seed in seeds:
            options = GANOptions(steps=STEPS)
            gan = build_gan(options, examples, NAMES, {}, seed)
            with tempfile.TemporaryDirectory() as folder:
                training.train(gan, options, examples, seed, Path(folder))
            z = tf.random.stateless_normal((heldout.count, options.latent.dim), (9, 9))
            answers = judged.judge(to_uint8(gan.ema([z, tf.constant(heldout.labels)], training=False)))
            made, agrees = answers["features"].numpy(), answers["logits"].numpy().argmax(axis=1) == heldout.labels
            rows.append((frechet_distance(real, made), kernel_distance(real, made), float(np.mean(agrees))))
        cells = (", ".join(f"{row[i]:.{digits_shown}f}" for row in rows) for i, digits_shown in enumerate((1, 3, 2)))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def wrong_labels(seeds: list[int]) -> None:
    """Prints the second table."""
    everything = digits()
    print(
        "\n| predictions | seed | listed | of the wrong labels, found | of the listed, wrong |\n|---|---|---|---|---|"
    )
    for seed in seeds:
        random = np.random.default_rng(seed)
        wrong = random.random(everything.count) < 0.05
        given = np.where(wrong, (everything.labels + random.integers(1, 10, everything.count)) % 10, everything.labels)
        looks = Looks(everything.images, calls=24, images_a_call=50 * 64)
        final = trained_judge(dataclasses.replace(everything, labels=given), seed, looks)
        views = {
            "of the judge at its end": final.judge(everything.images)["probabilities"].numpy(),
            "mean over the first half of its training": looks.probabilities,
        }
        for name, probabilities in views.items():
            listed = disagreements(probabilities, given).rows
            found, right = np.isin(np.flatnonzero(wrong), listed).mean(), wrong[listed].mean()
            print(f"| {name} | {seed} | {len(listed)} | {found:.2f} | {right:.2f} |", flush=True)


if __name__ == "__main__":
    chosen = [int(seed) for seed in sys.argv[1:]] or [0, 1]
    missing_pixels(chosen)
    wrong_labels(chosen)
