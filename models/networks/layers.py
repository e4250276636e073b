"""Layers that Keras has not, or has in a form that loses the label or disturbs the discriminator."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tailgan")
class ClassEmbedding(keras.layers.Layer):
    """One row of a [K, units] table for each label: [n] int -> [n, units] float32.

    Looked up by a product with one-hot rows: gradients are dense then, and summed in the same order every time.
    """

    def __init__(self, classes: int, units: int, initializer: str | keras.Initializer, **kwargs: Any):
        super().__init__(**kwargs)
        self.classes, self.units = classes, units
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(name="table", shape=(self.classes, self.units), initializer=self.initializer)

    def call(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(labels, self.classes, dtype=self.compute_dtype) @ tf.convert_to_tensor(self.table)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape, self.units)

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.initializer)
        return {**super().get_config(), "classes": self.classes, "units": self.units, "initializer": initializer}


@keras.saving.register_keras_serializable("tailgan")
class ConditionalBatchNormalization(keras.layers.Layer):
    """Batch normalization whose gain and bias belong to the class (Dumoulin et al. 2017; de Vries et al. 2017).

    (x [n, ..., c], labels [n] int) -> gain[label] * normalized(x) + bias[label]. Gains begin at 1, biases at 0.
    """

    def __init__(self, classes: int, momentum: float = 0.9, **kwargs: Any):
        super().__init__(**kwargs)
        self.classes, self.momentum = classes, momentum

    def build(self, input_shape: Any) -> None:
        features, labels = input_shape
        self.norm = keras.layers.BatchNormalization(momentum=self.momentum, center=False, scale=False, name="norm")
        self.gain = ClassEmbedding(self.classes, features[-1], "ones", name="gain")
        self.bias = ClassEmbedding(self.classes, features[-1], "zeros", name="bias")
        self.norm.build(features)
        self.gain.build(labels)
        self.bias.build(labels)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool = False) -> tf.Tensor:
        x, labels = inputs
        broadcast = (-1, *(1,) * (len(x.shape) - 2), x.shape[-1])
        gain, bias = (tf.reshape(table(labels), broadcast) for table in (self.gain, self.bias))
        return gain * self.norm(x, training=training) + bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "momentum": self.momentum}


class _SpectralNorm:
    """For a layer with a `kernel`: kernel / sigma takes its place (Miyato et al. 2018, eq. 8 and algorithm 1).

    sigma is the largest singular value of the kernel as a [fan-in, units] matrix, estimated by one step of power
    iteration in each call with `training=True`. The kernel itself is left alone and gradients pass through sigma. The
    vector `u` [units] changes in those calls only, so not while the generator trains.
    """

    kernel: Any
    add_weight: Any

    def _add_singular_vector(self) -> None:
        initializer = keras.initializers.RandomNormal()
        self.u = self.add_weight(name="u", shape=(self.kernel.shape[-1],), initializer=initializer, trainable=False)

    def _normalized_kernel(self, training: bool) -> tf.Tensor:
        kernel = tf.convert_to_tensor(self.kernel)
        matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
        constant = tf.stop_gradient(matrix)
        u = tf.convert_to_tensor(self.u)
        v = tf.math.l2_normalize(tf.linalg.matvec(constant, u))
        if training:
            u = tf.math.l2_normalize(tf.linalg.matvec(constant, v, transpose_a=True))
            self.u.assign(u)
        sigma = tf.tensordot(v, tf.linalg.matvec(matrix, tf.math.l2_normalize(u)), 1)
        return kernel / sigma


@keras.saving.register_keras_serializable("tailgan")
class SpectralConv2D(_SpectralNorm, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a spectrally normalized kernel: [n, H, W, c] -> [n, H', W', filters]."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self._add_singular_vector()

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        out = self.convolution_op(inputs, self._normalized_kernel(training))
        return self.activation(out + tf.convert_to_tensor(self.bias))


@keras.saving.register_keras_serializable("tailgan")
class SpectralDense(_SpectralNorm, keras.layers.Dense):
    """`keras.layers.Dense` with a spectrally normalized kernel: [n, c] -> [n, units]."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self._add_singular_vector()

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        out = tf.matmul(inputs, self._normalized_kernel(training))
        return self.activation(out + tf.convert_to_tensor(self.bias))


@keras.saving.register_keras_serializable("tailgan")
class Projection(keras.layers.Layer):
    """The conditional part of a projection discriminator (Miyato & Koyama 2018, eq. 3).

    (h [n, d], labels [n] int) -> <embedding[label], h>, [n].
    """

    def __init__(self, classes: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, input_shape: Any) -> None:
        features, labels = input_shape
        self.embedding = ClassEmbedding(self.classes, features[-1], "glorot_uniform", name="embedding")
        self.embedding.build(labels)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        h, labels = inputs
        return tf.reduce_sum(h * self.embedding(labels), axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0][:-1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}
