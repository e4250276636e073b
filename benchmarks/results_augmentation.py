"""Augmentation on very few images: `python benchmarks/results_augmentation.py [SEED ...]` (default 0 1 2).

Digits, 20 images of the first class down to 2 of the last, repeated to 20 each; the default network, 800 steps. Prints
means over the seeds. Agreement and KID are those of a judge that has learned from all the other digits, against 500
held-out ones; overfitting and diversity are figures of `models.monitor`.
"""

import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder, whose metrics.py is another

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from metrics.kernel import kernel_distance
from models import judge, training
from models.build import build_gan
from models.classifier_options import ClassifierOptions
from models.data import Examples, to_uint8
from models.dataset import DatasetInfo
from models.monitor import Monitor
from models.options import GANOptions

NAMES = "0123456789"
HELD_OUT, STEPS, GENERATED = 500, 800, 1000
COUNTS = [int(20 * 10 ** (-k / 9)) for k in range(10)]
POLICIES: dict[str, dict] = {
    "none": {"policy": "none"},
    "diffaugment": {"policy": "diffaugment"},
    "ada, target 0.6": {"policy": "ada", "ada": {"target": 0.6}},
    "ada": {"policy": "ada"},
}


def digits() -> tuple[Examples, Examples]:
    """All but the held-out images, and those."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = np.round(found.images / 16 * 255).astype(np.uint8)[order, ..., None]
    labels = found.target[order].astype(np.int64)
    everything = Examples(images, labels, np.ones(len(labels), np.float32), np.full(len(labels), b""))
    return everything[HELD_OUT:], everything[:HELD_OUT]


def trained_judge(examples: Examples) -> judge.JudgeModule:
    """A judge that has seen far more images than the GANs will."""
    with tempfile.TemporaryDirectory() as folder:
        network = judge.train(ClassifierOptions(steps=600), examples, 10, 0, Path(folder) / "history.jsonl")
    return judge.JudgeModule(network)


def figures(policy: dict, few: Examples, heldout: Examples, judged: judge.JudgeModule, seed: int) -> list[float]:
    """Agreement, KID, overfitting, diversity and ADA's probability (NaN without) after one training."""
    options = GANOptions.model_validate({"steps": STEPS, "augment": policy})
    repeated = few[np.concatenate([np.resize(np.flatnonzero(few.labels == k), COUNTS[0]) for k in range(10)])]
    counts = tuple(COUNTS)
    info = DatasetInfo(
        classes=tuple(NAMES), image_shape=few.image_shape, fingerprint="", counts={"train": counts},
        train_unique=counts, source_counts=counts, class_weights=(1.0,) * 10,
    )  # fmt: skip
    gan = build_gan(options, repeated, NAMES, {"counts_before": COUNTS}, seed)
    with tempfile.TemporaryDirectory() as folder:
        training.train(gan, options, repeated, seed, Path(folder))
        seen, _ = Monitor(gan, repeated, heldout, info, options.monitor, STEPS, Path(folder), seed).look()
    z = tf.random.stateless_normal((GENERATED, options.latent.dim), (9, 9))
    labels = np.arange(GENERATED) % 10
    answers = judged.judge(to_uint8(gan.ema([z, tf.constant(labels)], training=False)))
    agreement = float(np.mean(answers["logits"].numpy().argmax(axis=1) == labels))
    kid = kernel_distance(judged.judge(heldout.images)["features"].numpy(), answers["features"].numpy())
    probability = gan.augmentation.figures().get("ada_p", np.nan) if gan.augmentation else np.nan
    return [agreement, kid, seen["overfitting"], seen["diversity"], float(probability)]


if __name__ == "__main__":
    seeds = [int(seed) for seed in sys.argv[1:]] or [0, 1, 2]
    many, heldout = digits()
    few = many[np.concatenate([np.flatnonzero(many.labels == k)[: COUNTS[k]] for k in range(10)])]
    judged = trained_judge(many)
    print("| augment | agreement | KID | overfitting | diversity | p at the end |\n|---|---|---|---|---|---|")
    for name, policy in POLICIES.items():
        rows = [figures(policy, few, heldout, judged, seed) for seed in seeds]
        cells = " | ".join("" if np.isnan(mean) else f"{mean:.3f}" for mean in np.mean(rows, axis=0))
        print(f"| {name} | {cells} |", flush=True)
