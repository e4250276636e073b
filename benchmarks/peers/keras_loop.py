"""The loop of many articles, as a peer: `python keras_loop.py SETTING`, see tailgan_step.py.

Two `train_on_batch` for the discriminator, on real and on generated images, then one for the generator through both,
each a call of Python; with `eager`, layer by layer. The networks are tailgan's own.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf
from serve import serve

from models.data import to_float
from models.networks import build_networks
from models.options import GANOptions

CLASSES = 10


def main() -> None:
    """Measures."""
    setting = json.loads(sys.argv[1])
    tf.config.threading.set_intra_op_parallelism_threads(setting["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(setting["threads"])
    options = GANOptions(**setting["gan"])
    size, latent = options.batch_size, options.latent.dim
    generator, judge = build_networks(options, tuple(setting["image_shape"]), CLASSES)
    discriminator = keras.Model(judge.inputs, judge.output["logit"])

    def compiled(network: keras.Model) -> keras.Model:
        network.compile(
            keras.optimizers.Adam(4e-4, 0.5),
            keras.losses.BinaryCrossentropy(from_logits=True),
            run_eagerly=setting["eager"],
            jit_compile=False,
        )
        return network

    compiled(discriminator)
    parameters = [network.count_params() for network in (generator, discriminator)]
    z, label = keras.Input((latent,)), keras.Input((), dtype="int64")
    frozen = keras.models.Model(discriminator.inputs, discriminator.output)
    combined = keras.Model([z, label], frozen([generator([z, label]), label]))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4096, *setting["image_shape"]), np.uint8)
    labels = np.arange(4096) % CLASSES
    ones, zeros = np.ones(size, np.float32), np.zeros(size, np.float32)

    def run(steps: int) -> None:
        for _ in range(steps):
            rows = random.integers(0, len(images), size)
            noise = random.standard_normal((size, latent), np.float32)
            wanted = random.integers(0, CLASSES, size)
            fake = generator([noise, wanted]).numpy()
            discriminator.trainable = True
            discriminator.train_on_batch([to_float(images[rows]).numpy(), labels[rows]], ones)
            discriminator.train_on_batch([fake, wanted], zeros)
            discriminator.trainable = False
            combined.train_on_batch([noise, wanted], ones)

    discriminator.trainable = False
    compiled(combined)
    discriminator.trainable = True
    serve(run, {"parameters": parameters})


if __name__ == "__main__":
    main()
