"""What networks of all families are put together from, as the options say."""

from collections.abc import Sequence

import keras

from models.networks import spectral
from models.networks.layers import (
    ClassEmbedding,
    ConditionalBatchNormalization,
    Dropout,
    JoinCode,
    OneHot,
    Projection,
    WhereLabelled,
    batch_norm,
)
from models.networks.options import DiscriminatorOptions, GeneratorOptions, Norm
from models.networks.sizes import channels
from models.options import GANOptions

LEAK = 0.2
CODE = 16  # numbers of the learned code by which `conditioning: concat` tells the discriminator a class


class _Parts:
    """Makes the layers that carry kernels, and what follows them.

    Kernels that a normalization follows have no bias: it would be taken out again.

    Attributes:
      width: channels next to the image, or units.
      depth: layers of a stage.
    """

    def __init__(self, options: GANOptions, own: GeneratorOptions | DiscriminatorOptions, norm: Norm):
        assert options.width is not None and options.depth is not None  # they are complete
        self.width, self.depth = options.width, options.depth
        self._own, self._norm = own, norm

    def channels(self, halved: int) -> int:
        """Channels of a feature map whose sides are the image's, halved `halved` times."""
        return channels(self.width, halved)

    def _kernel(self, use_bias: bool | None) -> dict:
        own, initializer = self._own, self._own.initializer
        return {
            "use_bias": self._norm == "none" if use_bias is None else use_bias,
            # Each layer has an initializer of its own: one that is shared gives equal shapes equal values.
            "kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)
            if initializer == "normal_0.02"
            else keras.initializers.get(initializer),
            "kernel_regularizer": keras.regularizers.L1L2(own.l1, own.l2) if own.l1 or own.l2 else None,
        }

    def dense(self, units: int, use_bias: bool | None = None, dtype: str | None = None) -> keras.layers.Layer:
        """[n, c] -> [n, units]."""
        kind = spectral.SpectralDense if self._own.spectral_norm else keras.layers.Dense
        return kind(units, dtype=dtype, **self._kernel(use_bias))

    def conv(self, filters: int, size: int = 3, strides: int = 1, use_bias: bool | None = None) -> keras.layers.Layer:
        """[n, H, W, c] -> [n, ceil(H / strides), ceil(W / strides), filters]."""
        kind = spectral.SpectralConv2D if self._own.spectral_norm else keras.layers.Conv2D
        return kind(filters, size, strides, padding="same", **self._kernel(use_bias))

    def conv_transpose(self, filters: int, size: int, strides: int) -> keras.layers.Layer:
        """[n, H, W, c] -> [n, strides H, strides W, filters]."""
        kind = spectral.SpectralConv2DTranspose if self._own.spectral_norm else keras.layers.Conv2DTranspose
        return kind(filters, size, strides, padding="same", **self._kernel(None))

    def activate(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The activation, and dropout if there is any; of the same shape."""
        leaky = self._own.activation == "leaky_relu"
        layer = keras.layers.LeakyReLU(LEAK) if leaky else keras.layers.Activation(self._own.activation)
        x = layer(x)
        return Dropout(self._own.dropout)(x) if self._own.dropout else x

    def _plain_norm(self, x: keras.KerasTensor) -> keras.KerasTensor:
        match self._norm:
            case "batch":
                return batch_norm()(x)
            case "layer":  # over all pixels and channels of an image
                return keras.layers.GroupNormalization(groups=1)(x)
        return x


class GeneratorParts(_Parts):
    """Parts of a generator.

    Attributes:
      inputs: z [n, d] and label [n].
      code: what the first layer is given, [n, d or more].
    """

    def __init__(self, options: GANOptions, classes: int, rarity: Sequence[float] | None):
        """Takes complete options (`models.networks.options.completed`), the number of classes, and their rarity."""
        own = options.generator
        self._conditional = own.conditioning == "conditional_batch_norm"
        norm: Norm = "batch" if self._conditional else own.norm or "none"
        super().__init__(options, own, norm)
        self._classes = classes
        strength = options.latent.tail_noise
        self._noise = [float(strength * r) for r in rarity] if strength and rarity is not None else None
        z, label = keras.Input((options.latent.dim,), name="z"), keras.Input((), dtype="int64", name="label")
        self.inputs = [z, label]
        match own.conditioning:
            case "embedding":
                initial = keras.initializers.RandomNormal(stddev=1.0)
                embedding = ClassEmbedding(classes, options.latent.dim, initial, self._noise)(label)
                self.code = keras.layers.Multiply()([z, embedding])
            case "concat":
                self.code = keras.layers.Concatenate()([z, OneHot(classes, self._noise)(label)])
            case _:
                self.code = z

    def normalize(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The normalization, of the label if that is how it enters; of the same shape."""
        if self._conditional:
            return ConditionalBatchNormalization(self._classes, self._noise)([x, self.inputs[1]])
        return self._plain_norm(x)

    def model(self, x: keras.KerasTensor, image_shape: tuple[int, int, int]) -> keras.Model:
        """The generator that ends with x [n, H or more, W or more, C]: cropped at the center, within [-1, 1]."""
        over = [have - want for have, want in zip(x.shape[1:3], image_shape, strict=False)]
        if any(over):
            x = keras.layers.Cropping2D([(surplus // 2, surplus - surplus // 2) for surplus in over])(x)
        return keras.Model(self.inputs, keras.layers.Activation("tanh", dtype="float32")(x), name="generator")


class DiscriminatorParts(_Parts):
    """Parts of a discriminator.

    Attributes:
      inputs: image [n, H, W, C] and label [n].
      image: what the first layer is given: the image, with the class's code if that is how the label enters.
    """

    def __init__(self, options: GANOptions, image_shape: tuple[int, int, int], classes: int, unlabelled: bool):
        """Takes the options, and what the images and labels are."""
        own = options.discriminator
        super().__init__(options, own, own.norm)
        self._conditioning, self._classes, self._unlabelled = own.conditioning, classes, unlabelled
        image, label = keras.Input(image_shape, name="image"), keras.Input((), dtype="int64", name="label")
        self.inputs = [image, label]
        self.image = image
        if own.conditioning == "concat":
            code = ClassEmbedding(classes, CODE, keras.initializers.RandomNormal(stddev=1.0))(label)
            self.image = JoinCode()([image, code])

    def normalize(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The normalization; of the same shape."""
        return self._plain_norm(x)

    def _logit(self, h: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Reshape((), dtype="float32")(self.dense(1, use_bias=True, dtype="float32")(h))

    def model(self, x: keras.KerasTensor) -> keras.Model:
        """The discriminator whose features are x [n, d].

        Where there are unlabelled images, a head of their own gives their logits if the others depend on the label.
        """
        label = self.inputs[1]
        h = keras.layers.Activation("linear", dtype="float32", name="features")(x)
        logit = self._logit(h)
        if self._conditioning == "projection":
            projection = Projection(self._classes, dtype="float32")([h, label])
            logit = keras.layers.Add(dtype="float32")([logit, projection])
        if self._unlabelled and self._conditioning in ("projection", "concat"):
            logit = WhereLabelled(dtype="float32")([logit, self._logit(h), label])
        outputs = {"logit": logit, "features": h}
        if self._conditioning == "acgan":
            outputs["class_logits"] = self.dense(self._classes, use_bias=True, dtype="float32")(h)
        return keras.Model(self.inputs, outputs, name="discriminator")
