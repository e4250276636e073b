"""Keras's optimizers by name, with a schedule of the learning rate and clipping of gradients."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from models.options import OPTIMIZER_ARGUMENTS, OptimizerOptions
from models.replicas import global_sum, replicas, state

_CLASSES = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "nadam": keras.optimizers.Nadam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
}
# What suits a GAN rather than a classifier (Radford et al. 2016, section 3).
_DEFAULTS = {"beta_1": 0.5, "beta_2": 0.999}


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at each step.

    Attributes:
      scale: factor on all of it, a variable; 1 unless training was rolled back.
      first: the step it counts from, a variable; 0 unless the optimizer goes on from another training.
    """

    def __init__(self, options: OptimizerOptions, steps: int):
        """Takes the section of the configuration and the steps in all."""
        self.options, self.steps = options, steps
        self.scale = state(1.0, tf.float32, "learning_rate_scale")
        self.first = state(0.0, tf.float32, "schedule_first")

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Learning rate of a step of the optimizer."""
        part = tf.minimum((tf.cast(step, tf.float32) - self.first) / self.steps, 1.0)
        factor = {
            "constant": lambda: tf.constant(1.0),
            "linear": lambda: 1.0 - part,
            "cosine": lambda: 0.5 * (1.0 + tf.cos(math.pi * part)),
            "exponential": lambda: 0.5 ** (self.options.halvings * part),
        }[self.options.schedule]()
        return self.options.learning_rate * factor * self.scale

    def get_config(self) -> dict[str, Any]:
        """As Keras asks for it."""
        return {"options": self.options, "steps": self.steps}


class Optimizer:
    """One of Keras's optimizers, whose gradients are clipped as those of the whole batch.

    Keras clips on each device before it sums; then results would depend on the number of devices.
    """

    def __init__(self, options: OptimizerOptions, steps: int):
        """Takes the section of the configuration and the number of its steps in all, for the schedule."""
        arguments = {name: _DEFAULTS.get(name) for name in OPTIMIZER_ARGUMENTS[options.name]}
        arguments |= {name: getattr(options, name) for name in arguments if getattr(options, name) is not None}
        self.schedule = Schedule(options, steps)
        self._keras = _CLASSES[options.name](
            self.schedule, **{name: value for name, value in arguments.items() if value is not None}
        )
        self._clip_value, self._clip_global_norm = options.clip_value, options.clip_global_norm

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the optimizer's own variables."""
        self._keras.build(variables)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that changes from step to step."""
        return [*(variable.value for variable in self._keras.variables), self.schedule.scale, self.schedule.first]

    def restart_schedule(self) -> None:
        """Has the learning rate begin anew; moments, and the steps that correct their bias, go on."""
        self.schedule.first.assign(tf.cast(self._keras.iterations.value, tf.float32))
        self.schedule.scale.assign(1.0)

    def step(self, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]) -> tf.Tensor:
        """Changes the variables.

        Args:
          gradients: one for each variable; of this device's part of the batch.
          variables: those of `build`.

        Returns:
          The norm of the gradient of the whole batch, before it is clipped.
        """
        if replicas() > 1:
            gradients = [global_sum(gradient, axis=()) for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        if self._clip_value is not None:
            gradients = [tf.clip_by_value(g, -self._clip_value, self._clip_value) for g in gradients]
        if self._clip_global_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._clip_global_norm)
        # Keras sums over the devices once more.
        self._keras.apply([gradient / replicas() for gradient in gradients], variables)
        return norm
