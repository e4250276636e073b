"""A GAN as a configuration describes it, before its first step."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.augment import build_augmentation
from models.callbacks import steps_per_execution
from models.data import TrainingData
from models.errors import UserError
from models.gan import GAN
from models.helper import helper
from models.losses import adversarial_loss
from models.networks import build_networks
from models.optimizers import Optimizer
from models.options import GANOptions
from models.rarity import rarity
from models.terms import Setting, build_terms

log = logging.getLogger("tailgan")


def fake_label_probabilities(
    options: GANOptions, classes: Sequence[str], counts: Sequence[int], counts_before: Sequence[int]
) -> np.ndarray:
    """How often each class is generated in training, float64 [K], of sum 1; 0 for a class without images.

    >>> fake_label_probabilities(GANOptions(fake_labels="power", fake_labels_alpha=0.5), "ab", [4, 4], [9, 1])
    array([0.75, 0.25])

    Args:
      options: `fake_labels` and `fake_labels_alpha`.
      classes: K names.
      counts: training examples of each class, K numbers.
      counts_before: the same before rebalancing.

    Raises:
      UserError: if `fake_labels` names a class that is none or has no images, or leaves nothing to generate.
    """
    has_images = np.asarray(counts) > 0
    match options.fake_labels:
        case "data":
            mass = np.asarray(counts, np.float64)
        case "uniform":
            mass = has_images.astype(np.float64)
        case "power":
            mass = np.where(has_images, np.asarray(counts_before, np.float64) ** options.fake_labels_alpha, 0)
        case shares:
            mass = _shares_by_name(shares, classes, has_images)
    if not mass.sum():
        raise UserError("no class has a share: there is nothing to generate", "gan.fake_labels")
    return mass / mass.sum()


def _shares_by_name(shares: Mapping[str, float], classes: Sequence[str], has_images: np.ndarray) -> np.ndarray:
    for name, share in shares.items():
        if name not in classes:
            raise UserError(f"there is no class `{name}`; there are: {', '.join(classes)}", "gan.fake_labels")
        if share and not has_images[classes.index(name)]:
            raise UserError(f"class `{name}` has no training images, so it cannot be learned", "gan.fake_labels")
    return np.array([shares.get(name, 0.0) for name in classes], np.float64)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Layers made within have this policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _scope(options: GANOptions, batch_size: int) -> contextlib.AbstractContextManager[Any]:
    """Where variables are made: on all devices, or where TensorFlow puts them.

    Raises:
      UserError: if the devices cannot share a batch evenly.
    """
    if options.strategy == "none":
        return contextlib.nullcontext()
    strategy = tf.distribute.MirroredStrategy()
    devices = strategy.num_replicas_in_sync
    if batch_size % devices:
        raise UserError(f"{batch_size} images cannot be spread evenly over {devices} devices", "gan.batch_size")
    return strategy.scope()


def batch_size(options: GANOptions, data: TrainingData) -> int:
    """Images of one step of the discriminator."""
    return data.count if options.batch_size == "all" else options.batch_size


def build_gan(
    options: GANOptions,
    data: TrainingData,
    names: Sequence[str],
    hyperparameters: dict[str, Any],
    seed: int,
    directory: Path | None = None,
) -> GAN:
    """A compiled GAN before its first step; equal arguments give equal weights.

    Args:
      options: networks, loss and optimizers.
      data: what it will be trained on.
      names: of the K classes.
      hyperparameters: of the Rebalancer: `class_weights` and `counts_before`, K numbers each; may lack both.
      seed: decides the initial weights and all that is drawn in training.
      directory: of this training's checkpoints; a helper classifier, where a term needs one, is kept there.

    Raises:
      UserError: if options and data do not go together.
    """
    keras.utils.set_random_seed(seed)
    classes = len(names)
    counts = data.counts(classes)
    counts_before = hyperparameters.get("counts_before", counts)
    probabilities = fake_label_probabilities(options, names, counts, counts_before)
    rare = rarity(counts_before)
    class_weights = hyperparameters.get("class_weights", np.ones(classes))
    if (options.generator.conditioning == "none") != (options.discriminator.conditioning == "none"):
        log.warning("only one of gan.generator and gan.discriminator is told the class: the label cannot be learned")
    with _scope(options, batch_size(options, data)):
        with _dtype_policy(options.precision):
            generator, discriminator = build_networks(
                options, data.image_shape, classes, rare.tolist(), unlabelled=data.unlabelled > 0
            )
        gan = GAN(generator, discriminator, probabilities.tolist(), class_weights, seed)
        gan.compile(
            Optimizer(options.generator_optimizer, options.steps),
            Optimizer(options.discriminator_optimizer, options.steps * options.discriminator_steps),
            adversarial_loss(options.loss),
            build_terms(
                options.terms,
                Setting(classes, discriminator, partial(helper, directory, data, classes, seed, options.helper_steps)),
            ),
            build_augmentation(options.augment, data.image_shape, rare),
            ema_decay=options.ema_decay,
            discriminator_steps=options.discriminator_steps,
            clip_weights=options.clip_weights,
            joint_batch=options.discriminator.joint_batch,
            steps_per_execution=steps_per_execution(options.steps),
            jit_compile=_is_compiled(options.jit),
        )
    return gan


def _is_compiled(jit: str) -> bool:
    """On a CPU, XLA makes small convolutions three times slower."""
    return jit == "on" or (jit == "auto" and bool(tf.config.list_physical_devices("GPU")))
