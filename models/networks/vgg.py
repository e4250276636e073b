"""A GAN of stacks of `depth` 3x3 convolutions, as in VGG (Simonyan & Zisserman 2015).

The generator doubles sides by repeating pixels, the discriminator halves them by taking means of 2x2 pixels: unlike
transposed and strided convolutions, both treat all pixels alike, which leaves no checkerboards.
"""

from collections.abc import Sequence

import keras

from models.networks.parts import DiscriminatorParts, GeneratorParts
from models.networks.sizes import halvings, innermost
from models.options import GANOptions

FEATURES = 64  # units of the discriminator's last layer, the one that is compared with the class


def generator(
    options: GANOptions, image_shape: tuple[int, int, int], classes: int, rarity: Sequence[float] | None = None
) -> keras.Model:
    """(z [n, d] float32, labels [n] int64) -> images [n, H, W, C] float32 in [-1, 1]."""
    parts = GeneratorParts(options, classes, rarity)
    times = halvings(image_shape)
    base = (*innermost(image_shape), parts.channels(times))
    x = keras.layers.Reshape(base)(parts.dense(base[0] * base[1] * base[2])(parts.code))
    x = parts.activate(parts.normalize(x))
    for halved in reversed(range(times)):
        x = keras.layers.UpSampling2D()(x)
        for _ in range(parts.depth):
            x = parts.activate(parts.normalize(parts.conv(parts.channels(halved))(x)))
    return parts.model(parts.conv(image_shape[2], use_bias=True)(x), image_shape)


def discriminator(
    options: GANOptions, image_shape: tuple[int, int, int], classes: int, unlabelled: bool = False
) -> keras.Model:
    """(images [n, H, W, C] float32, labels [n] int64) -> outputs, see `models.networks`."""
    parts = DiscriminatorParts(options, image_shape, classes, unlabelled)
    x = parts.activate(parts.conv(parts.width, use_bias=True)(parts.image))
    for _ in range(parts.depth - 1):
        x = parts.activate(parts.normalize(parts.conv(parts.width)(x)))
    for halved in range(1, halvings(image_shape) + 1):
        x = keras.layers.AveragePooling2D(2, padding="same")(x)
        for _ in range(parts.depth):
            x = parts.activate(parts.normalize(parts.conv(parts.channels(halved))(x)))
    x = parts.dense(FEATURES)(keras.layers.Flatten()(x))
    return parts.model(parts.activate(parts.normalize(x)))
