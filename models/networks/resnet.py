"""A residual GAN as SNGAN's (Miyato et al. 2018, appendix B.4): `depth` residual blocks a stage.

In the generator the first block of a stage doubles the sides by repeating pixels; in the discriminator it halves them
by taking means, and a stage without halving follows the last. The discriminator's features are sums over all pixels.
"""

from collections.abc import Sequence

import keras

from models.networks.layers import GlobalSumPooling2D
from models.networks.parts import DiscriminatorParts, GeneratorParts
from models.networks.sizes import halvings, innermost
from models.options import GANOptions


def _up_block(parts: GeneratorParts, x: keras.KerasTensor, filters: int, up: bool) -> keras.KerasTensor:
    """[n, H, W, c] -> [n, H, W, filters], or of twice the sides."""
    h, shortcut = parts.activate(parts.normalize(x)), x
    if up:
        h, shortcut = keras.layers.UpSampling2D()(h), keras.layers.UpSampling2D()(shortcut)
    h = parts.conv(filters)(h)
    h = parts.conv(filters)(parts.activate(parts.normalize(h)))
    if shortcut.shape[-1] != filters or up:
        shortcut = parts.conv(filters, 1)(shortcut)
    return keras.layers.Add()([h, shortcut])


def generator(
    options: GANOptions, image_shape: tuple[int, int, int], classes: int, rarity: Sequence[float] | None = None
) -> keras.Model:
    """(z [n, d] float32, labels [n] int64) -> images [n, H, W, C] float32 in [-1, 1]."""
    parts = GeneratorParts(options, classes, rarity)
    times = halvings(image_shape)
    base = (*innermost(image_shape), parts.channels(times))
    x = keras.layers.Reshape(base)(parts.dense(base[0] * base[1] * base[2])(parts.code))
    for halved in reversed(range(times)):
        for block in range(parts.depth):
            x = _up_block(parts, x, parts.channels(halved), up=block == 0)
    x = parts.activate(parts.normalize(x))
    return parts.model(parts.conv(image_shape[2], use_bias=True)(x), image_shape)


def _down_block(
    parts: DiscriminatorParts, x: keras.KerasTensor, filters: int, down: bool, first: bool
) -> keras.KerasTensor:
    """[n, H, W, c] -> [n, H, W, filters], or of half the sides; the first block is given pixels, not activations."""
    h, shortcut = x if first else parts.activate(parts.normalize(x)), x
    h = parts.conv(filters, use_bias=True if first else None)(h)
    h = parts.conv(filters, use_bias=True)(parts.activate(h if first else parts.normalize(h)))
    if down:
        h, shortcut = (keras.layers.AveragePooling2D(2, padding="same")(branch) for branch in (h, shortcut))
    if shortcut.shape[-1] != filters or down:
        shortcut = parts.conv(filters, 1, use_bias=True)(shortcut)
    return keras.layers.Add()([h, shortcut])


def discriminator(
    options: GANOptions, image_shape: tuple[int, int, int], classes: int, unlabelled: bool = False
) -> keras.Model:
    """(images [n, H, W, C] float32, labels [n] int64) -> outputs, see `models.networks`."""
    parts = DiscriminatorParts(options, image_shape, classes, unlabelled)
    x, times = parts.image, halvings(image_shape)
    for stage in range(times + 1):
        down = stage < times
        filters = parts.channels(stage + down)
        for block in range(parts.depth):
            x = _down_block(parts, x, filters, down=down and block == 0, first=stage == block == 0)
    x = parts.activate(x)
    return parts.model(GlobalSumPooling2D()(x))
