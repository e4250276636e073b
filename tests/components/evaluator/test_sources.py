"""What can be judged: exported generators and folders of images, and what is said of those that cannot."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.evaluator.sources import FolderOfImages, OtherClasses, SourceAt
from components.example_gen.images import ingest
from components.example_gen.options import DataOptions
from models.errors import UserError

CLASSES = ("a", "b", "c")
SHAPE = (8, 8, 1)
DATA = DataOptions(source="image_folder", root="elsewhere", image_size=8, channels=1)


def images(count, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def generator(path, shape=SHAPE, classes=CLASSES):
    return SourceAt(str(path), classes, shape)


@pytest.fixture
def table(tmp_path, exports):
    """Exports a generator of five images a class; of class k those of seed k."""

    def make(classes=CLASSES, count=3, shape=SHAPE):
        return exports.table(tmp_path / "model", [images(5, k, shape) for k in range(count)], classes)

    return make


def test_an_exported_generator_gives_the_image_of_label_and_seed(table):
    source = generator(table()).load()
    labels, seeds = np.array([2, 0, 1] * 200), np.arange(600)
    made = source.images(labels, seeds)
    assert made.dtype == np.uint8
    expected = [images(5, label)[seed % 5] for label, seed in zip(labels, seeds, strict=True)]
    np.testing.assert_array_equal(made, expected)
    assert source.available(0) is None and source.remarks == [] and len(source.fingerprint) == 64


def test_classes_in_another_order_are_found_by_name(table):
    source = generator(table(classes=("c", "a", "b"))).load()
    np.testing.assert_array_equal(source.images(np.array([0, 1, 2]), np.zeros(3, np.int64))[0], images(5, 1)[0])
    assert source.classes == CLASSES


def test_other_classes_are_named(table):
    with pytest.raises(OtherClasses, match=r"other classes than the data: it lacks `b` and it has `x`, `y` besides"):
        generator(table(classes=("x", "a", "c", "y"), count=4)).load()


def test_a_model_that_does_not_name_its_classes_is_taken_at_its_labels_and_that_is_said(table):
    path = table(classes=None)
    source = generator(path).load()
    np.testing.assert_array_equal(source.images(np.array([1]), np.array([3]))[0], images(5, 1)[3])
    assert "does not name its classes; they were taken to be `a`, `b`, `c`" in source.remarks[0]


def test_a_model_says_that_its_images_are_of_another_size(table):
    path = table(shape=(8, 8, 3))
    with pytest.raises(UserError, match=r"makes images of 8 x 8 x 3 .*; those of the data are 8 x 8 x 1"):
        generator(path).load()


def test_a_model_that_gives_another_size_is_caught_at_its_word(table):
    """Grey against colour: decoding alone would have made one of the other."""
    source = generator(table(classes=None), shape=(8, 8, 3)).load()
    with pytest.raises(UserError, match=r"`a` and seed 4 it gave an image of 8 x 8 x 1 .*; those .* are 8 x 8 x 3"):
        source.images(np.array([0]), np.array([4]))


def test_no_model_and_one_without_the_signature(tmp_path):
    with pytest.raises(UserError, match="absent holds no generator"):
        generator(tmp_path / "absent").load()
    module = tf.Module()
    module.f = tf.function(lambda label: {"image_bytes": label}, input_signature=[tf.TensorSpec([None], tf.int64)])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.f})
    with pytest.raises(UserError, match="no signature `serving_default` from label and seed to image_bytes and status"):
        generator(tmp_path / "model").load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"tailgan.json is damaged \(Expecting"),
        ("[]", "tailgan.json is damaged"),
        ('{"classes": 3, "image_shape": [8, 8, 1]}', "tailgan.json is damaged"),
        ('{"image_shape": [8, 8, 1]}', "tailgan.json does not say its 'classes'"),
        ('{"classes": ["a", "b", "c"]}', "tailgan.json does not say its 'image_shape'"),
    ],
)
def test_a_damaged_description_is_told(table, content, message):
    path = table()
    (path / "assets.extra" / "tailgan.json").write_text(content)
    with pytest.raises(UserError, match=f"holds no generator: its assets.extra/{message}"):
        generator(path).load()


def test_a_description_without_a_fingerprint_is_enough(table):
    path = table()
    (path / "assets.extra" / "tailgan.json").write_text('{"classes": ["a", "b", "c"], "image_shape": [8, 8, 1]}')
    assert len(generator(path).load().fingerprint) == 64


@pytest.mark.parametrize(
    "file", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_a_damaged_model_is_told(table, file):
    path = table()
    (path / file).write_bytes((path / file).read_bytes()[:20])
    with pytest.raises(UserError, match="model holds no generator: "):
        generator(path).load()


def png(label):
    return tf.fill(tf.shape(label), tf.io.encode_png(images(1)[0]))


def ok(label):
    return tf.fill(tf.shape(label), "ok")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda label, seed: {"image_bytes": png(label)[:-1], "status": ok(label)},
            r"asked for 3 images, it gave `image_bytes` as string of shape \(2,\); it must be string of shape \(3,\)",
        ),
        (
            lambda label, seed: {"image_bytes": tf.zeros([tf.size(label), 8, 8, 1]), "status": ok(label)},
            r"gave `image_bytes` as float32 of shape \(3, 8, 8, 1\); it must be string",
        ),
        (
            lambda label, seed: {"image_bytes": png(label), "status": tf.where(seed == 1, "busy", "ok")},
            r"for class `b` and seed 1 its status was `busy`, not `ok`",
        ),
        (
            lambda label, seed: {"image_bytes": tf.fill(tf.shape(label), "abc"), "status": ok(label)},
            r"for class `a` and seed 0 it gave 3 bytes, no PNG",
        ),
        (
            lambda label, seed: {"image_bytes": tf.gather(png(label), seed + 9), "status": ok(label)},
            r"fails when it is called: ",
        ),
    ],
    ids=["count", "floats", "status", "no PNG", "fails"],
)
def test_what_a_model_gives_instead_is_said(tmp_path, exports, function, message):
    source = generator(exports.function(tmp_path / "model", function, CLASSES)).load()
    with pytest.raises(UserError, match=message):
        source.images(np.arange(3), np.arange(3))


@pytest.fixture
def folder(tmp_path):
    """Three classes of 4 to 6 images of the data's own kind."""
    for k, name in enumerate(CLASSES):
        (tmp_path / "made" / name).mkdir(parents=True)
        for i, image in enumerate(images(4 + k, k)):
            Image.fromarray(image[:, :, 0]).save(tmp_path / "made" / name / f"{i}.png")
    return tmp_path / "made"


def opened(folder, data=DATA, classes=CLASSES):
    return SourceAt(str(folder), classes, (*data.image_size, data.channels), data).load()


def test_a_folder_gives_its_images_in_the_order_of_their_paths(folder):
    source = opened(folder)
    assert [source.available(label) for label in range(3)] == [4, 5, 6]
    labels, places = np.array([2, 0, 2, 2]), np.array([5, 3, 0, 5])
    expected = [images(6, 2)[5], images(4, 0)[3], images(6, 2)[0], images(6, 2)[5]]
    np.testing.assert_array_equal(source.images(labels, places), expected)
    assert source.remarks == []


def test_its_fingerprint_changes_with_the_images(folder):
    before = opened(folder).fingerprint
    assert opened(folder).fingerprint == before
    (folder / "a" / "9.png").write_bytes((folder / "a" / "0.png").read_bytes())
    assert opened(folder).fingerprint != before


def test_images_of_another_kind_are_brought_to_the_datas_as_ingest_does_and_that_is_said(folder):
    pixels = images(2, 9, (20, 12, 3))
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / "b" / f"0{i}.bmp")
    source = opened(folder)
    found = source.images(np.array([1, 1]), np.array([1, 2]))  # 0.png, 00.bmp, 01.bmp, in the order of their names
    expected = [ingest((folder / "b" / f"0{i}.bmp").read_bytes(), DATA).pixels for i in range(2)]
    names = sorted(path.name for path in (folder / "b").iterdir())
    assert names[:3] == ["0.png", "00.bmp", "01.bmp"]
    np.testing.assert_array_equal(found, expected)


def test_colour_for_grey_data_is_converted_and_said(folder):
    for path in folder.rglob("*.png"):
        Image.fromarray(images(1, 0, (8, 8, 3))[0]).save(path)
    assert "brought to 8 x 8 pixels in grey as the data were (`resize: crop`)" in opened(folder).remarks[0]


def test_missing_pixels_are_filled_in(folder):
    data = DATA.model_copy(update={"missing_pixels": 0})
    image = np.full((8, 8), 200, np.uint8)
    image[2:4, 2:4] = 0
    Image.fromarray(image).save(folder / "a" / "0.png")
    np.testing.assert_array_equal(opened(folder, data).images(np.array([0]), np.array([0]))[0], 200)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("a", "b", "c", "d"), "it lacks `d`$"),
        (("a", "b"), "it has `c` besides$"),
        (tuple("abcdefghij"), "it lacks `d`, `e`, `f`, `g`, `h` and 2 more$"),
    ],
)
def test_missing_and_unknown_class_folders_are_named(folder, classes, message):
    with pytest.raises(OtherClasses, match=message):
        opened(folder, classes=classes)


def test_one_image_of_a_class_is_too_few(folder):
    for path in sorted((folder / "b").iterdir())[1:]:
        path.unlink()
    with pytest.raises(UserError, match="holds 1 image of class `b`; at least 2 are needed"):
        opened(folder)


def test_a_folder_that_is_not_there_or_empty(tmp_path):
    with pytest.raises(UserError, match=r"^there is no class folder in .*") as raised:
        opened(tmp_path)
    assert "data.root" not in str(raised.value)
    with pytest.raises(UserError, match=r"absent cannot be listed"):
        opened(tmp_path / "absent")


def test_an_image_that_cannot_be_read_is_named(folder):
    (folder / "c" / "3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"made/c/3\.png cannot be read: no image of a known kind"):
        opened(folder).images(np.full(6, 2), np.arange(6))


def test_decoders_end_with_the_source(folder):
    source = opened(folder)
    assert isinstance(source, FolderOfImages)
    source.images(np.array([0]), np.array([0]))
    (child,) = source._decoder._idle
    del source
    assert child._process.poll() is not None


def test_a_place_is_plain_data(folder):
    at = SourceAt(str(folder), CLASSES, SHAPE, DATA)
    assert hash(at) == hash(SourceAt(str(folder), CLASSES, SHAPE, DataOptions(**json.loads(DATA.model_dump_json()))))
