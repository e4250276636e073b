"""Adversarial losses by name, from TF-GAN, each with a weight for every example.

The loss of a batch is sum(w l) / sum(w), of real and of generated images apart. An example of weight 2 thus counts as
that example twice, and a batch of equal weights as one without.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from models.batch import Batch
from models.replicas import global_sum
from models.tfgan import losses as tfgan_losses

_EACH = {"loss_collection": None, "reduction": tf.compat.v1.losses.Reduction.NONE}


class AdversarialLoss(NamedTuple):
    """The two sides of a loss.

    Attributes:
      discriminator: (real, fake) -> scalar.
      generator: (real, fake) -> scalar; `real.outputs` is empty unless the loss `compares`.
      compares: whether the generator's side needs the discriminator's outputs of the real images.
    """

    discriminator: Callable[[Batch, Batch], tf.Tensor]
    generator: Callable[[Batch, Batch], tf.Tensor]
    compares: bool = False


def _shares(weights: tf.Tensor) -> tf.Tensor:
    """Weights as parts of their sum over all devices; all 0 where that is 0."""
    return tf.math.divide_no_nan(weights, global_sum(weights))


def _from_tfgan(discriminator: Callable[..., tf.Tensor], generator: Callable[..., tf.Tensor]) -> AdversarialLoss:
    """A pair of TF-GAN's losses whose discriminator side is a sum of one part over real and one over fake logits."""

    def discriminator_loss(real: Batch, fake: Batch) -> tf.Tensor:
        weights = {"real_weights": _shares(real.weights), "generated_weights": _shares(fake.weights)}
        return tf.reduce_sum(discriminator(real.outputs["logit"], fake.outputs["logit"], **weights, **_EACH))

    def generator_loss(real: Batch, fake: Batch) -> tf.Tensor:
        return tf.reduce_sum(generator(fake.outputs["logit"], weights=_shares(fake.weights), **_EACH))

    return AdversarialLoss(discriminator_loss, generator_loss)


LOSSES = {
    # Goodfellow et al. 2014, section 3: G maximizes log D(G(z)). Unless told not to, TF-GAN smooths the real labels.
    "non_saturating": _from_tfgan(
        partial(tfgan_losses.modified_discriminator_loss, label_smoothing=0.0), tfgan_losses.modified_generator_loss
    ),
    # Lim & Ye 2017; Miyato et al. 2018, eq. 16 and 17.
    "hinge": _from_tfgan(
        tfgan_losses.wasserstein_hinge_discriminator_loss, tfgan_losses.wasserstein_hinge_generator_loss
    ),
}


def adversarial_loss(name: str) -> AdversarialLoss:
    """The loss of this name.

    Raises:
      ValueError: if there is none; names those there are.
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss `{name}`; known: {', '.join(LOSSES)}")
    return LOSSES[name]
