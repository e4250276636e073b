"""The judge: its loss, its quality, and what it exports."""

import json
import logging
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import judge as judge_module
from models.classifier import augmentation, balanced_softmax_loss, classifier
from models.classifier_options import ClassifierOptions

QUICK = ClassifierOptions(steps=4, width=8, features=16)


def test_balanced_softmax_adds_the_log_of_the_counts():
    logits, labels = np.float32([[1.0, 2.0], [0.0, 0.0]]), np.array([0, 1])
    # Row 1: 90 e^1 / (90 e^1 + 10 e^2); row 2: 10 / 100.
    expected = [-np.log(90 * np.e / (90 * np.e + 10 * np.e**2)), -np.log(0.1)]
    np.testing.assert_allclose(balanced_softmax_loss([90, 10])(labels, logits), expected, rtol=1e-5)


def test_balanced_softmax_of_equal_counts_is_plain_and_an_empty_class_breaks_nothing():
    logits, labels = np.float32([[1.0, 2.0]]), np.array([0])
    np.testing.assert_allclose(balanced_softmax_loss([7, 7])(labels, logits), [np.log1p(np.e)], rtol=1e-5)
    assert np.isfinite(balanced_softmax_loss([7, 0])(labels, logits)).all()


@pytest.mark.parametrize("shape", [(4, 4, 1), (8, 8, 1), (28, 28, 1), (32, 16, 3), (64, 64, 3)])
def test_shapes_and_scale_of_the_features(shape):
    network = classifier(ClassifierOptions(width=4, features=12), shape, classes=5)
    normalised = next(layer for layer in network.layers if isinstance(layer, keras.layers.Dense))
    normalised.kernel.assign(100 * normalised.kernel)  # else, of noise, as small as the normalisation's epsilon
    images = tf.random.stateless_uniform((3, *shape), (0, 1), -1, 1)
    logits, features = network(images)
    assert logits.shape == (3, 5) and features.shape == (3, 12)
    np.testing.assert_allclose(np.mean(features, axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(np.mean(np.square(features), axis=1), 1, atol=1e-3)


def test_augmentation_shifts_and_mirrors_only_as_asked():
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 1)).astype(np.float32))
    assert augmentation(ClassifierOptions(shift=0, flip=False)) == []
    (flip,) = augmentation(ClassifierOptions(shift=0, flip=True))
    mirrored = flip(images, training=True).numpy()
    flipped = [np.array_equal(m, i[:, ::-1]) for m, i in zip(mirrored, images.numpy(), strict=True)]
    kept = [np.array_equal(m, i) for m, i in zip(mirrored, images.numpy(), strict=True)]
    assert any(flipped) and any(kept) and all(f or k for f, k in zip(flipped, kept, strict=True))
    (shift,) = augmentation(ClassifierOptions(shift=0.25, flip=False))
    shifted = shift(images, training=True).numpy()
    assert np.all(np.any(shifted != images.numpy(), axis=(1, 2, 3)))


def test_recalls_are_per_class(digits):
    judge = judge_module.JudgeModule(classifier(QUICK, (8, 8, 1), 10))
    recalls = judge_module.recalls(judge, digits.eval, 11)
    predicted = judge.judge(digits.eval.images)["probabilities"].numpy().argmax(1)
    for label in range(10):
        own = digits.eval.labels == label
        assert recalls[label] == np.mean(predicted[own] == label)
    assert np.isnan(recalls[10])


@pytest.mark.e2e
def test_the_judge_is_good_on_balanced_held_out_images_though_trained_on_a_long_tail(judge, digits):
    predicted = judge.judge(digits.eval.images)["logits"].numpy().argmax(1)
    assert np.mean(predicted == digits.eval.labels) >= 0.95
    assert judge_module.recalls(judge, digits.eval, 10).min() >= 0.75


def test_equal_seeds_train_equal_judges(digits, tmp_path):
    one, again = (judge_module.train(QUICK, digits.train, 10, 0, tmp_path / "h").get_weights() for _ in range(2))
    assert all(map(np.array_equal, one, again))


def test_run_fn_exports_a_judge_and_says_how_good_it_is(fn_args, digits, caplog):
    caplog.set_level(logging.INFO, "tailgan")
    args = fn_args(options=QUICK.model_dump_json())
    judge_module.run_fn(args)
    signature = tf.saved_model.load(args.serving_model_dir).signatures["serving_default"]
    answer = signature(image=tf.constant(digits.eval.images[:7]))
    assert {name: tuple(value.shape) for name, value in answer.items()} == {
        "logits": (7, 10), "probabilities": (7, 10), "features": (7, 16)
    }  # fmt: skip
    assert all(value.dtype == tf.float32 for value in answer.values())
    np.testing.assert_allclose(answer["probabilities"], keras.ops.softmax(answer["logits"]), rtol=1e-5)
    # A row does not depend on the rows beside it, as it would with the statistics of a batch.
    alone = signature(image=tf.constant(digits.eval.images[:1]))["logits"]
    np.testing.assert_allclose(alone, answer["logits"][:1], rtol=1e-4, atol=1e-5)
    (row,) = map(json.loads, (Path(args.model_run_dir) / "history.jsonl").read_text().splitlines())
    assert row["step"] == 4 and {"loss", "accuracy"} <= row.keys()
    with np.load(Path(args.model_run_dir) / "disagreements.npz") as doubts:
        assert len(doubts["images"]) == len(doubts["labels"]) == min(doubts["counts"].sum(), 200) > 0
    assert "the judge recognizes" in caplog.text
    assert [r.progress["task"] for r in caplog.records if hasattr(r, "progress")] == ["Judge"]
