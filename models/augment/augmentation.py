"""What every kind of augmentation has."""

from collections.abc import Sequence
from typing import Protocol

import tensorflow as tf


class Augmentation(Protocol):
    """A kind of augmentation.

    Attributes:
      on_fakes: whether generated images are augmented as real ones are; if so, gradients pass through.
      variables: state that it keeps between steps; part of the checkpoint.
    """

    on_fakes: bool
    variables: Sequence[tf.Variable]

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Augments each image by itself.

        Args:
          images: [n, H, W, C] float32 in [-1, 1].
          labels: [n] int64; -1 where it is not known.
          seed: int64 [2]; equal seeds augment equally.

        Returns:
          Images of the same shape.
        """

    def observe(self, logits: tf.Tensor, step: tf.Tensor) -> None:
        """Is told the discriminator's logits [n] of real images after each of its steps, counted from 0."""

    def figures(self) -> dict[str, tf.Tensor]:
        """What there is to show of it, scalars by name; always the same names."""
