"""A GAN of dense layers (Goodfellow et al. 2014): `depth` hidden layers of `width` units in each network."""

from collections.abc import Sequence

import keras

from models.networks.parts import DiscriminatorParts, GeneratorParts
from models.options import GANOptions


def generator(
    options: GANOptions, image_shape: tuple[int, int, int], classes: int, rarity: Sequence[float] | None = None
) -> keras.Model:
    """(z [n, d] float32, labels [n] int64) -> images [n, H, W, C] float32 in [-1, 1]."""
    parts = GeneratorParts(options, classes, rarity)
    x = parts.code
    for _ in range(parts.depth):
        x = parts.activate(parts.normalize(parts.dense(parts.width)(x)))
    height, width, image_channels = image_shape
    pixels = parts.dense(height * width * image_channels, use_bias=True)(x)
    return parts.model(keras.layers.Reshape(image_shape)(pixels), image_shape)


def discriminator(
    options: GANOptions, image_shape: tuple[int, int, int], classes: int, unlabelled: bool = False
) -> keras.Model:
    """(images [n, H, W, C] float32, labels [n] int64) -> outputs, see `models.networks`."""
    parts = DiscriminatorParts(options, image_shape, classes, unlabelled)
    x = parts.activate(parts.dense(parts.width, use_bias=True)(keras.layers.Flatten()(parts.image)))
    for _ in range(parts.depth - 1):
        x = parts.activate(parts.normalize(parts.dense(parts.width)(x)))
    return parts.model(x)
