"""The layers through which a label could be lost or a discriminator be disturbed."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from models.networks.layers import (
    ClassEmbedding,
    ConditionalBatchNormalization,
    GlobalSumPooling2D,
    JoinCode,
    OneHot,
    Projection,
    WhereLabelled,
)
from models.networks.spectral import SpectralConv2D, SpectralConv2DTranspose, SpectralDense


def test_an_embedding_returns_the_row_of_the_label_as_floats():
    layer = ClassEmbedding(3, 2, "glorot_uniform")
    rows = layer(tf.constant([2, 0], tf.int64))
    assert rows.dtype == tf.float32
    np.testing.assert_array_equal(rows, layer.table.numpy()[[2, 0]])
    assert np.abs(rows).min() > 0


def test_conditional_batch_norm_begins_as_plain_batch_norm():
    x = tf.random.stateless_normal((64, 4, 4, 5), (0, 1)) * 3 + 2
    out = ConditionalBatchNormalization(3)([x, tf.zeros(64, tf.int64)], training=True).numpy()
    np.testing.assert_allclose(out.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((0, 1, 2)), 1, atol=1e-3)


def test_conditional_batch_norm_uses_gain_and_bias_of_each_rows_class():
    layer = ConditionalBatchNormalization(2)
    x, labels = tf.random.stateless_normal((6, 2, 2, 3), (0, 1)), tf.constant([0, 1, 0, 1, 1, 0], tf.int64)
    plain = layer([x, labels], training=False).numpy()
    layer.gain.table.assign([[1, 1, 1], [2, 2, 2]])
    layer.bias.table.assign([[0, 0, 0], [5, 6, 7]])
    changed = layer([x, labels], training=False).numpy()
    ones = labels.numpy() == 1
    np.testing.assert_array_equal(changed[~ones], plain[~ones])
    np.testing.assert_allclose(changed[ones], 2 * plain[ones] + [5, 6, 7], rtol=1e-6)


def test_conditional_batch_norm_moves_its_statistics_in_training_alone():
    layer = ConditionalBatchNormalization(2)
    x, labels = tf.random.stateless_normal((256, 3), (0, 1)) + 10, tf.zeros(256, tf.int64)
    layer([x, labels], training=False)
    np.testing.assert_array_equal(layer.norm.moving_mean, 0)
    layer([x, labels], training=True)
    np.testing.assert_allclose(layer.norm.moving_mean, 0.1 * x.numpy().mean(0), rtol=1e-4)


def test_projection_is_the_inner_product_with_the_classs_vector():
    layer = Projection(2)
    h = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    layer([h, tf.constant([0, 1])])
    layer.embedding.table.assign([[1, 10], [100, 1000]])
    np.testing.assert_allclose(layer([h, tf.constant([0, 1], tf.int64)]), [21, 4300])


def test_a_missing_label_adds_nothing():
    labels = tf.constant([-1, 1], tf.int64)
    np.testing.assert_array_equal(OneHot(2)(labels), [[0, 0], [0, 1]])
    np.testing.assert_array_equal(ClassEmbedding(2, 3, "ones")(labels), [[0] * 3, [1] * 3])
    assert Projection(2)([tf.ones((2, 4)), labels])[0] == 0


def test_noise_has_the_standard_deviation_of_the_class():
    labels = tf.repeat(tf.constant([0, 1], tf.int64), 4000)
    for layer in (OneHot(2, [0.0, 0.5]), ClassEmbedding(2, 2, "zeros", [0.0, 0.5])):
        quiet, noisy = np.split(layer(labels, training=True).numpy() - layer(labels).numpy(), 2)
        assert not quiet.any()
        np.testing.assert_allclose(noisy.std(0), 0.5, rtol=0.05)
        np.testing.assert_allclose(noisy.mean(0), 0, atol=0.05)
        assert abs(np.corrcoef(noisy.T)[0, 1]) < 0.05
        assert not layer(labels).numpy()[:, 0][4000:].any()


def test_noise_on_conditional_batch_norm_is_one_gain_and_one_bias_for_each_image_and_channel():
    layer = ConditionalBatchNormalization(1, noise=[0.3])
    ramp = tf.tile(tf.reshape(tf.linspace(-1.0, 1.0, 8), (1, 8, 1, 1)), (2000, 1, 2, 3))
    out = layer([ramp, tf.zeros(2000, tf.int64)], training=True).numpy()
    normalized = np.asarray(ramp[0, :, 0, 0]) / np.asarray(ramp).std()
    gain = (out[:, -1] - out[:, 0]) / (normalized[-1] - normalized[0])
    np.testing.assert_array_equal(out[:, :, 0], out[:, :, 1])
    assert gain.std() == pytest.approx(0.3, rel=0.05) and gain.mean() == pytest.approx(1, abs=0.02)
    assert out.mean(1).std() == pytest.approx(0.3, rel=0.05)


def test_layers_that_join_choose_and_sum():
    images, codes = tf.zeros((2, 2, 2, 1)), tf.constant([[1.0, 2.0], [3.0, 4.0]])
    joined = JoinCode()([images, codes])
    assert joined.shape == (2, 2, 2, 3)
    np.testing.assert_array_equal(joined[1, :, :, 2], np.full((2, 2), 4))
    np.testing.assert_array_equal(GlobalSumPooling2D()(joined), [[0, 4, 8], [0, 12, 16]])
    chosen = WhereLabelled()([tf.constant([1.0, 2.0]), tf.constant([3.0, 4.0]), tf.constant([-1, 0])])
    np.testing.assert_array_equal(chosen, [3, 2])


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (partial(SpectralConv2D, 6, 3, padding="same"), (2, 4, 4, 5)),
        (partial(SpectralConv2DTranspose, 5, 4, 2, padding="same"), (2, 4, 4, 6)),
        (partial(SpectralDense, 6), (2, 5)),
    ],
    ids=["conv", "transpose", "dense"],
)
class TestSpectralNorm:
    def trained(self, make, inputs):
        # Made here, after the seed: a kernel whose two largest singular values lie close converges slowly.
        layer, x = make(), tf.random.stateless_normal(inputs, (0, 1))
        for _ in range(100):
            layer(x, training=True)
        return layer, x

    def test_largest_singular_value_is_one(self, make, inputs):
        layer, _ = self.trained(make, inputs)
        matrix = layer._normalized_kernel(False).numpy().reshape(-1, 6)
        assert np.linalg.svd(matrix, compute_uv=False)[0] == pytest.approx(1, rel=1e-3)

    def test_kernel_is_left_alone_and_the_vector_moves_in_training_alone(self, make, inputs):
        layer, x = self.trained(make, inputs)
        layer.u.assign(np.ones(6))
        kernel, u = layer.kernel.numpy(), layer.u.numpy()
        layer(x, training=False)
        np.testing.assert_array_equal(layer.u, u)
        layer(x, training=True)
        assert np.any(layer.u.numpy() != u)
        np.testing.assert_array_equal(layer.kernel, kernel)

    def test_scale_of_the_kernel_has_no_effect_and_gradients_know_it(self, make, inputs):
        layer, x = self.trained(make, inputs)
        before = layer(x, training=False)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=False) ** 2)
        gradient, kernel = tape.gradient(loss, layer.kernel.value), layer.kernel.value
        # The loss does not change along the kernel itself.
        along = abs(tf.reduce_sum(gradient * kernel).numpy())
        assert along < 1e-3 * (tf.norm(gradient) * tf.norm(kernel)).numpy()
        layer.kernel.assign(7 * kernel)
        np.testing.assert_allclose(layer(x, training=False), before, rtol=1e-4, atol=1e-5)

    def test_vector_is_not_trained_by_the_optimizer(self, make, inputs):
        layer, _ = self.trained(make, inputs)
        assert [v.name for v in layer.trainable_variables] == ["kernel", "bias"]


def test_power_iteration_is_in_float32_where_the_layer_computes_in_half_precision():
    layer, x = SpectralDense(6, dtype="mixed_bfloat16"), tf.random.stateless_normal((2, 5), (0, 1))
    assert layer(x).dtype == tf.bfloat16
    matrix, u = layer.kernel.numpy(), layer.u.numpy()
    layer(x, training=True)
    once = matrix.T @ (matrix @ u)
    np.testing.assert_allclose(layer.u, once / np.linalg.norm(once), rtol=1e-5)
