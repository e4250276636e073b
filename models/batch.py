"""What a loss or a term of it is given: one side of a training step, and the step itself."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

Outputs = dict[str, tf.Tensor]


class Batch(NamedTuple):
    """The real or the generated images of a step, and what the discriminator makes of them.

    Attributes:
      raw: [n, H, W, C] float32 in [-1, 1], before augmentation and masks.
      images: [n, H, W, C] float32, as the discriminator sees them.
      labels: [n] int64, as the discriminator is told them; -1 where it is told none.
      weights: [n] float32 loss weights.
      outputs: of the discriminator, see `models.networks`: `logit` [n], `features` [n, d], ...
    """

    raw: tf.Tensor
    images: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor
    outputs: Outputs


class Context(NamedTuple):
    """The step that a loss is part of.

    Attributes:
      discriminate: (images, labels) -> outputs of the discriminator, which changes none of its variables.
      step: steps of the generator before this one, int64 scalar.
      discriminator_step: steps of the discriminator before this one, or before the last if the generator trains, int64.
      seed: int64 [2], another in each step and for each term.
    """

    discriminate: Callable[[tf.Tensor, tf.Tensor], Outputs]
    step: tf.Tensor
    discriminator_step: tf.Tensor
    seed: tf.Tensor
