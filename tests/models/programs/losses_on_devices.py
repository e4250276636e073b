"""Prints, as JSON, {loss or term: [its value, its gradients]} of one batch on as many devices as the command line says.

A program of its own, because devices are settled before TensorFlow's first operation.
"""

import json
import sys
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from models.batch import Batch, Context
from models.losses import LOSSES
from models.replicas import global_sum, replicas
from models.terms import Setting, TermsOptions, build_terms

ROWS, CLASSES = 8, 3
rng = np.random.default_rng(0)
BATCH = {
    "real": rng.normal(size=(ROWS, 2, 2, 1)).astype(np.float32),
    "fake": rng.normal(size=(ROWS, 2, 2, 1)).astype(np.float32),
    "real_weights": rng.uniform(size=ROWS).astype(np.float32),
    "fake_weights": rng.uniform(size=ROWS).astype(np.float32),
    "real_labels": np.int64([0, 1, 2, -1, 0, 0, 1, 1]),
    "fake_labels": np.int64([2, 2, -1, -1, 0, 1, 1, 0]),
}
SLOPES = rng.normal(size=(4, 1 + CLASSES)).astype(np.float32)
TERMS = TermsOptions(
    r1={"every": 2}, gradient_penalty={}, lecam={"start_step": 0, "decay": 0.5}, class_balance={"decay": 0.5}
)


def setting() -> Setting:
    network = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    return Setting(CLASSES, network, lambda: lambda images, training: (tf.tanh(network(images))[:, :3], 0))


def value_and_gradients(call: Callable[..., tf.Tensor], data: dict[str, tf.Tensor], step: tf.Tensor) -> tf.Tensor:
    """Of a loss, by the weights of a small discriminator and by a factor of the generated images; [n]."""
    slopes, factor = tf.constant(SLOPES), tf.constant(1.5)

    def discriminate(images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        out = tf.tanh(tf.reshape(images, [-1, 4])) @ slopes
        return {"logit": out[:, 0], "class_logits": out[:, 1:]}

    with tf.GradientTape() as tape:
        tape.watch([slopes, factor])
        sides = []
        for side, images in (("real", data["real"]), ("fake", factor * data["fake"])):
            labels = data[f"{side}_labels"]
            sides.append(Batch(images, images, labels, data[f"{side}_weights"], discriminate(images, labels)))
        value = call(*sides, Context(discriminate, step, step, tf.constant([3, 4], tf.int64)))
    gradients = tape.gradient(value, [slopes, factor], unconnected_gradients="zero")
    return tf.concat([tf.reshape(global_sum(part, axis=()), [-1]) for part in (value, *gradients)], 0)


def main(devices: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(devices)])
    with strategy.scope():
        terms = build_terms(TERMS, setting())
    calls: dict[str, Callable[..., tf.Tensor]] = {}
    for name, loss in LOSSES.items():
        calls[f"{name}, D"] = lambda real, fake, context, loss=loss: loss.discriminator(real, fake)
        calls[f"{name}, G"] = lambda real, fake, context, loss=loss: loss.generator(real, fake)
    for name, term in terms.items():
        calls[name] = term.discriminator or term.generator

    def on_device(step: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = ROWS // replicas()
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        own = {name: tf.constant(column)[replica * rows :][:rows] for name, column in BATCH.items()}
        return {name: value_and_gradients(call, own, step) for name, call in calls.items()}

    run = tf.function(lambda step: strategy.run(on_device, args=(step,)))
    result = {}
    for step in range(3):
        for name, figures in run(tf.constant(step, tf.int64)).items():
            result[f"{name}, step {step}"] = strategy.experimental_local_results(figures)[0].numpy().tolist()
    for name, term in terms.items():
        result[f"{name}, state"] = [x for variable in term.variables for x in np.ravel(variable.numpy()).tolist()]
    print("RESULT", json.dumps(result))


main(int(sys.argv[1]))
