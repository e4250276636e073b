"""A class-conditional DCGAN (Radford et al. 2016).

Labels enter the generator by conditional batch normalization and the discriminator by projection (Miyato & Koyama
2018). The discriminator is spectrally normalized and has no batch normalization: statistics shared by real and
generated images would tell it which is which without a look at the label.
"""

import keras

from models.networks.layers import ConditionalBatchNormalization, Projection, SpectralConv2D, SpectralDense
from models.networks.sizes import halvings
from models.options import GANOptions

MAX_GROWTH = 8  # channels are at most so many times `(options.width or 24)`
FEATURES = 64  # units of the discriminator's last layer, the one that is compared with the class
LEAK = 0.2


def _channels(options: GANOptions, halved: int) -> int:
    """Channels of a feature map whose sides are the image's, halved `halved` times."""
    return (options.width or 24) * min(2**halved, MAX_GROWTH)


def generator(options: GANOptions, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """(z [n, d] float32, labels [n] int64) -> images [n, H, W, C] float32 in [-1, 1]."""
    height, width, image_channels = image_shape
    times = halvings(image_shape)
    z = keras.Input((options.latent.dim,), name="z")
    label = keras.Input((), dtype="int64", name="label")
    base = (height >> times, width >> times, _channels(options, times))
    x = keras.layers.Dense(base[0] * base[1] * base[2], use_bias=False)(z)
    x = keras.layers.Reshape(base)(x)
    x = keras.layers.ReLU()(ConditionalBatchNormalization(classes)([x, label]))
    for halved in reversed(range(times)):
        x = keras.layers.Conv2DTranspose(_channels(options, halved), 4, 2, "same", use_bias=False)(x)
        x = keras.layers.ReLU()(ConditionalBatchNormalization(classes)([x, label]))
    image = keras.layers.Conv2D(image_channels, 3, padding="same", activation="tanh")(x)
    return keras.Model([z, label], image, name="generator")


def discriminator(options: GANOptions, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """(images [n, H, W, C] float32, labels [n] int64) -> outputs, see `models.networks`."""
    image = keras.Input(image_shape, name="image")
    label = keras.Input((), dtype="int64", name="label")
    x = keras.layers.LeakyReLU(LEAK)(SpectralConv2D((options.width or 24), 3, padding="same")(image))
    for halved in range(1, halvings(image_shape) + 1):
        x = keras.layers.LeakyReLU(LEAK)(SpectralConv2D(_channels(options, halved), 4, 2, padding="same")(x))
    h = keras.layers.LeakyReLU(LEAK)(SpectralDense(FEATURES)(keras.layers.Flatten()(x)))
    unconditional = keras.layers.Reshape(())(SpectralDense(1)(h))
    logit = keras.layers.Add()([unconditional, Projection(classes)([h, label])])
    return keras.Model([image, label], {"logit": logit, "features": h}, name="discriminator")
