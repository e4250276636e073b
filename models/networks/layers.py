"""Layers that Keras has not, or has in a form that loses the label or depends on the number of devices."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from models.replicas import draw_rows, replicas

BATCH_NORM_MOMENTUM = 0.9


def batch_norm(**options: Any) -> keras.layers.BatchNormalization:
    """Batch normalization over the whole batch, on however many devices it is."""
    return keras.layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, synchronized=replicas() > 1, **options
    )  # synchronized only where it must be: it computes the variance in a way that rounds more


class _Seeds(keras.random.SeedGenerator):
    """Keras's generator of seeds, which devices may advance together: all of them draw the same."""

    state: keras.Variable

    def __init__(self) -> None:
        super().__init__()  # from Python's random numbers, see `keras.utils.set_random_seed`
        self.state = keras.Variable(
            self.state.numpy(),
            dtype=self.state.dtype,
            trainable=False,
            aggregation="only_first_replica",
            name="seed_generator_state",
        )

    def next(self, ordered: bool = True) -> tf.Tensor:
        """Seed int64 [2] that was not given before."""
        return tf.cast(super().next(ordered), tf.int64)


@keras.saving.register_keras_serializable("tailgan")
class Dropout(keras.layers.Layer):
    """Sets a part `rate` of x [n, ...] to zero in training, and divides the rest by 1 - rate.

    Unlike Keras's, it drops the same on one device as on many.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate
        self.seeds = _Seeds()

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return x
        seed = self.seeds.next()
        uniform = draw_rows(lambda n: tf.random.stateless_uniform([n, *x.shape[1:]], seed), tf.shape(x)[0])
        return tf.where(uniform < self.rate, tf.zeros((), x.dtype), x / (1 - self.rate))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


class _ClassCode(keras.layers.Layer):
    """What a class is given as, [n] int -> [n, units], and in training the noise on it.

    A label of -1 gets zeros.
    """

    def __init__(self, classes: int, units: int, noise: Sequence[float] | None = None, **kwargs: Any):
        """Takes the sizes.

        Args:
          classes: number of classes, K.
          units: numbers of a code.
          noise: standard deviation of each class's noise, K numbers; none at all if not given.
        """
        super().__init__(**kwargs)
        self.classes, self.units = classes, units
        self.noise = None if noise is None else [float(value) for value in noise]
        if self.noise is not None:
            self.seeds = _Seeds()

    def _one_hot(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(labels, self.classes, dtype=self.compute_dtype)

    def _noisy(self, codes: tf.Tensor, labels: tf.Tensor, training: bool) -> tf.Tensor:
        if self.noise is None or not training:
            return codes
        seed = self.seeds.next()
        normal = draw_rows(lambda n: tf.random.stateless_normal([n, self.units], seed), tf.shape(labels)[0])
        deviation = tf.linalg.matvec(tf.one_hot(labels, self.classes), tf.constant(self.noise))
        return codes + tf.cast(deviation[:, None] * normal, codes.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape, self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "noise": self.noise}


@keras.saving.register_keras_serializable("tailgan")
class OneHot(_ClassCode):
    """The one-hot code of each label: [n] int -> [n, K]."""

    def __init__(self, classes: int, noise: Sequence[float] | None = None, **kwargs: Any):
        super().__init__(classes, classes, noise, **kwargs)

    def call(self, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self._noisy(self._one_hot(labels), labels, training)


@keras.saving.register_keras_serializable("tailgan")
class ClassEmbedding(_ClassCode):
    """One row of a [K, units] table for each label: [n] int -> [n, units].

    Looked up by a product with one-hot rows: gradients are dense then, and summed in the same order every time.
    """

    def __init__(
        self,
        classes: int,
        units: int,
        initializer: str | keras.Initializer,
        noise: Sequence[float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(classes, units, noise, **kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(name="table", shape=(self.classes, self.units), initializer=self.initializer)

    def call(self, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self._noisy(self._one_hot(labels) @ tf.convert_to_tensor(self.table), labels, training)

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.initializer)
        return {**super().get_config(), "units": self.units, "initializer": initializer}


@keras.saving.register_keras_serializable("tailgan")
class ConditionalBatchNormalization(keras.layers.Layer):
    """Batch normalization whose gain and bias belong to the class (Dumoulin et al. 2017; de Vries et al. 2017).

    (x [n, ..., c], labels [n] int) -> gain[label] * normalized(x) + bias[label]. Gains begin at 1, biases at 0.
    """

    def __init__(self, classes: int, noise: Sequence[float] | None = None, **kwargs: Any):
        """Takes the number of classes, and the noise on their gains and biases in training, see `ClassEmbedding`."""
        super().__init__(**kwargs)
        self.classes, self.noise = classes, noise

    def build(self, input_shape: Any) -> None:
        features, labels = input_shape
        self.norm = batch_norm(center=False, scale=False, name="norm", dtype=self.dtype_policy)
        tables = {"classes": self.classes, "units": features[-1], "noise": self.noise, "dtype": self.dtype_policy}
        self.gain = ClassEmbedding(initializer="ones", name="gain", **tables)
        self.bias = ClassEmbedding(initializer="zeros", name="bias", **tables)
        self.norm.build(features)
        self.gain.build(labels)
        self.bias.build(labels)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool = False) -> tf.Tensor:
        x, labels = inputs
        broadcast = (-1, *(1,) * (len(x.shape) - 2), x.shape[-1])
        gain, bias = (tf.reshape(table(labels, training=training), broadcast) for table in (self.gain, self.bias))
        return gain * self.norm(x, training=training) + bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "noise": self.noise}


@keras.saving.register_keras_serializable("tailgan")
class Projection(keras.layers.Layer):
    """The conditional part of a projection discriminator (Miyato & Koyama 2018, eq. 3).

    (h [n, d], labels [n] int) -> <embedding[label], h>, [n]; 0 for a label of -1.
    """

    def __init__(self, classes: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, input_shape: Any) -> None:
        features, labels = input_shape
        self.embedding = ClassEmbedding(
            self.classes, features[-1], "glorot_uniform", name="embedding", dtype=self.dtype_policy
        )
        self.embedding.build(labels)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        h, labels = inputs
        return tf.reduce_sum(h * self.embedding(labels), axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0][:-1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("tailgan")
class JoinCode(keras.layers.Layer):
    """(images [n, H, W, C], codes [n, d]) -> [n, H, W, C + d]: each code as d constant channels."""

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        images, codes = inputs
        maps = tf.broadcast_to(codes[:, None, None, :], tf.concat([tf.shape(images)[:3], tf.shape(codes)[1:]], 0))
        return tf.concat([images, maps], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        images, codes = input_shape
        return (*images[:-1], images[-1] + codes[-1])


@keras.saving.register_keras_serializable("tailgan")
class WhereLabelled(keras.layers.Layer):
    """(a [n], b [n], labels [n] int) -> a where there is a label, b where it is -1."""

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        a, b, labels = inputs
        return tf.where(labels < 0, b, a)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]


@keras.saving.register_keras_serializable("tailgan")
class GlobalSumPooling2D(keras.layers.Layer):
    """x [n, H, W, c] -> sums over all pixels [n, c]."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(x, axis=(1, 2))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], input_shape[-1])


def has_batch_statistics(network: keras.Model) -> bool:
    """Whether there is a batch normalization in it; its variables show it in a layer within a layer, too."""
    return any(variable.name == "moving_mean" for variable in network.non_trainable_variables)
