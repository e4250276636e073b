"""Networks of features by name, what they see, and how well they tell classes apart."""

import keras
import numpy as np
import pytest
from keras.applications.inception_v3 import preprocess_input
from PIL import Image
from pydantic import ValidationError

from components import examples
from components.evaluator import inception
from components.evaluator.features import EyesAt, nearest_neighbour_accuracy
from components.evaluator.features_options import FeaturesOptions, check_weights
from components.evaluator.judge import Judge
from components.evaluator.pixels import Pixels, read_axes, some_training_images, to_arrays
from metrics import pixels
from models.dataset import DatasetInfo
from models.errors import UserError


@pytest.fixture(scope="module")
def axes(digits, tmp_path_factory):
    info = DatasetInfo.load(str(digits.examples))
    path = tmp_path_factory.mktemp("axes") / "axes.npz"
    images = some_training_images(examples.shards(str(digits.examples), "train"), info, 0)
    np.savez(path, **to_arrays(pixels.fit(images)))
    return path


@pytest.fixture(scope="module")
def images(digit_parts):
    return np.concatenate(digit_parts["eval"])[::11]


@pytest.fixture(scope="module")
def network():
    """Inception v3 with its classifier and weights of no meaning, in which no layer's output dies away."""
    keras.utils.set_random_seed(0)
    return keras.applications.InceptionV3(weights=None)


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.weights.h5"
    network.save_weights(path)
    return str(path)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(ValidationError, match="'judge', 'inception' or 'pixels'"):
        FeaturesOptions(network="resnet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "inception"}, "needs either `weights`, a file, or `download: true`"),
        ({"network": "inception", "weights": "x.h5", "download": True}, "needs either"),
        ({"weights": "x.h5"}, "are for `network: inception`, not `judge`"),
        ({"network": "pixels", "download": True}, "are for `network: inception`, not `pixels`"),
    ],
)
def test_weights_are_those_of_inception(options, message):
    with pytest.raises(ValidationError, match=message):
        FeaturesOptions(**options)


@pytest.mark.parametrize("name", ["judge", "pixels"])
def test_features_are_those_of_the_network_named_and_labels_always_the_judges(digits, axes, images, name):
    eyes = EyesAt(str(digits.judge), str(axes), FeaturesOptions(network=name)).load()
    seen = eyes.look(images)
    judge, components = Judge(str(digits.judge)), Pixels(read_axes(axes))
    features, probabilities = judge.look(images)
    np.testing.assert_array_equal(seen["features"], features if name == "judge" else components(images))
    np.testing.assert_array_equal(seen["probabilities"], probabilities)
    np.testing.assert_array_equal(seen["pixels"], components(images))
    assert (eyes.network.name, eyes.network.dimensions) == (name, seen["features"].shape[1])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_judges_fingerprint_is_that_of_its_weights(digits, tmp_path):
    import shutil

    import tensorflow as tf

    first = Judge(str(digits.judge))
    shutil.copytree(digits.judge, tmp_path / "copy")
    assert Judge(str(tmp_path / "copy")).fingerprint == first.fingerprint == Judge(str(digits.judge)).fingerprint
    model = tf.saved_model.load(str(digits.judge))
    variable = model.signatures["serving_default"].variables[0]
    variable.assign_add(tf.ones_like(variable) * 1e-3)
    tf.saved_model.save(model, str(tmp_path / "other"), signatures=model.signatures)
    assert Judge(str(tmp_path / "other")).fingerprint != first.fingerprint


def test_no_judge_is_told(tmp_path):
    with pytest.raises(UserError, match="holds no judge"):
        Judge(str(tmp_path))


@pytest.mark.parametrize("shape", [(40, 60, 3), (640, 400, 3), (28, 28, 1)])
def test_images_are_prepared_as_pillow_and_keras_prepare_them(shape):
    """Within one level of 255 (measured: 0.9998, mean 0.30), because Pillow rounds along rows and along columns."""
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pillow = Image.fromarray(image.squeeze()).convert("RGB").resize((299, 299), Image.Resampling.BILINEAR)
    expected = preprocess_input(np.asarray(pillow, np.float32))
    found = inception.preprocess(image[np.newaxis]).numpy()[0]
    assert found.shape == (299, 299, 3)
    levels = 127.5 * np.abs(found - expected)
    assert levels.max() < 1.01 and levels.mean() < 0.31
    flat = np.full((1, *shape), 255, np.uint8)
    np.testing.assert_allclose(inception.preprocess(flat), 1, atol=1e-5)


@pytest.fixture(scope="module")
def expected(network):
    """Features of a network that was built apart: the last mixed block, and its mean over places."""
    last = keras.Model(network.input, network.get_layer("mixed10").output)

    def features(images):
        return last(inception.preprocess(images), training=False).numpy().mean(axis=(1, 2))

    return features


def test_inception_features_are_the_mean_over_places_of_its_last_block(weights, expected, images):
    eyes = inception.Inception(weights)
    found = eyes(images[:3])
    assert found.shape == (3, eyes.dimensions) == (3, 2048) and found.dtype == np.float32
    reference = expected(images[:3])
    assert np.abs(reference).max() > 0
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-5 * np.abs(reference).max())


def test_weights_without_the_classifier_are_taken_as_well(weights, network, images, tmp_path):
    bare = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(299, 299, 3))
    bare.set_weights(network.get_weights()[:-2])
    bare.save_weights(tmp_path / "bare.weights.h5")
    found, whole = inception.Inception(str(tmp_path / "bare.weights.h5")), inception.Inception(weights)
    assert found.fingerprint == whole.fingerprint
    np.testing.assert_allclose(found(images[:1]), whole(images[:1]), rtol=1e-5)


def test_a_missing_file_and_one_that_is_none_of_keras_are_told(tmp_path):
    for name, content, message in (
        ("absent.h5", None, r"`gate\.features\.weights`: .*absent\.h5 cannot be read: No such file"),
        ("weights.npz", b"x", r"weights\.npz does not end in \.h5"),
        ("text.h5", b"no weights", r"text\.h5 is no HDF5 file"),
    ):
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            check_weights(str(tmp_path / name))


def test_weights_of_another_network_are_told(tmp_path):
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(UserError, match=r"other\.weights\.h5 does not fit Inception v3 of Keras: "):
        inception.Inception(str(tmp_path / "other.weights.h5"))


def test_axes_are_found_on_labelled_training_images_alone(digits, digit_parts):
    info = DatasetInfo.load(str(digits.examples))
    images = some_training_images(examples.shards(str(digits.examples), "train"), info, 0)
    assert {image.tobytes() for image in images} == {i.tobytes() for part in digit_parts["train"] for i in part}


def test_at_most_so_many_images_are_drawn_by_seed(digits, monkeypatch):
    monkeypatch.setattr("components.evaluator.pixels.MOST_IMAGES", 40)
    info = DatasetInfo.load(str(digits.examples))
    first, again, other = (
        some_training_images(examples.shards(str(digits.examples), "train"), info, seed) for seed in (0, 0, 1)
    )
    assert len(first) == 40 and first.tobytes() == again.tobytes() != other.tobytes()


def test_the_nearest_neighbour_is_another_image():
    labels = np.array([0, 0, 0, 1, 1, 2])
    apart = np.array([[0.0], [1], [2], [10], [11], [20]])
    assert nearest_neighbour_accuracy(apart, labels) == 1  # one image of a class has no other
    mixed = np.array([[0.0], [1], [9.9], [10], [11], [20]])
    assert nearest_neighbour_accuracy(mixed, labels) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert nearest_neighbour_accuracy(apart, np.arange(6)) is None


def test_classes_count_alike_and_tiles_agree_with_all_at_once():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [2000, 500, 30])
    features = rng.normal(size=(len(labels), 3)) + labels[:, None] * 0.7
    distances = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    right = labels[distances.argmin(axis=1)] == labels
    assert nearest_neighbour_accuracy(features, labels) == pytest.approx(
        np.mean([right[labels == k].mean() for k in range(3)])
    )
