"""From files to batches."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models import data
from models.errors import UserError


@pytest.fixture
def small(make, digits):
    rows = slice(0, 25)
    weights = np.linspace(0.5, 2, 25, dtype=np.float32)
    return dataclasses.replace(make.examples_of(digits.train.images[rows], digits.train.labels[rows]), weights=weights)


def batches(examples, size, seed, count, skip=0):
    taken = examples.batches(size, seed, skip).take(count)
    return [tuple(np.asarray(batch[name]) for name in ("image", "label", "weight")) for batch in taken]


def test_reading_returns_what_was_written_in_order(make, small, tmp_path):
    pattern = make.write_split(tmp_path / "split", small, shards=3)
    again = data.read([pattern], make.info_of(small))
    for field in ("images", "labels", "weights", "ids"):
        np.testing.assert_array_equal(getattr(again, field), getattr(small, field))
    assert again.images.dtype == np.uint8 and again.labels.dtype == np.int64 and again.weights.dtype == np.float32
    assert again.masks is None and again.fingerprint() == small.fingerprint()


def test_a_missing_weight_is_one(make, small, tmp_path):
    pattern = make.write_split(tmp_path / "split", small, weighted=False)
    np.testing.assert_array_equal(data.read(pattern, make.info_of(small)).weights, 1)


def test_read_images_gives_images_labels_and_ids(make, small, tmp_path):
    images, labels, ids = data.read_images(make.write_split(tmp_path / "split", small), make.info_of(small))
    np.testing.assert_array_equal(images, small.images)
    np.testing.assert_array_equal(labels, small.labels)
    assert ids.tolist() == small.ids.tolist()


def test_faults_are_told(make, small, tmp_path):
    with pytest.raises(ValueError, match=r"no file matches .*nothing"):
        data.read(f"{tmp_path}/nothing/*", make.info_of(small))
    empty = make.examples_of(small.images[:0], small.labels[:0])
    with pytest.raises(ValueError, match="no examples in the files"):
        data.read(make.write_split(tmp_path / "empty", empty), make.info_of(small))
    pattern = make.write_split(tmp_path / "labels", dataclasses.replace(small, labels=small.labels + 9))
    with pytest.raises(ValueError, match=r"labels reach from 9 to 9, but the 1 classes have 0\.\.0"):
        data.read(pattern, make.info_of(make.examples_of(small.images, small.labels), classes="a"))


def test_an_image_of_another_size_is_refused(make, small, tmp_path):
    pattern = make.write_split(tmp_path / "split", small)
    info = make.info_of(small).model_copy(update={"image_shape": (16, 16, 1)})
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[8,8,1\]"):
        data.read(pattern, info)


def test_floats_reach_from_minus_one_to_one_and_come_back():
    levels = np.arange(256, dtype=np.uint8)
    floats = data.to_float(levels).numpy()
    assert (floats[0], floats[-1], floats.dtype) == (-1, 1, np.float32)
    np.testing.assert_array_equal(data.to_uint8(floats), levels)
    np.testing.assert_array_equal(data.to_uint8(np.float32([-1.5, 1.5])), [0, 255])


def test_an_epoch_sees_every_example_once_in_another_order_each_time(small):
    numbered = dataclasses.replace(small, weights=np.arange(25, dtype=np.float32))
    seen = np.concatenate([weights for _, _, weights in batches(numbered, 10, seed=0, count=5)])
    first, second = seen[:25], seen[25:]
    assert sorted(first) == sorted(second) == list(range(25))
    assert list(first) != list(second) and list(first) != sorted(first)


def test_images_labels_and_weights_stay_together(small):
    rows = {small.images[i].tobytes(): (small.labels[i], small.weights[i]) for i in range(25)}
    for images, labels, weights in batches(small, 8, seed=3, count=4):
        assert images.dtype == np.float32
        for image, label, weight in zip(data.to_uint8(images).numpy(), labels, weights, strict=True):
            assert rows[image.tobytes()] == (label, weight)


def test_equal_seeds_give_equal_batches(small):
    for one, other in zip(batches(small, 8, 1, 6), batches(small, 8, 1, 6), strict=True):
        assert all(map(np.array_equal, one, other))
    assert any(
        not np.array_equal(a[0], b[0]) for a, b in zip(batches(small, 8, 1, 2), batches(small, 8, 2, 2), strict=True)
    )


@pytest.mark.parametrize("skip", [1, 3, 4, 7])
def test_skipped_steps_are_just_those(small, skip):
    for one, other in zip(batches(small, 8, 1, 10)[skip:], batches(small, 8, 1, 10 - skip, skip), strict=True):
        assert all(map(np.array_equal, one, other))


def test_a_batch_larger_than_the_data_is_refused(small):
    with pytest.raises(UserError, match=r"`gan.batch_size`: a batch of 26 images is larger than the 25 there are"):
        small.batches(26, seed=0)
    assert batches(small, 25, seed=0, count=1)[0][1].shape == (25,)


def test_batches_of_one_step_come_at_once(small):
    (both,), parts = small.batches(20, 1, 1, at_once=2).take(1), list(small.batches(20, 1, 2).take(2))
    for name, column in both.items():
        np.testing.assert_array_equal(column, np.concatenate([part[name] for part in parts]))


def test_images_without_a_label_are_told_apart(small):
    labels = small.labels.copy()
    labels[3:7] = -1
    examples = dataclasses.replace(small, labels=labels)
    assert (examples.count, examples.unlabelled, small.unlabelled) == (25, 4, 0)
    assert sum(examples.counts(10)) == 21 and len(examples.counts(10)) == 10
    kept = examples.labelled()
    assert kept.ids.tolist() == np.delete(small.ids, slice(3, 7)).tolist() and kept.images.shape == (21, 8, 8, 1)
    seen = np.concatenate([label for _, label, _ in batches(examples, 25, 0, 1)])
    assert sorted(seen) == sorted(labels)


def test_a_fingerprint_sees_every_part(small):
    changed = [
        dataclasses.replace(small, images=small.images[::-1]),
        dataclasses.replace(small, labels=small.labels + 1),
        dataclasses.replace(small, weights=small.weights * 2),
        dataclasses.replace(small, masks=np.ones((25, 8, 8, 1), np.uint8)),
    ]
    assert len({examples.fingerprint() for examples in (small, *changed)}) == 5
