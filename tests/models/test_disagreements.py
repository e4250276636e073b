"""Images whose label a classifier doubts."""

import dataclasses
import doctest

import keras
import numpy as np
import pytest

from models import disagreements as module
from models.classifier_options import ClassifierOptions
from models.disagreements import Looks, disagreements, save
from models.judge import train


def test_the_most_doubted_comes_first():
    probabilities = np.array([[0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9], [0.2, 0.3, 0.5]], np.float32)
    found = disagreements(probabilities, np.array([1, 1, 0, 1]))
    assert found.rows.tolist() == [2, 3, 0] and found.predicted.tolist() == [2, 2, 0]
    np.testing.assert_allclose(found.probability, [0.9, 0.5, 0.5])
    np.testing.assert_allclose(found.own_probability, [0.0, 0.3, 0.4])
    assert doctest.testmod(module).failed == 0


def test_the_file_holds_the_most_doubted_and_counts_all(make, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHOWN", 2)
    # As they are read from files.
    examples = dataclasses.replace(digits.train[:4], ids=digits.train.ids[:4].astype(object))
    probabilities = np.full((4, 10), 0.05)
    probabilities[np.arange(4), (examples.labels + np.array([1, 0, 1, 1])) % 10] = [0.3, 0.5, 0.5, 0.4]
    save(tmp_path / "run", examples, disagreements(probabilities, examples.labels), 10)
    with np.load(tmp_path / "run" / "disagreements.npz") as file:
        np.testing.assert_array_equal(file["images"], examples.images[[2, 3]])
        assert file["ids"].tolist() == examples.ids[[2, 3]].tolist() and file["ids"].dtype.kind == "S"
        assert file["labels"].tolist() == examples.labels[[2, 3]].tolist()
        assert file["predicted"].tolist() == ((examples.labels[[2, 3]] + 1) % 10).tolist()
        assert file["counts"].sum() == 3 and file["counts"][examples.labels[0], (examples.labels[0] + 1) % 10] >= 1


@pytest.mark.parametrize(
    ("images", "calls", "at"), [(10, 8, {0, 1, 2, 3}), (100, 8, {3}), (50, 8, {3}), (20, 8, {1, 3}), (10, 1, {0})]
)
def test_looks_are_in_the_first_half_and_show_no_more_than_is_trained_on(images, calls, at):
    looks = Looks(np.zeros((images, 4, 4, 1), np.uint8), calls, images_a_call=10)
    looks.set_model(keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]))
    looks.on_train_begin()
    seen = set()
    for call in range(calls):
        before = np.sum(looks.probabilities)
        looks.on_epoch_end(call)
        seen |= {call} if np.sum(looks.probabilities) > before else set()
    assert seen == at
    np.testing.assert_allclose(looks.probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.e2e
def test_most_flipped_labels_are_found_and_most_found_are_flipped(digits, make, tmp_path):
    random = np.random.default_rng(0)
    images, labels = (np.concatenate([getattr(split, name) for split in digits]) for name in ("images", "labels"))
    flipped = random.random(len(labels)) < 0.05
    given = np.where(flipped, (labels + random.integers(1, 10, len(labels))) % 10, labels)
    looks = Looks(images, calls=24, images_a_call=50 * 64)
    train(ClassifierOptions(), make.examples_of(images, given), 10, 0, tmp_path / "history.jsonl", looks)
    listed = disagreements(looks.probabilities, given).rows
    assert flipped[listed].mean() > 0.8 and np.isin(np.flatnonzero(flipped), listed).mean() > 0.8
