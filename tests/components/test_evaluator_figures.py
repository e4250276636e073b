"""Figures from features alone: broken generators look broken, real images look real."""

import numpy as np
import pytest

from components.evaluator import figures

CLASSES = ("a", "b", "c")
MEANS = np.array([[0.0, 0, 0, 0], [4, 0, 0, 0], [0, 4, 0, 0]])


def judged(counts, seed, asked=None, spread=1.0):
    """Images of three Gaussian classes, which the judge tells apart without fault; `asked` are the labels wanted."""
    labels = np.repeat(np.arange(3), counts)
    features = MEANS[labels] + spread * np.random.default_rng(seed).normal(size=(len(labels), 4))
    return figures.Judged(features, np.eye(3)[labels], labels if asked is None else asked)


def test_real_against_real_reads_as_the_null():
    real, other = judged([100, 60, 40], 0), judged([100, 60, 40], 1)
    whole = figures.whole(real, other)
    null = figures.null(real, other, seed=0)
    assert whole["label_agreement"] == 1
    shifted = figures.whole(real, figures.Judged(other.features + 1, other.probabilities, other.labels))
    assert max(abs(whole["kid"]), abs(null["kid"])) < 0.1 * shifted["kid"]
    assert null["n"] == 100
    assert null["model_fid"] == pytest.approx(null["fid"], abs=0.2)


def test_fid_of_the_null_is_of_fewer_images_and_so_higher():
    real, other = judged([100, 60, 40], 0), judged([100, 60, 40], 1)
    assert figures.null(real, other, seed=0)["model_fid"] > figures.whole(real, other)["fid"]


def test_a_class_that_is_drawn_as_another_shows_in_its_own_row_only():
    real = judged([100, 60, 40], 0)
    drawn = judged([60, 120, 0], 1, asked=np.repeat(np.arange(3), 60))
    rows = figures.per_class(real, drawn, CLASSES, seed=0)
    assert rows["a"]["label_agreement"] == rows["b"]["label_agreement"] == 1
    assert rows["c"]["label_agreement"] == 0 and rows["c"]["label_agreement_ratio"] == 0
    assert rows["c"]["kid"] > 10 * max(abs(rows["a"]["kid"]), abs(rows["a"]["null_kid"]))


def test_a_collapsed_class_shows_in_its_kid():
    real = judged([100, 60, 40], 0)
    rows = figures.per_class(real, judged([60, 60, 60], 1, spread=0.01), CLASSES, seed=0)
    assert all(row["kid"] > 0.1 for row in rows.values())


def test_agreement_is_put_in_relation_to_the_judges_recall():
    real = judged([50, 50, 50], 0)
    half_wrong = figures.Judged(real.features, real.probabilities.copy(), real.labels)
    half_wrong.probabilities[:25] = [0, 1, 0]
    row = figures.per_class(half_wrong, judged([40, 40, 40], 1), CLASSES, seed=0)["a"]
    assert (row["judge_recall"], row["label_agreement_ratio"]) == (0.5, 2.0)


def test_too_few_images_are_said_not_guessed():
    real = judged([100, 1, 0], 0)
    rows = figures.per_class(real, judged([10, 10, 10], 1), CLASSES, seed=0)
    assert rows["b"]["kid"] is None and rows["b"]["null_kid"] is None
    assert rows["c"]["judge_recall"] is None and rows["c"]["label_agreement_ratio"] is None
    assert figures.worst(rows, "kid", more_is_better=False) is None


def test_equal_seeds_give_equal_figures():
    real, fake = judged([50, 30, 20], 0), judged([50, 30, 20], 1)
    assert figures.null(real, fake, seed=3) == figures.null(real, fake, seed=3)
    assert figures.null(real, fake, seed=3) != figures.null(real, fake, seed=4)
