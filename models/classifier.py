"""A small convolutional classifier, and its training with a loss that suits classes of unequal size."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from models.callbacks import steps_per_call, steps_per_execution
from models.classifier_options import ClassifierOptions
from models.data import TrainingData, to_float, to_uint8
from models.missing import fill

MAX_GROWTH = 8  # channels are at most so many times `options.width`
INNERMOST = 4  # sides are halved while they are longer than this


def classifier(options: ClassifierOptions, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """images [n, H, W, C] float32 in [-1, 1] -> (logits [n, K], features [n, options.features]), float32.

    Features have mean 0 and mean square 1 in each image, so that kernel distances between them have one scale,
    whichever training made them.
    """
    image = keras.Input(image_shape, name="image")
    x, channels = image, options.width
    while True:
        for _ in range(2):
            x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        if min(x.shape[1:3]) <= INNERMOST:
            break
        x = layers.MaxPooling2D()(x)
        channels = min(2 * channels, MAX_GROWTH * options.width)
    x = layers.Dense(options.features)(layers.GlobalAveragePooling2D()(x))
    features = layers.LayerNormalization(epsilon=1e-6, center=False, scale=False, name="features")(x)
    logits = layers.Dense(classes, name="logits")(layers.Dropout(options.dropout)(features))
    return keras.Model(image, [logits, features], name="classifier")


def augmentation(options: ClassifierOptions) -> list[layers.Layer]:
    """Layers that shift and mirror images [n, H, W, C] at random, to be put before the network; for training only."""
    shift = layers.RandomTranslation(options.shift, options.shift, fill_mode="nearest")
    return ([shift] if options.shift else []) + ([layers.RandomFlip("horizontal")] if options.flip else [])


def balanced_softmax_loss(counts: Sequence[int]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Cross-entropy of softmax(logits + log n) (Ren et al. 2020, eq. 3).

    Trained with it on classes of unequal size, the plain logits suit classes of equal size.

    Args:
      counts: training images of each class, K of them.

    Returns:
      (labels int [n], logits [n, K]) -> losses [n]; the prior of a class without images is that of half an image.
    """
    log_prior = np.log(np.maximum(counts, 0.5)).astype(np.float32)

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return keras.losses.sparse_categorical_crossentropy(labels, logits + log_prior, from_logits=True)

    return loss


def train(
    options: ClassifierOptions,
    examples: TrainingData,
    classes: int,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.Model:
    """A trained network of `classifier`; equal arguments give equal weights.

    Args:
      options: network and training; each call of the graph makes `steps_per_call(options.steps)` steps.
      examples: what to train on, all of them labelled.
      classes: number of classes, K.
      seed: decides initial weights, order and augmentation.
      callbacks: see Keras; an epoch is a call of the graph.
    """
    keras.utils.set_random_seed(seed)
    network = classifier(options, examples.image_shape, classes)
    image = augmented = keras.Input(examples.image_shape)
    for layer in augmentation(options):
        augmented = layer(augmented)
    model = keras.Model(image, network(augmented)[0])
    per_call = steps_per_call(options.steps)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(options.learning_rate, options.steps)),
        balanced_softmax_loss(examples.counts(classes)),
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution(options.steps),
        jit_compile=False,
    )
    batches = examples.batches(min(options.batch_size, examples.count), seed)
    model.fit(
        batches.map(lambda batch: (_whole(batch), batch["label"])).take(options.steps),
        epochs=-(-options.steps // per_call),
        steps_per_epoch=per_call,
        shuffle=False,  # the batches are
        verbose=0,
        callbacks=list(callbacks),
    )
    return network


def _whole(batch: dict[str, tf.Tensor]) -> tf.Tensor:
    """Images of a batch, with missing pixels filled in."""
    return to_float(fill(to_uint8(batch["image"]), batch["mask"])) if "mask" in batch else batch["image"]
