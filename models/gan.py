"""A class-conditional GAN: how two networks train each other on weighted examples."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from models.losses import AdversarialLoss


class GAN(keras.Model):
    """Trains a generator against a discriminator and keeps a moving average of the generator.

    All randomness follows from (seed, step), and `step` counts on over calls of `fit`: once `state` is restored,
    training goes on as if it had never stopped.

    Attributes:
      generator: the generator that trains.
      discriminator: its opponent.
      ema: the generator's moving average, batch normalization statistics included: the one to use.
      step: generator steps so far, int64.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        fake_label_log_probabilities: Sequence[float],
        class_weights: Sequence[float],
        seed: int,
    ):
        """Takes networks as `models.networks.build_networks` makes them.

        Args:
          generator: (z [n, d], labels [n]) -> images.
          discriminator: (images, labels [n]) -> logits [n].
          fake_label_log_probabilities: how often each class is generated in training, K numbers.
          class_weights: loss weight of generated images of each class, K numbers.
          seed: decides z and labels of every step.
        """
        super().__init__(name="gan")
        self.generator = generator
        self.discriminator = discriminator
        self.ema = keras.models.clone_model(generator)
        self.ema.set_weights(generator.get_weights())
        self.ema.trainable = False
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._log_probabilities = np.asarray(fake_label_log_probabilities, np.float32)
        self._class_weights = np.asarray(class_weights, np.float32)
        self._seed = seed
        self._means = [keras.metrics.Mean(name) for name in ("d_loss", "g_loss", "d_real", "d_fake")]
        self.built = True

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        loss: AdversarialLoss,
        ema_decay: float,
        steps_per_execution: int = 1,
    ) -> None:
        """Sets how to train.

        Args:
          generator_optimizer: of the generator.
          discriminator_optimizer: of the discriminator.
          loss: see `models.losses`.
          ema_decay: decay of the moving average, in [0, 1); less in the first steps.
          steps_per_execution: steps that run in one call of the graph.
        """
        # XLA makes small convolutions three times slower on a CPU.
        super().compile(optimizer=None, steps_per_execution=steps_per_execution, jit_compile=False)
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.adversarial_loss = loss
        self.ema_decay = ema_decay
        generator_optimizer.build(self.generator.trainable_variables)
        discriminator_optimizer.build(self.discriminator.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means over an epoch: both losses, and the discriminator's logits of real and of generated images."""
        return self._means

    def state(self) -> list[tf.Variable]:
        """Every variable that training changes, always in the same order: what a checkpoint holds."""
        networks = (self.generator, self.discriminator, self.ema)
        optimizers = (self.generator_optimizer, self.discriminator_optimizer)
        return [self.step, *(variable.value for part in (*networks, *optimizers) for variable in part.variables)]

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step of the discriminator, then one of the generator, on the same generated images.

        Args:
          data: real images [n, H, W, C] float32 in [-1, 1], their labels [n] and their loss weights [n].

        Returns:
          {name: mean since the epoch began}, scalars.
        """
        images, labels, weights = data
        z, fake_labels = self._draw(tf.shape(labels)[0])
        fake_weights = tf.gather(self._class_weights, fake_labels)
        with tf.GradientTape() as tape:
            fakes = self.generator([z, fake_labels], training=True)
            with tape.stop_recording():
                d_loss, real, fake = self._discriminator_step(
                    (images, fakes), (labels, fake_labels), (weights, fake_weights)
                )
            logits = self.discriminator([fakes, fake_labels], training=False)
            g_loss = self.adversarial_loss.generator(logits, fake_weights)
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply(tape.gradient(g_loss, variables), variables)
        self._update_ema()
        self.step.assign_add(1)
        for mean, value in zip(self._means, (d_loss, g_loss, real, fake), strict=True):
            mean.update_state(value)
        return {mean.name: mean.result() for mean in self._means}

    def _draw(self, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Latent vectors [count, d] and labels [count] of this step."""
        # Two streams: out of one, the label would be a function of z.
        of_z, of_labels = (tf.stack([self._seed, 2 * self.step + stream]) for stream in (0, 1))
        z = tf.random.stateless_normal([count, self.generator.inputs[0].shape[1]], of_z)
        labels = tf.random.stateless_categorical(self._log_probabilities[None], count, of_labels)[0]
        return z, labels

    def _discriminator_step(self, images: tuple, labels: tuple, weights: tuple) -> tuple[tf.Tensor, ...]:
        """Trains the discriminator on pairs (real, generated); returns its loss and its logits [n] of each."""
        variables = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            # Real and generated in one pass: the discriminator has no statistics of a batch that could give them away.
            logits = self.discriminator([tf.concat(images, 0), tf.concat(labels, 0)], training=True)
            real, fake = tf.split(logits, 2)
            loss = self.adversarial_loss.discriminator(real, fake, *weights)
        self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, real, fake

    def _update_ema(self) -> None:
        """ema += (1 - decay) (generator - ema), with decay min(ema_decay, (1 + t) / (10 + t)) at step t."""
        t = tf.cast(self.step, tf.float32)
        decay = tf.minimum(self.ema_decay, (1.0 + t) / (10.0 + t))
        for average, variable in zip(self.ema.variables, self.generator.variables, strict=True):
            average.assign_add((1.0 - decay) * (variable - average))
