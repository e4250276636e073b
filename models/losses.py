"""Adversarial losses by name, from TF-GAN, each with a weight for every example.

The loss of a batch is sum(w l) / sum(w), of real and of generated images apart. An example of weight 2 thus counts as
that example twice, one of weight 0 as absent, and a batch of equal weights as one without.

Spread over devices, each returns its part: the parts add up to the loss of the batch.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from models.batch import Batch
from models.replicas import global_sum
from models.tfgan import losses as tfgan_losses

# TF-GAN's own mean divides by the number of weights that are not 0, not by their sum; and its losses are also put into
# a collection, from which nobody would take them.
_EACH = {"loss_collection": None, "reduction": tf.compat.v1.losses.Reduction.NONE}


class AdversarialLoss(NamedTuple):
    """The two sides of a loss.

    Attributes:
      discriminator: (real, fake) -> scalar, this device's part.
      generator: (real, fake) -> scalar, this device's part; `real.outputs` is empty unless the loss `compares`.
      compares: whether the generator's side needs the discriminator's outputs of the real images.
    """

    discriminator: Callable[[Batch, Batch], tf.Tensor]
    generator: Callable[[Batch, Batch], tf.Tensor]
    compares: bool = False


def shares(weights: tf.Tensor) -> tf.Tensor:
    """Weights [n] as parts of their sum over all devices; all 0 where that is 0."""
    return tf.math.divide_no_nan(weights, global_sum(weights))


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """This device's part of sum(w v) / sum(w), for values [n] and weights [n]; 0 where all weights are."""
    return tf.reduce_sum(shares(weights) * values)


def _from_tfgan(discriminator: Callable[..., tf.Tensor], generator: Callable[..., tf.Tensor]) -> AdversarialLoss:
    """A pair of TF-GAN's losses whose discriminator side is a sum of one part over real and one over fake logits."""

    def discriminator_loss(real: Batch, fake: Batch) -> tf.Tensor:
        weights = {"real_weights": shares(real.weights), "generated_weights": shares(fake.weights)}
        return tf.reduce_sum(discriminator(real.outputs["logit"], fake.outputs["logit"], **weights, **_EACH))

    def generator_loss(real: Batch, fake: Batch) -> tf.Tensor:
        return tf.reduce_sum(generator(fake.outputs["logit"], weights=shares(fake.weights), **_EACH))

    return AdversarialLoss(discriminator_loss, generator_loss)


def _relativistic(higher: Batch, lower: Batch) -> tf.Tensor:
    """Cross-entropy of: each of `higher` has a higher logit than the mean of `lower`, each of `lower` a lower one.

    Written here because TF-GAN's takes no weights; with equal ones it is TF-GAN's.
    """
    above, below = higher.outputs["logit"], lower.outputs["logit"]
    mean_above = global_sum(shares(higher.weights) * above)
    mean_below = global_sum(shares(lower.weights) * below)
    return weighted_mean(tf.math.softplus(mean_below - above), higher.weights) + weighted_mean(
        tf.math.softplus(below - mean_above), lower.weights
    )


def _class_loss(side: Batch) -> tf.Tensor:
    """TF-GAN's cross-entropy of `class_logits`, over the examples that have a label.

    TF-GAN's loss of the discriminator takes one set of labels for both sides; its loss of the generator is that of one.
    """
    logits = side.outputs["class_logits"]
    labels = tf.one_hot(side.labels, logits.shape[-1])
    weights = side.weights * tf.cast(side.labels >= 0, side.weights.dtype)
    return tf.reduce_sum(tfgan_losses.acgan_generator_loss(logits, labels, weights=shares(weights), **_EACH))


def _with_class_losses(loss: AdversarialLoss) -> AdversarialLoss:
    """The loss and, on both sides, the cross-entropy of the class that the discriminator names."""
    return AdversarialLoss(
        lambda real, fake: loss.discriminator(real, fake) + _class_loss(real) + _class_loss(fake),
        lambda real, fake: loss.generator(real, fake) + _class_loss(fake),
    )


# Unless told not to, TF-GAN smooths the labels of real images by .25, for the discriminator alone.
_cross_entropy = partial(tfgan_losses.modified_discriminator_loss, label_smoothing=0.0)
_non_saturating = _from_tfgan(_cross_entropy, tfgan_losses.modified_generator_loss)

LOSSES = {
    # Goodfellow et al. 2014, eq. 1: G minimizes log(1 - D(G(z))). TF-GAN adds the constant log sigmoid(1).
    "minimax": _from_tfgan(_cross_entropy, tfgan_losses.minimax_generator_loss),
    # Goodfellow et al. 2014, section 3: G maximizes log D(G(z)).
    "non_saturating": _non_saturating,
    # Mao et al. 2017, eq. 2 with a = 0, b = c = 1.
    "least_squares": _from_tfgan(
        tfgan_losses.least_squares_discriminator_loss, tfgan_losses.least_squares_generator_loss
    ),
    # Arjovsky et al. 2017, eq. 2: only with a discriminator that is held smooth, see docs/training.md.
    "wasserstein": _from_tfgan(tfgan_losses.wasserstein_discriminator_loss, tfgan_losses.wasserstein_generator_loss),
    # Lim & Ye 2017; Miyato et al. 2018, eq. 16 and 17.
    "hinge": _from_tfgan(
        tfgan_losses.wasserstein_hinge_discriminator_loss, tfgan_losses.wasserstein_hinge_generator_loss
    ),
    # Jolicoeur-Martineau 2019, section 4.2 (RaSGAN): the generator's side is the discriminator's, sides exchanged.
    "relativistic": AdversarialLoss(_relativistic, lambda real, fake: _relativistic(fake, real), compares=True),
    # Odena et al. 2017, eq. 2 and 3.
    "acgan": _with_class_losses(_non_saturating),
}


def adversarial_loss(name: str) -> AdversarialLoss:
    """The loss of this name.

    Raises:
      ValueError: if there is none; names those there are.
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss `{name}`; known: {', '.join(LOSSES)}")
    return LOSSES[name]
