"""The judge: the classifier whose features and labels an evaluation rests on, trained by TFX's own Trainer.

It learns from the data before rebalancing, with a loss that corrects for unequal classes itself: every rebalancing
strategy meets the same judge.
"""

import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.callbacks import HISTORY_FILE, Progress, steps_per_call
from models.classifier import train as train_classifier
from models.classifier_options import ClassifierOptions
from models.data import Examples, read, to_float
from models.dataset import DatasetInfo
from models.disagreements import DISAGREEMENTS_FILE, Looks, disagreements, save

EVALUATE_AT_ONCE = 256

log = logging.getLogger("tailgan")


class JudgeModule(tf.Module):
    """A trained classifier with the signature of an exported judge."""

    def __init__(self, network: keras.Model):
        """Takes a network of `models.classifier.classifier`."""
        super().__init__()
        self.network = network
        image = tf.TensorSpec(network.input_shape, tf.uint8, name="image")
        self.judge = tf.function(self._judge, input_signature=[image])

    def _judge(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """uint8 [n, H, W, C] -> `logits` [n, K], `probabilities` [n, K] and `features` [n, d], float32."""
        logits, features = self.network(to_float(image), training=False)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "features": features}


def train(
    options: ClassifierOptions,
    examples: Examples,
    classes: int,
    seed: int,
    history: Path,
    *callbacks: keras.callbacks.Callback,
) -> keras.Model:
    """A trained network of `models.classifier.classifier`; equal arguments give equal weights."""
    progress = Progress("Judge", options.steps, steps_per_call(options.steps), history)
    return train_classifier(options, examples, classes, seed, [*callbacks, progress])


def recalls(module: JudgeModule, examples: Examples, classes: int) -> np.ndarray:
    """Part of each class's images that the judge recognizes, float64 [K]; NaN for a class without images."""
    pieces = np.array_split(examples.images, -(-len(examples.images) // EVALUATE_AT_ONCE))
    predicted = np.concatenate([module.judge(piece)["logits"].numpy().argmax(axis=1) for piece in pieces])
    hits = np.bincount(examples.labels[predicted == examples.labels], minlength=classes)
    counts = np.array(examples.counts(classes))
    return np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)


def run_fn(fn_args: Any) -> None:
    """Trains and exports a judge.

    Args:
      fn_args: TFX's FnArgs: `train_files`, `eval_files`, `serving_model_dir` (gets the SavedModel), `model_run_dir`
        (gets `history.jsonl` and `disagreements.npz`) and `custom_config` with `options` (ClassifierOptions as JSON)
        and `seed`.
    """
    options = ClassifierOptions.model_validate_json(fn_args.custom_config["options"])
    info = DatasetInfo.beside(fn_args.train_files[0])
    classes = len(info.classes)
    model_run = Path(fn_args.model_run_dir)
    examples = read(fn_args.train_files, info).labelled()
    per_call = steps_per_call(options.steps)
    looks = Looks(examples.images, options.steps // per_call, per_call * options.batch_size)
    network = train(options, examples, classes, fn_args.custom_config["seed"], model_run / HISTORY_FILE, looks)
    doubted = disagreements(looks.probabilities, examples.labels)
    save(model_run, examples, doubted, classes)
    module = JudgeModule(network)
    of_class = recalls(module, read(fn_args.eval_files, info), classes)
    worst = int(np.nanargmin(of_class))
    log.info(
        "the judge recognizes %.1f %% of the held-out images, mean over classes; of its worst class, %s, %.1f %%",
        100 * np.nanmean(of_class), info.classes[worst], 100 * of_class[worst],
    )  # fmt: skip
    if doubted.rows.size:
        log.info("the judge doubts the labels of %d training images (%s)", doubted.rows.size, DISAGREEMENTS_FILE)
    tf.saved_model.save(module, fn_args.serving_model_dir, signatures={"serving_default": module.judge})
