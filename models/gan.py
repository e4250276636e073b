"""A class-conditional GAN: how two networks train each other on weighted examples."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from models.augment.augmentation import Augmentation
from models.batch import Batch, Context
from models.losses import AdversarialLoss
from models.networks.layers import has_batch_statistics
from models.optimizers import Optimizer
from models.replicas import draw_rows, global_sum, replicas, state, update
from models.terms import Term

# Streams of random numbers of a step. Out of one stream, the label would be a function of z.
_Z, _LABELS, _AUGMENT_REAL, _AUGMENT_FAKE, _TERMS = range(5)
_STREAMS = 64


class GAN(keras.Model):
    """Trains a generator against a discriminator and keeps a moving average of the generator.

    All randomness follows from (seed, step), and `step` counts on over calls of `fit`: once `state` is restored,
    training goes on as if it had never stopped.

    Attributes:
      generator: the generator that trains.
      discriminator: its opponent.
      ema: the generator's moving average, batch normalization statistics included: the one to use.
      step: generator steps so far, int64.
      steps_before: those of the trainings that this one goes on from, int64; 0 if it began anew.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        fake_label_probabilities: Sequence[float],
        class_weights: Sequence[float],
        seed: int,
    ):
        """Takes networks as `models.networks.build_networks` makes them.

        Args:
          generator: (z [n, d], labels [n]) -> images.
          discriminator: (images, labels [n]) -> outputs, see `models.networks`.
          fake_label_probabilities: how often each class is generated in training, K numbers of sum 1.
          class_weights: loss weight of generated images of each class, K numbers.
          seed: decides z and labels of every step.
        """
        super().__init__(name="gan")
        self.generator = generator
        self.discriminator = discriminator
        self.ema = keras.models.clone_model(generator)
        self.ema.set_weights(generator.get_weights())
        self.ema.trainable = False
        self.step = state(0, tf.int64, "step")
        self.steps_before = state(0, tf.int64, "steps_before")
        # Divided by its last, so that no rounding leaves room above it.
        cumulative = np.cumsum(np.asarray(fake_label_probabilities, np.float64))
        self._cumulative = (cumulative / cumulative[-1]).astype(np.float32)
        self._class_weights = np.asarray(class_weights, np.float32)
        self._seed = seed
        self.built = True

    def compile(
        self,
        generator_optimizer: Optimizer,
        discriminator_optimizer: Optimizer,
        loss: AdversarialLoss,
        terms: Mapping[str, Term],
        augmentation: Augmentation | None,
        ema_decay: float,
        discriminator_steps: int = 1,
        clip_weights: float | None = None,
        joint_batch: bool = True,
        steps_per_execution: int = 1,
        jit_compile: bool = False,
    ) -> None:
        """Sets how to train.

        Args:
          generator_optimizer: of the generator.
          discriminator_optimizer: of the discriminator.
          loss: see `models.losses`.
          terms: added to it, by name; see `models.terms`.
          augmentation: of what the discriminator sees; see `models.augment`.
          ema_decay: decay of the moving average, in [0, 1); less in the first steps.
          discriminator_steps: steps of the discriminator for one of the generator; a batch has images for all of them.
          clip_weights: largest absolute weight of the discriminator.
          joint_batch: whether the discriminator sees real and generated images in one pass; not with statistics of
            the batch, which would tell it which is which without a look at the label.
          steps_per_execution: steps that run in one call of the graph.
          jit_compile: whether XLA compiles the step.
        """
        super().compile(optimizer=None, steps_per_execution=steps_per_execution, jit_compile=jit_compile)
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.adversarial_loss = loss
        self.terms = dict(terms)
        self.augmentation = augmentation
        self.ema_decay = ema_decay
        self.discriminator_steps = discriminator_steps
        self.clip_weights = clip_weights
        self.joint_batch = joint_batch
        self._has_batch_statistics = has_batch_statistics(self.discriminator)
        generator_optimizer.build(self.generator.trainable_variables)
        discriminator_optimizer.build(self.discriminator.trainable_variables)
        names = ["d_loss", "g_loss", "d_real", "d_fake", "d_gradient", "g_gradient"]
        names += [f"d_{name}" for name, term in self.terms.items() if term.discriminator]
        names += [f"g_{name}" for name, term in self.terms.items() if term.generator]
        names += augmentation.figures() if augmentation else []
        self._means = {name: keras.metrics.Mean(name) for name in names}
        # Step in which each figure was first not finite; -1 where it never was.
        self.first_bad = {name: state(-1, tf.int64, f"first_bad_{name}") for name in names}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means over an epoch: losses, terms, the discriminator's logits of real and fake, norms of the gradients."""
        return list(self._means.values())

    def state(self) -> list[tf.Variable]:
        """Every variable that training changes, always in the same order: what a checkpoint holds."""
        variables = self.carried()
        for term in self.terms.values():
            variables += term.variables
        if self.augmentation:
            variables += self.augmentation.variables
        return [self.step, self.steps_before, *variables]

    def carried(self) -> list[tf.Variable]:
        """Those of `state` that a warm start goes on from: of the networks, the average and the optimizers."""
        networks = (self.generator, self.discriminator, self.ema)
        variables = [variable.value for network in networks for variable in network.variables]
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            variables += optimizer.variables
        return variables

    def train_step(self, data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The discriminator's steps, then one of the generator on the generated images of the last of them.

        Args:
          data: `image` [m, H, W, C] float32 in [-1, 1], `label` [m] int64 (-1: none), `weight` [m] float32, and where
            pixels are missing `mask` [m, H, W, 1] float32, 0 where they are; m is `discriminator_steps` batches.

        Returns:
          {name: mean since the epoch began}, scalars.
        """
        columns = {name: tf.split(column, self.discriminator_steps) for name, column in data.items()}
        batches = [{name: parts[turn] for name, parts in columns.items()} for turn in range(self.discriminator_steps)]
        last = len(batches) - 1
        turns = [
            self._discriminator_step(self._real(batches[turn], turn), self._fake(batches[turn], turn), turn)
            for turn in range(last)
        ]
        real = self._real(batches[last], last)
        with tf.GradientTape() as tape:
            fake = self._fake(batches[last], last)
            with tape.stop_recording():
                turns.append(self._discriminator_step(real, fake, last))
            loss, own_figures = self._generator_loss(real, fake, last)
        # Of all turns, for a lazy term may be due in others than the last.
        figures = {name: tf.add_n([of_turn[name] for of_turn in turns]) / len(turns) for name in turns[0]}
        figures |= own_figures
        figures["g_gradient"] = self._descend(self.generator_optimizer, tape, loss, self.generator)
        if self.augmentation:
            figures |= self.augmentation.figures()
        self._update_ema()
        self.step.assign_add(1)
        self._note(figures)
        return {name: mean.result() for name, mean in self._means.items()}

    def _seed_of(self, turn: int, stream: int) -> tf.Tensor:
        """Seed int64 [2] of one stream of one step of the discriminator."""
        index = (self.step * self.discriminator_steps + turn) * _STREAMS + stream
        return tf.stack([tf.constant(self._seed, tf.int64), index])

    def _draw(self, count: tf.Tensor, turn: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
        """Latent vectors [count, d] and labels [count]."""
        size = self.generator.inputs[0].shape[1]
        of_z, of_labels = self._seed_of(turn, _Z), self._seed_of(turn, _LABELS)
        z = draw_rows(lambda n: tf.random.stateless_normal([n, size], of_z), count)
        # XLA has no `stateless_categorical`.
        uniform = draw_rows(lambda n: tf.random.stateless_uniform([n], of_labels), count)
        return z, tf.searchsorted(self._cumulative, uniform, side="right", out_type=tf.int64)

    def _real(self, data: dict[str, tf.Tensor], turn: int) -> Batch:
        """The real images as the discriminator sees them, not yet judged."""
        images, labels = _hide(data["image"], data), data["label"]
        return Batch(images, self._augment(images, labels, turn, _AUGMENT_REAL), labels, data["weight"], {})

    def _fake(self, data: dict[str, tf.Tensor], turn: int) -> Batch:
        """As many generated images: pixels are hidden as in the real ones, and so are labels."""
        z, labels = self._draw(tf.shape(data["label"])[0], turn)
        images = self.generator([z, labels], training=True)
        shown = tf.where(data["label"] < 0, tf.constant(-1, tf.int64), labels)
        seen = _hide(images, data)
        if self.augmentation and self.augmentation.on_fakes:
            seen = self._augment(seen, shown, turn, _AUGMENT_FAKE)
        return Batch(images, seen, shown, tf.gather(self._class_weights, labels), {})

    def _augment(self, images: tf.Tensor, labels: tf.Tensor, turn: int, stream: int) -> tf.Tensor:
        return self.augmentation(images, labels, self._seed_of(turn, stream)) if self.augmentation else images

    def _context(self, turn: int, stream: int) -> Context:
        return Context(
            lambda images, labels: self.discriminator([images, labels], training=False),
            self.step,
            self.step * self.discriminator_steps + turn,
            self._seed_of(turn, stream),
        )

    def _terms_of(self, side: str, real: Batch, fake: Batch, turn: int, first_stream: int) -> dict[str, tf.Tensor]:
        """The terms of one side, `discriminator` or `generator`, by the name of their figure."""
        terms = ((stream, name, getattr(term, side)) for stream, (name, term) in enumerate(self.terms.items()))
        return {
            f"{side[0]}_{name}": term(real, fake, self._context(turn, first_stream + stream))
            for stream, name, term in terms
            if term
        }

    def _discriminator_step(self, real: Batch, fake: Batch, turn: int) -> dict[str, tf.Tensor]:
        """Trains the discriminator; returns the figures of it."""
        with tf.GradientTape() as tape:
            real, fake = self._discriminate(real, fake)
            figures = {"d_loss": self.adversarial_loss.discriminator(real, fake)}
            figures |= self._terms_of("discriminator", real, fake, turn, _TERMS)
            loss = sum(figures.values()) + _regularization(self.discriminator)
        figures["d_gradient"] = self._descend(self.discriminator_optimizer, tape, loss, self.discriminator)
        if self.clip_weights is not None:
            limit = self.clip_weights
            update(lambda weight: tf.clip_by_value(weight, -limit, limit), self.discriminator.trainable_variables)
        if self.augmentation:
            self.augmentation.observe(real.outputs["logit"], self.step * self.discriminator_steps + turn)
        return {**figures, "d_real": _mean(real), "d_fake": _mean(fake)}

    def _discriminate(self, real: Batch, fake: Batch) -> tuple[Batch, Batch]:
        """Both, judged: in one pass, unless a batch has statistics that would give away which is which."""
        if self.joint_batch:
            both = [tf.concat(pair, 0) for pair in ((real.images, fake.images), (real.labels, fake.labels))]
            halves = {name: tf.split(out, 2) for name, out in self.discriminator(both, training=True).items()}
            of_real, of_fake = ({name: half[i] for name, half in halves.items()} for i in (0, 1))
        else:
            of_real, of_fake = (self.discriminator([side.images, side.labels], training=True) for side in (real, fake))
        return real._replace(outputs=of_real), fake._replace(outputs=of_fake)

    def _generator_loss(self, real: Batch, fake: Batch, turn: int) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The generator's loss, and the figures of it."""
        # Statistics of a batch, where the discriminator has any, must be those of a batch here too.
        training = self._has_batch_statistics
        fake = fake._replace(outputs=self.discriminator([fake.images, fake.labels], training=training))
        if self.adversarial_loss.compares:
            real = real._replace(outputs=self.discriminator([real.images, real.labels], training=training))
        figures = {"g_loss": self.adversarial_loss.generator(real, fake)}
        figures |= self._terms_of("generator", real, fake, turn, _TERMS + len(self.terms))
        return sum(figures.values()) + _regularization(self.generator), figures

    def _descend(self, optimizer: Optimizer, tape: tf.GradientTape, loss: tf.Tensor, network: keras.Model) -> tf.Tensor:
        """One step of an optimizer; returns the norm of the gradient before it is clipped."""
        variables = network.trainable_variables
        return optimizer.step(tape.gradient(loss, variables, unconnected_gradients="zero"), variables)

    def _update_ema(self) -> None:
        """ema += (1 - decay) (generator - ema), with decay min(ema_decay, (1 + t) / (10 + t)) at step t.

        Steps of before count: an average that has warmed up does not forget itself.
        """
        t = tf.cast(self.steps_before + self.step, tf.float32)
        decay = tf.minimum(self.ema_decay, (1.0 + t) / (10.0 + t))
        averages, weights = self.ema.weights, self.generator.weights
        update(lambda average, weight: average + (1.0 - decay) * (weight - average), averages, weights)

    def _note(self, figures: dict[str, tf.Tensor]) -> None:
        """Adds to the means, and remembers the first step of each figure that is not finite."""
        for name, mean in self._means.items():
            mean.update_state(figures[name])
            first = self.first_bad[name]
            is_first = ~tf.math.is_finite(figures[name]) & (first < 0)
            first.assign(tf.where(is_first, self.step, first))


def _hide(images: tf.Tensor, data: dict[str, tf.Tensor]) -> tf.Tensor:
    """Images with missing pixels at 0, halfway between black and white."""
    return images * data["mask"] if "mask" in data else images


def _mean(side: Batch) -> tf.Tensor:
    """Mean logit of a batch, all replicas together."""
    logits = side.outputs["logit"]
    return global_sum(logits) / global_sum(tf.ones_like(logits))


def _regularization(network: keras.Model) -> tf.Tensor:
    """L1 and L2 of a network: the part of one replica."""
    return tf.add_n(network.losses) / replicas() if network.losses else tf.constant(0.0)
