"""Spectral normalization as a reparametrization: the kernel itself is never overwritten."""

from typing import Any

import keras
import tensorflow as tf


class _SpectralNorm:
    """For a layer with a `kernel`: kernel / sigma takes its place (Miyato et al. 2018, eq. 8 and algorithm 1).

    sigma is the largest singular value of the kernel as a matrix whose columns are its last axis, estimated by one
    step of power iteration in each call with `training=True`, in float32 whatever the layer computes in. The kernel
    itself is left alone and gradients pass through sigma. The vector `u` changes in those calls only, so not while the
    generator trains.
    """

    kernel: Any
    bias: Any
    activation: Any
    compute_dtype: str

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """As Keras's, but all weights are read as they are, in float32."""
        return super().add_weight(*args, **{"autocast": False, **kwargs})  # type: ignore[misc]

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)  # type: ignore[misc]
        self.u = self.add_weight(
            name="u",
            shape=(self.kernel.shape[-1],),
            initializer=keras.initializers.RandomNormal(),
            trainable=False,
            aggregation="only_first_replica",  # every device computes the same
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel = tf.cast(self._normalized_kernel(training), self.compute_dtype)
        out = self._product(tf.cast(inputs, self.compute_dtype), kernel)
        if self.bias is not None:
            out += tf.cast(self.bias, self.compute_dtype)
        return self.activation(out)

    def _product(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError

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

    def _product(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return self.convolution_op(inputs, kernel)


@keras.saving.register_keras_serializable("tailgan")
class SpectralConv2DTranspose(_SpectralNorm, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` with a spectrally normalized kernel: [n, H, W, c] -> [n, H', W', filters]."""

    def _product(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return keras.ops.conv_transpose(inputs, kernel, self.strides, self.padding, data_format=self.data_format)


@keras.saving.register_keras_serializable("tailgan")
class SpectralDense(_SpectralNorm, keras.layers.Dense):
    """`keras.layers.Dense` with a spectrally normalized kernel: [n, c] -> [n, units]."""

    def _product(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.matmul(inputs, kernel)
