"""Looking at images by Beam: the same figures to the last bit, however many work on it."""

from itertools import chain

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from components import examples
from components.evaluator import looking
from components.evaluator.features import EyesAt
from components.evaluator.features_options import FeaturesOptions
from components.evaluator.pixels import some_training_images, to_arrays
from components.evaluator.sources import SourceAt
from metrics import pixels
from models.dataset import DatasetInfo
from models.errors import UserError


def pipeline(mode="in_memory", workers=1):
    args = ["--runner=DirectRunner", f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
    return lambda: beam.Pipeline(options=PipelineOptions(args))


@pytest.fixture(scope="module")
def info(digits):
    return DatasetInfo.load(str(digits.examples))


@pytest.fixture(scope="module")
def eyes(digits, info, tmp_path_factory):
    images = some_training_images(examples.shards(str(digits.examples), "train"), info, 0)
    path = tmp_path_factory.mktemp("axes") / "axes.npz"
    np.savez(path, **to_arrays(pixels.fit(images)))
    return EyesAt(str(digits.judge), str(path), FeaturesOptions())


@pytest.fixture(scope="module")
def source(exports, digit_parts, info, tmp_path_factory):
    path = exports.table(tmp_path_factory.mktemp("table") / "model", digit_parts["unseen"], info.classes)
    return SourceAt(str(path), info.classes, info.image_shape)


@pytest.fixture(scope="module")
def batches(digits, info, source):
    labels = np.repeat(np.arange(10), 70)
    return {
        "made": looking.made_batches("made", source, labels, np.arange(len(labels))),
        "eval": looking.real_batches("eval", examples.shards(str(digits.examples), "eval"), info),
        "train": looking.real_batches("train", examples.shards(str(digits.examples), "train"), info, True),
    }


def seen(make_pipeline, batches, eyes, directory):
    looking.look(make_pipeline, [*chain(*batches.values())], eyes, directory)
    return {name: looking.gather(directory, own) for name, own in batches.items()}


@pytest.fixture(scope="module")
def one(batches, eyes, tmp_path_factory):
    return seen(pipeline(), batches, eyes, tmp_path_factory.mktemp("one"))


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].keys() == b[name].keys()
        for key in a[name]:
            assert a[name][key].dtype == b[name][key].dtype and a[name][key].tobytes() == b[name][key].tobytes()


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading"])
def test_four_workers_see_what_one_sees_to_the_last_bit(one, batches, eyes, tmp_path, mode):
    assert_equal(seen(pipeline(mode, 4), batches, eyes, tmp_path), one)


@pytest.mark.e2e
def test_four_processes_see_what_one_sees_to_the_last_bit(one, batches, eyes, tmp_path):
    assert_equal(seen(pipeline("multi_processing", 4), batches, eyes, tmp_path), one)


def test_the_order_of_the_batches_means_nothing(one, batches, eyes, tmp_path):
    backwards = {name: own[::-1] for name, own in reversed(batches.items())}
    looking.look(pipeline(), [*chain(*backwards.values())], eyes, tmp_path)
    assert_equal({name: looking.gather(tmp_path, own) for name, own in batches.items()}, one)


def test_generated_images_are_seen_in_the_order_in_which_they_were_asked_for(one, batches, eyes, source):
    made = one["made"]
    assert made["labels"].tolist() == np.repeat(np.arange(10), 70).tolist()
    for row in (0, 255, 256, 699):  # of the first, the last and the next batch
        image = source.load().images(made["labels"][[row]], np.array([row]))
        alone = eyes.load().look(image)
        for name, values in alone.items():
            np.testing.assert_allclose(made[name][row], values[0], atol=1e-4)
    assert {array.dtype.name for name, array in made.items() if name != "labels"} == {"float32"}


def test_real_images_come_in_the_order_of_their_ids_whatever_their_shards(one, digit_parts, eyes):
    real = looking.by_id(one["eval"])
    assert (real["ids"][:-1] < real["ids"][1:]).all() and len(real["ids"]) == 580
    assert np.bincount(real["labels"]).tolist() == [58] * 10
    alone = eyes.load().look(np.concatenate(digit_parts["eval"]))
    for name in ("features", "probabilities", "pixels"):
        np.testing.assert_allclose(real[name].sum(axis=0), alone[name].sum(axis=0), rtol=1e-3, atol=1e-2)


def test_of_training_images_only_pixels_are_wanted(one):
    assert set(one["train"]) == {"labels", "ids", "pixels"}


def test_an_empty_shard_and_images_without_a_class_are_passed_over(digits, write, eyes, tmp_path):
    from components.example_gen.images import encode_png

    image = np.full((8, 8, 1), 7, np.uint8)
    write(tmp_path / "few", {"train": [image[None]], "eval": [image[None]]}, ["one"], shards=3)  # two are empty
    with examples.writer(examples.shards(str(tmp_path / "few"), "train")[1]) as out:
        out.write(examples.serialize(encode_png(image), -1, b"unlabelled"))
    info = DatasetInfo.load(str(tmp_path / "few")).model_copy(update={"unlabelled": 1})
    (tmp_path / "out").mkdir()
    batches = looking.real_batches("train", examples.shards(str(tmp_path / "few"), "train"), info)
    looking.look(pipeline(), batches, eyes, tmp_path / "out")
    found = looking.gather(tmp_path / "out", batches)
    assert found["labels"].tolist() == [0] and found["features"].shape[0] == 1


def test_a_fault_of_the_source_is_told_in_its_own_words(exports, info, eyes, tmp_path):
    import tensorflow as tf

    def fails(label, seed):
        return {"image_bytes": tf.fill(tf.shape(label), "x"), "status": tf.strings.as_string(seed)}

    path = exports.function(tmp_path / "model", fails, info.classes)
    source = SourceAt(str(path), info.classes, info.image_shape)
    batches = looking.made_batches("made", source, np.zeros(600, np.int64), np.arange(600))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"its status was `0`, not `ok`$"):
        looking.look(pipeline(), batches, eyes, tmp_path / "out")
