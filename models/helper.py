"""The helper: a classifier for terms that need one in training, and for what an exported generator filters by.

It is never the judge: a generator that pleases the judge would be judged well for that alone. So it has another seed,
another width and no dropout, and it learns from the data that the GAN is trained on.
"""

import logging
import os
from pathlib import Path

import keras
import numpy as np

from models.classifier import classifier, train
from models.classifier_options import ClassifierOptions
from models.data import Examples, TrainingData, to_float
from models.files import move_whole
from models.samples import in_parts

WEIGHTS_FILE = "helper.weights.h5"
OPTIONS = ClassifierOptions(width=12, features=48, dropout=0.0)
_SEED = 0x68656C70  # the judge is given the same seed of the run

log = logging.getLogger("tailgan")


def helper(directory: Path | None, examples: TrainingData, classes: int, seed: int, steps: int) -> keras.Model:
    """A frozen classifier; equal arguments give equal weights.

    Args:
      directory: of the training's checkpoints. The trained weights are kept there, and taken from there if they are.
      examples: what the GAN is trained on; those without a label (-1) are left out.
      classes: number of classes, K.
      seed: of the run.
      steps: of its training.

    Returns:
      images [n, H, W, C] float32 in [-1, 1] -> (logits [n, K], features), see `models.classifier.classifier`.
    """
    path = directory / WEIGHTS_FILE if directory else None
    if path and path.exists():
        network = classifier(OPTIONS, examples.image_shape, classes)
        network.load_weights(path)
    else:
        log.info("training a helper classifier, %d steps", steps)
        network = train(OPTIONS.model_copy(update={"steps": steps}), examples.labelled(), classes, seed ^ _SEED)
        if path:
            _save(network, path)
    network.trainable = False
    return network


def accuracy(network: keras.Model, examples: Examples) -> float:
    """Part of the examples, all labelled, that a classifier recognizes."""
    said = [
        network(to_float(examples.images[part]), training=False)[0].numpy().argmax(axis=1)
        for part in in_parts(examples.count)
    ]
    return float(np.mean(np.concatenate(said) == examples.labels))


def _save(network: keras.Model, path: Path) -> None:
    """Writes a file of weights, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        network.save_weights(temporary)
        move_whole(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
