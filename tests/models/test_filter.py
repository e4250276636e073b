"""The signature `filtered`: what is off-label does not leave the server.

The generator here is wrong about half of its images, and the helper reads every image right: the images of class k have
the grey level 60 k, those that are wrong 60 (k + 1 modulo K), and whether one is wrong is the sign of the first number
of its z. By that of the second, it is 8 levels lighter.
"""

import io
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.signatures import Filter, GeneratorModule

CLASSES = ("a", "b", "c", "d")
CANDIDATES = 6
SURE = 0.9  # of the helper, for whatever class it sees


class Erring(keras.layers.Layer):
    """(z [n, d], labels [n]) -> images [n, 4, 4, 1]."""

    def call(self, inputs):
        z, labels = inputs
        shown = tf.where(z[:, 0] < 0, (labels + 1) % len(CLASSES), labels)
        levels = (60 * tf.cast(shown, tf.float32) + 8 * tf.cast(z[:, 1] < 0, tf.float32)) / 127.5 - 1
        return tf.broadcast_to(levels[:, None, None, None], [tf.shape(labels)[0], 4, 4, 1])

    def compute_output_shape(self, input_shape):
        return (None, 4, 4, 1)


class Reading(keras.layers.Layer):
    """images [n, 4, 4, 1] -> logits [n, K], by which the class that is shown has the probability `SURE`."""

    def call(self, images):
        seen = tf.cast(tf.round((tf.reduce_mean(images, [1, 2, 3]) + 1) * 127.5 / 60), tf.int64)
        rest = (1 - SURE) / (len(CLASSES) - 1)
        return tf.math.log(tf.one_hot(seen, len(CLASSES), SURE, rest))

    def compute_output_shape(self, input_shape):
        return (None, len(CLASSES))


def module(threshold):
    z, label = keras.Input((3,)), keras.Input((), dtype="int64")
    image = keras.Input((4, 4, 1))
    helper = keras.Model(image, [Reading()(image), keras.layers.Flatten()(image)])
    return GeneratorModule(
        keras.Model([z, label], Erring()([z, label])), CLASSES, Filter(helper, CANDIDATES, threshold, 1.0)
    )


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    """Saves and loads a module of each threshold, and calls its `filtered`."""

    def load(threshold):
        path = str(tmp_path_factory.mktemp("filter"))
        own = module(threshold)
        tf.saved_model.save(own, path, signatures=own.functions())
        return tf.saved_model.load(path)

    models = {threshold: load(threshold) for threshold in (0.0, 0.5, 0.95)}

    def call(labels, seeds, threshold=0.5, signature="filtered"):
        function = models[threshold].signatures[signature]
        answer = function(label=tf.constant(labels, tf.int64), seed=tf.constant(seeds, tf.int64))
        return {name: column.numpy() for name, column in answer.items()}

    return call


@cache
def z_of(seed, candidate):
    return tf.random.stateless_normal([3], [seed, candidate], alg="philox").numpy()


def first_right(seed):
    """Candidate of a seed that is the first not to be wrong; `CANDIDATES` if all are."""
    return next((j for j in range(CANDIDATES) if z_of(seed, j)[0] >= 0), CANDIDATES)


def levels(answer):
    return [np.unique(np.asarray(Image.open(io.BytesIO(png)))).tolist() for png in answer["image_bytes"] if png]


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_only_images_of_the_label_leave_after_as_many_tries_as_it_takes(filtered, threshold):
    labels, seeds = np.arange(200) % 4, np.arange(200, 400)
    wrong = [level >= [60] for level in levels(filtered([0] * 200, seeds, signature="serving_default"))]
    assert 70 < sum(wrong) < 130
    answer = filtered(labels, seeds, threshold)
    turns = np.array([first_right(seed) for seed in seeds])
    passed = turns < CANDIDATES
    assert 0 < np.sum(~passed) < 20  # 200 / 2^6 are to be expected
    assert answer["tries"].tolist() == np.minimum(turns + 1, CANDIDATES).tolist()
    lighter = [8 if z_of(seed, turn)[1] < 0 else 0 for seed, turn in zip(seeds[passed], turns[passed], strict=True)]
    assert levels(answer) == [[60 * label + more] for label, more in zip(labels[passed], lighter, strict=True)]
    np.testing.assert_allclose(answer["score"], np.where(passed, SURE, 0), rtol=1e-5)
    refused = f"none of {CANDIDATES} images passed the filter".encode()
    assert answer["status"].tolist() == np.where(passed, b"ok", refused).tolist()
    assert [not png for png in answer["image_bytes"]] == (~passed).tolist()


def test_a_helper_that_is_not_sure_enough_lets_nothing_pass(filtered):
    answer = filtered([0, 1, 2], [0, 1, 2], threshold=0.95)
    assert set(answer["status"]) == {f"none of {CANDIDATES} images passed the filter".encode()}
    assert set(answer["image_bytes"]) == {b""}
    assert answer["score"].tolist() == [0] * 3 and answer["tries"].tolist() == [CANDIDATES] * 3


def test_the_first_candidate_is_the_image_of_serving_default(filtered):
    seeds = [seed for seed in range(40) if first_right(seed) == 0]
    answer = filtered([1] * len(seeds), seeds)
    assert answer["tries"].tolist() == [1] * len(seeds)
    plain = filtered([1] * len(seeds), seeds, signature="serving_default")
    assert answer["image_bytes"].tolist() == plain["image_bytes"].tolist()


def test_rounds_end_when_no_row_waits():
    """The network is called as often as the slowest row needs; unknown labels wait for nothing."""
    own = module(0.5)
    calls = []
    images = own._images

    def counted(z, label, status):
        tf.py_function(lambda: calls.append(1), [], [])
        return images(z, label, status)

    own._images = counted
    function = own.functions()["filtered"]
    seeds = next([seed, seed + 1] for seed in range(100) if (first_right(seed), first_right(seed + 1)) == (0, 2))
    function(tf.constant([1, 2], tf.int64), tf.constant(seeds, tf.int64))
    assert len(calls) == 3
    calls.clear()
    function(tf.constant([9, -1], tf.int64), tf.constant(seeds, tf.int64))
    assert not calls
