"""Pairs of networks, generator and discriminator, one family a module.

A family is a module with two builders:
  `generator(options, image_shape, classes)`: Keras model, (z [n, d] float32, labels [n] int64) -> images
    [n, H, W, C] float32 in [-1, 1].
  `discriminator(options, image_shape, classes)`: Keras model, (images [n, H, W, C] float32, labels [n] int64, -1 where
    it is not told) -> {`logit`: [n] float32, high means real; `features`: [n, d] float32}, and with the conditioning
    `acgan` also `class_logits` [n, K].
"""

from types import ModuleType
from typing import TYPE_CHECKING

from models.networks.sizes import check_image_size

if TYPE_CHECKING:
    import keras

    from models.options import GANOptions


def _families() -> dict[str, ModuleType]:
    # Imported here, because a configuration is checked with `models.networks.sizes` long before TensorFlow is needed.
    from models.networks import dcgan

    return {"dcgan": dcgan}


def build_networks(
    options: "GANOptions", image_shape: tuple[int, int, int], classes: int
) -> tuple["keras.Model", "keras.Model"]:
    """The generator and discriminator of the family that `options.network` names.

    Args:
      options: kind and size of the networks.
      image_shape: (H, W, C).
      classes: number of classes, K.

    Raises:
      ValueError: if the family is unknown or cannot make images of this shape.
    """
    check_image_size(image_shape)
    families = _families()
    if options.network not in families:
        raise ValueError(f"unknown network `{options.network}`; known: {', '.join(families)}")
    family = families[options.network]
    return family.generator(options, image_shape, classes), family.discriminator(options, image_shape, classes)
