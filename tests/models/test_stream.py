"""Data that do not fit into memory: the same examples, in an order that is as random and can be taken up anywhere."""

import dataclasses

import numpy as np
import pytest

from models import data, samples, stream
from models.errors import UserError
from models.stream import Stream, training_data


@pytest.fixture
def numbered(make, digits):
    """50 examples whose weights number them, two without a label, a third of the pixels missing."""
    masks = (np.random.default_rng(0).random((50, 8, 8, 1)) > 0.3).astype(np.uint8)
    images, labels = digits.train.images[:50] * masks, digits.train.labels[:50].copy()
    labels[[7, 31]] = -1
    examples = make.examples_of(images, labels)
    return dataclasses.replace(examples, weights=np.arange(50, dtype=np.float32), masks=masks)


@pytest.fixture
def files(make, numbered, tmp_path):
    return make.write_split(tmp_path / "split", numbered, shards=4), make.info_of(numbered)


def streamed(files, missing="mask"):
    found = training_data(*files, cache_megabytes=0, missing=missing)
    assert isinstance(found, Stream)
    return found


def taken(examples, size, seed, count, skip=0):
    return [{k: np.asarray(v) for k, v in batch.items()} for batch in examples.batches(size, seed, skip).take(count)]


def numbers(batches):
    return np.concatenate([batch["weight"] for batch in batches]).astype(int).tolist()


def test_what_fits_is_held_in_memory(files):
    assert isinstance(training_data(*files, cache_megabytes=1, missing="mask"), data.Examples)


def test_the_limit_counts_images_and_masks(make, digits, tmp_path):
    # 64 bytes an image, and as many a mask.
    rows = np.resize(np.arange(100), 2**20 // 64)
    info = make.info_of(digits.train[rows]).model_copy(update={"has_masks": True})
    pattern = make.write_split(tmp_path / "split", dataclasses.replace(digits.train[:3], masks=digits.train.images[:3]))
    assert isinstance(training_data(pattern, info, 1, "interpolate"), data.Examples)
    assert isinstance(training_data(pattern, info, 1, "mask"), Stream)
    assert isinstance(training_data(pattern, info, 2, "mask"), data.Examples)


@pytest.mark.parametrize("missing", ["mask", "interpolate"])
def test_a_stream_knows_and_yields_what_memory_holds(files, missing):
    held, flowing = data.read(*files, missing), streamed(files, missing)
    for fact in ("count", "unlabelled", "image_shape", "has_masks"):
        assert getattr(flowing, fact) == getattr(held, fact)
    assert flowing.counts(10) == held.counts(10) and held.has_masks == (missing == "mask")
    (one,), (other,) = taken(held, 50, 0, 1), taken(flowing, 50, 0, 1)
    assert one.keys() == other.keys() and ("mask" in one) == (missing == "mask")
    order, other_order = np.argsort(one["weight"]), np.argsort(other["weight"])
    for name, column in one.items():
        assert column.dtype == other[name].dtype
        np.testing.assert_array_equal(column[order], other[name][other_order])


def test_masks_and_images_are_those_that_were_written(files, numbered):
    (batch,) = taken(streamed(files), 50, 0, 1)
    rows = batch["weight"].astype(int)
    np.testing.assert_array_equal(batch["mask"], numbered.masks[rows].astype(np.float32))
    np.testing.assert_array_equal(data.to_uint8(batch["image"]), numbered.images[rows])
    np.testing.assert_array_equal(batch["label"], numbered.labels[rows])


def test_an_epoch_sees_every_example_once_in_another_order_each_time(files, monkeypatch):
    monkeypatch.setattr(stream, "_BLOCK_RECORDS", (8, 8))
    monkeypatch.setattr(stream, "_FROM_EACH", 2)
    seen = numbers(taken(streamed(files), 10, seed=0, count=10))
    first, second = seen[:50], seen[50:]
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second and first != sorted(first)
    # A block takes from all four files.
    assert {n // 13 for n in first[:8]} == {n // 13 for n in second[:8]} == {0, 1, 2, 3}


def test_blocks_are_shuffled_each_in_its_own_way(files, monkeypatch):
    monkeypatch.setattr(stream, "_BLOCK_RECORDS", (10, 10))
    monkeypatch.setattr(stream, "_shuffle", lambda values, seeds, block: values)
    unshuffled = numbers(taken(streamed(files), 10, seed=0, count=5))
    monkeypatch.undo()
    monkeypatch.setattr(stream, "_BLOCK_RECORDS", (50, 50))
    whole = numbers(taken(streamed(files), 50, seed=0, count=1))
    assert unshuffled != whole and sorted(unshuffled) == sorted(whole)


@pytest.mark.parametrize("skip", [1, 4, 5, 13])
def test_skipped_steps_are_just_those(files, skip, monkeypatch):
    monkeypatch.setattr(stream, "_BLOCK_RECORDS", (8, 8))
    whole, rest = taken(streamed(files), 12, 1, 16)[skip:], taken(streamed(files), 12, 1, 16 - skip, skip)
    for one, other in zip(whole, rest, strict=True):
        for name, column in one.items():
            np.testing.assert_array_equal(column, other[name])


def test_some_of_each_class_are_at_hand_whole(files, monkeypatch):
    """Read a few at a time, until enough have been looked through; missing pixels are filled in."""
    monkeypatch.setattr(samples, "AT_ONCE", 7)
    monkeypatch.setattr(samples, "_OF_A_CLASS", 2)
    found = samples.at_hand(streamed(files), seed=0)
    counts, all_counts = found.counts(10), streamed(files).counts(10)
    assert all(0 < few <= 2 for few, many in zip(counts, all_counts, strict=True) if many > 3)
    assert found.masks is None and found.images.dtype == np.uint8
    filled = {image.tobytes() for image in data.read(*files).images}
    assert {image.tobytes() for image in found.images} <= filled


def test_those_without_a_label_can_be_passed_over(files):
    labelled = streamed(files).labelled()
    assert (labelled.count, labelled.unlabelled, labelled.counts(10)) == (48, 0, streamed(files).counts(10))
    batches = taken(labelled, 8, seed=0, count=6)
    assert sorted(numbers(batches)) == [row for row in range(50) if row not in (7, 31)]
    assert min(np.concatenate([batch["label"] for batch in batches])) >= 0


def test_the_seed_decides_the_order(files):
    assert numbers(taken(streamed(files), 10, 1, 5)) == numbers(taken(streamed(files), 10, 1, 5))
    assert numbers(taken(streamed(files), 10, 1, 5)) != numbers(taken(streamed(files), 10, 2, 5))


def test_a_fingerprint_sees_files_and_masks(files, make, numbered, tmp_path):
    other = dataclasses.replace(numbered, weights=numbered.weights + 1)
    changed = make.write_split(tmp_path / "other", other, shards=4), files[1]
    digests = [
        streamed(files).fingerprint(),
        streamed(changed).fingerprint(),
        streamed(files, "interpolate").fingerprint(),
    ]
    assert len(set(digests)) == 3 and streamed(files).fingerprint() == digests[0]


def test_faults_are_told(files, make, tmp_path):
    with pytest.raises(UserError, match="a batch of 51 images is larger than the 50"):
        streamed(files).batches(51, 0)
    with pytest.raises(ValueError, match="no file matches"):
        training_data(f"{tmp_path}/nothing/*", files[1], 0)
    with pytest.raises(ValueError, match=r"labels reach from -1 to 0, but the 10 classes have 0\.\.9"):
        training_data(files[0], files[1].model_copy(update={"unlabelled": 0}), 0)
