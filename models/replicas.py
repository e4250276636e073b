"""Sums, random numbers and updates that do not depend on how a batch is spread over devices (`tf.distribute`)."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf


def replicas() -> int:
    """Devices that a batch is spread over."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def global_sum(values: tf.Tensor, axis: tuple[int, ...] | None = None) -> tf.Tensor:
    """Sum over all of `values` (or its `axis`), and over the devices. Gradients pass through it.

    Not within `tf.cond`, whose branches devices may take apart.
    """
    total = tf.reduce_sum(values, axis)
    if replicas() == 1:
        return total
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, total)


def draw_rows(draw: Callable[[tf.Tensor], tf.Tensor], count: tf.Tensor) -> tf.Tensor:
    """What belongs to this device's `count` rows of something drawn for the whole batch.

    Args:
      draw: number of rows n -> random tensor [n, ...], the same on every device.
      count: rows of this device, the same on each.
    """
    if replicas() == 1:
        return draw(count)
    replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)
    return draw(count * replicas())[replica * count : (replica + 1) * count]


def state(initial: Any, dtype: tf.DType, name: str) -> tf.Variable:
    """A variable that is not trained, and that every device sets to the same value."""
    only_first = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(initial, dtype=dtype, trainable=False, name=name, aggregation=only_first)


def update(
    function: Callable[..., tf.Tensor], targets: Sequence[keras.Variable], *sources: Sequence[keras.Variable]
) -> None:
    """Sets each of `targets` to `function(target, *(its sources))`, on every device."""

    def on_all(strategy: tf.distribute.Strategy) -> None:
        for target, *others in zip(targets, *sources, strict=True):
            strategy.extended.update(
                target.value,
                lambda variable, *values: variable.assign(function(variable, *values)),
                args=tuple(other.value for other in others),
                group=False,
            )

    tf.distribute.get_replica_context().merge_call(on_all)
