"""Our training step as a peer: `python tailgan_step.py SETTING` with the options of the GAN and the data in JSON."""

import json
import sys
import warnings

import numpy as np
import tensorflow as tf
from serve import serve

from models.build import build_gan
from models.callbacks import steps_per_call
from models.data import Examples
from models.gan import GAN
from models.options import GANOptions

CLASSES = 10


def examples(count: int, image_shape: list[int]) -> Examples:
    """So many images of noise: what is in them changes no time."""
    random = np.random.default_rng(0)
    return Examples(
        random.integers(0, 256, (count, *image_shape), np.uint8),
        np.arange(count) % CLASSES,
        np.ones(count, np.float32),
        np.array([b"%d" % i for i in range(count)]),
    )


def fit(gan: GAN, batches: tf.data.Dataset, per_call: int, steps: int) -> None:
    """So many steps, a multiple of `per_call`."""
    gan.fit(batches, epochs=steps // per_call, steps_per_epoch=per_call, shuffle=False, verbose=0)
    gan.step.numpy()


def parameters(gan: GAN) -> list[int]:
    """Trainable parameters of generator and discriminator."""
    return [
        sum(int(np.prod(weight.shape)) for weight in network.trainable_variables)
        for network in (gan.generator, gan.discriminator)
    ]


def main() -> None:
    """Measures with real input; with `"constant": true` with one batch over and over."""
    setting = json.loads(sys.argv[1])
    tf.config.threading.set_intra_op_parallelism_threads(setting["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(setting["threads"])
    warnings.filterwarnings("ignore", "Your input ran out of data", module="keras")
    options = GANOptions(**setting["gan"])
    data = examples(4096, setting["image_shape"])
    gan = build_gan(options, data, [str(label) for label in range(CLASSES)], {}, seed=0)
    batches = data.batches(options.batch_size, seed=0, at_once=options.discriminator_steps)
    if setting.get("constant"):
        batches = batches.take(1).cache().repeat()
    per_call = steps_per_call(options.steps)
    serve(lambda steps: fit(gan, batches, per_call, steps), {"parameters": parameters(gan)})


if __name__ == "__main__":
    main()
