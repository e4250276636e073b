"""What a warm start saves when images of a rare class have come: `python benchmarks/warm_start.py [SEED ...]` (0 1 2).

Digits in a long tail are trained on for STEPS steps; then 40 more of the rarest class come. On all of these, one GAN is
trained anew, and one goes on from the first. Each is judged against held-out digits.
"""

import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder, whose metrics.py is another

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from metrics.kernel import kernel_distance
from models import judge, training, warm_start
from models.build import build_gan
from models.classifier_options import ClassifierOptions
from models.data import Examples, to_uint8
from models.options import GANOptions

NAMES = "0123456789"
RARE, HELD_OUT, ARRIVED, STEPS = 9, 359, 40, 600


def digits() -> tuple[Examples, Examples, Examples, Examples]:
    """Held-out digits, all others, a long tail of these (ratio 10), and the tail with more of the rarest class."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)[order, ..., None]
    labels = found.target[order].astype(np.int64)
    everything = Examples(images, labels, np.ones(len(labels), np.float32), np.full(len(labels), b""))
    heldout, rest = everything[:HELD_OUT], everything[HELD_OUT:]
    of_class = [np.flatnonzero(rest.labels == k) for k in range(10)]
    tail = [rows[: int(len(of_class[0]) * 10 ** (-k / 9))] for k, rows in enumerate(of_class)]
    more = [*tail[:RARE], of_class[RARE][: len(tail[RARE]) + ARRIVED]]
    return heldout, rest, rest[_balanced(tail)], rest[_balanced(more)]


def _balanced(of_class: list[np.ndarray]) -> np.ndarray:
    """Every class repeated up to the largest."""
    return np.concatenate([np.resize(rows, max(map(len, of_class))) for rows in of_class])


def trained(
    examples: Examples, steps: int, seed: int, folder: Path, start: warm_start.Start | None = None
) -> tf.Module:
    """The averaged generator after so many steps, whose checkpoint lies in the folder."""
    options = GANOptions(steps=steps)
    gan = build_gan(options, examples, NAMES, {}, seed)
    if start:
        warm_start.begin(gan, start)
    training.train(gan, options, examples, seed, folder)
    return gan.ema


def main(seeds: list[int]) -> None:
    """Prints the table."""
    heldout, rest, tail, more = digits()
    with tempfile.TemporaryDirectory() as folder:
        network = judge.train(ClassifierOptions(), rest, 10, 0, Path(folder) / "history.jsonl")
    judged = judge.JudgeModule(network)
    real = judged.judge(heldout.images)["features"].numpy()
    rows: dict[str, list[tuple[float, ...]]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as name:
            before = Path(name) / "before"
            trained(tail, STEPS, seed, before)
            start = warm_start.Start("before", values=warm_start.read(before))
            made = {
                f"anew, {STEPS} steps": trained(more, STEPS, seed, Path(name) / "anew"),
                f"anew, {STEPS // 4} steps": trained(more, STEPS // 4, seed, Path(name) / "short"),
                f"warm start, {STEPS // 4} steps": trained(more, STEPS // 4, seed, Path(name) / "warm", start),
            }
        z = tf.random.stateless_normal((heldout.count, GANOptions().latent.dim), (9, 9))
        for name, generator in made.items():
            answers = judged.judge(to_uint8(generator([z, tf.constant(heldout.labels)], training=False)))
            features, agrees = answers["features"].numpy(), answers["logits"].numpy().argmax(axis=1) == heldout.labels
            rare = heldout.labels == RARE
            of_rare = kernel_distance(real[rare], features[rare])
            rows.setdefault(name, []).append((kernel_distance(real, features), of_rare, float(np.mean(agrees[rare]))))
    print("| trained | KID | KID of the rarest class | its label agreement |\n|---|---|---|---|")
    for name, figures in rows.items():
        print(f"| {name} | {' | '.join(', '.join(f'{row[i]:.3f}' for row in figures) for i in range(3))} |")


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [0, 1, 2])
