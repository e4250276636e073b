"""Figures of single classes: faults that were put in are found, in their own row, and intervals hold the truth."""

from math import comb

import numpy as np
import pytest

from components.evaluator import resampled
from components.evaluator.class_figures import (
    MADE,
    NEAREST_K,
    class_coverage,
    class_row,
    null_kid_high,
    real_classes,
    sample,
    unknown_row,
)  # fmt: skip
from components.evaluator.options import GateOptions
from components.evaluator.resampled import Drawn, Resampled, ratio
from components.evaluator.views import Known, View
from metrics.kernel import kernel_distance

OPTIONS = GateOptions(resamples=200)
TRAIN = [40, 30, 20, 10]


def rows(gaussians, real, made, known=None, options=OPTIONS):
    classes = len(gaussians.names)
    known = known or gaussians.known(TRAIN[:classes])
    kernel = real_classes(real, classes, options)
    return {
        name: class_row(
            label,
            gaussians.names,
            real.of_class(label),
            made.of_class(label),
            known.of_class(label),
            kernel.samples[label].distance(sample(made, label, options, MADE)),
            kernel,
            options,
        )
        for label, name in enumerate(gaussians.names)
    }


def test_real_against_real_reads_as_nothing_wrong(gaussians):
    for row in rows(gaussians, gaussians.view([100, 60, 40, 30], 0), gaussians.view([200] * 4, 1)).values():
        assert abs(row["kid_relative"]) < 0.1 and row["kid_p"] > 0.01
        assert row["intervals"]["kid"][0] < 0 < row["intervals"]["kid"][1]
        assert row["coverage"] == pytest.approx(row["null_coverage"], abs=0.08)
        for figure in ("diversity", "closest_record_ratio", "label_agreement_ratio"):
            assert row[figure] == pytest.approx(1, abs=0.15)
            lo, hi = row["intervals"][figure]
            assert lo < row[figure] < hi
        assert row["memorization_p"] > 0.001


def test_the_value_of_kid_is_that_of_the_metric(gaussians):
    real, made = gaussians.view([30] * 4, 0), gaussians.view([50] * 4, 1)
    row = rows(gaussians, real, made)["b"]
    assert row["kid"] == pytest.approx(kernel_distance(real.of_class(1).features, made.of_class(1).features), rel=1e-6)


def test_a_class_drawn_as_another_shows_in_its_own_row_only(gaussians):
    real = gaussians.view([60] * 4, 0)
    good, bad = (rows(gaussians, real, gaussians.view([100] * 4, 1, drawn_as=wrong)) for wrong in ({}, {3: 0}))
    assert bad["d"]["looks_like"] == "a" and bad["d"]["looks_like_part"] > 0.9
    assert bad["d"]["label_agreement"] < 0.1 and bad["d"]["kid_p"] < 0.01
    assert bad["d"]["intervals"]["kid_relative"][0] > 0.5
    assert [good[name]["label_agreement"] for name in "abc"] == [bad[name]["label_agreement"] for name in "abc"]


def test_a_class_moved_to_its_nearest_has_a_relative_kid_of_one(gaussians):
    real = gaussians.view([200] * 4, 0)
    near = gaussians.names.index(rows(gaussians, real, real)["a"]["nearest_class"])
    row = rows(gaussians, real, gaussians.view([200] * 4, 1, towards={0: (near, 1.0)}))["a"]
    assert row["kid_relative"] == pytest.approx(1, abs=0.15)


def test_one_image_and_few_kinds_of_images_show_in_diversity(gaussians):
    real = gaussians.view([60] * 4, 0)
    made = rows(gaussians, real, gaussians.view([100] * 4, 1, spread={1: 1e-6, 2: 0.5}))
    assert made["b"]["diversity"] < 0.001 and made["b"]["intervals"]["diversity"][1] < 0.001
    assert made["c"]["diversity"] == pytest.approx(0.5, abs=0.1)
    assert made["b"]["coverage"] < 0.5 < made["a"]["coverage"]


def test_copies_of_training_images_show_in_the_distance_to_them(gaussians):
    real, known, made = gaussians.view([60] * 4, 0), gaussians.known(TRAIN), gaussians.view([100] * 4, 1)
    own = made.labels == 0
    pixels = made.pixels.copy()
    pixels[own] = np.tile(known.of_class(0).pixels, (10, 1))[: own.sum()]
    found = rows(gaussians, real, View(made.labels, made.features, made.probabilities, pixels), known)
    assert found["a"]["closest_record_ratio"] == 0 and found["a"]["intervals"]["closest_record_ratio"] == [0, 0]
    assert found["a"]["memorization_p"] < 1e-6
    assert found["b"]["closest_record_ratio"] > 0.8


def test_half_a_class_of_copies_shows_in_the_part_that_is_copied(gaussians):
    real, known, made = gaussians.view([60] * 4, 0), gaussians.known(TRAIN), gaussians.view([500] * 4, 1)
    pixels = made.pixels.copy()
    pixels[:250] = np.tile(known.of_class(0).pixels, (10, 1))[:250]
    found = rows(gaussians, real, View(made.labels, made.features, made.probabilities, pixels), known)
    assert found["a"]["copied"] == pytest.approx(0.5, abs=0.05) and found["a"]["intervals"]["copied"][0] > 0.3
    assert found["a"]["closest_record_ratio"] > 0.4
    assert all(found[name]["copied"] < 0.2 and found[name]["intervals"]["copied"][0] == 0 for name in "bcd")


def test_agreement_is_put_in_relation_to_the_judges_recall(gaussians):
    real = gaussians.view([50] * 4, 0)
    answers = real.probabilities.copy()
    answers[:50] = np.eye(4)[0]
    answers[:25] = np.eye(4)[1]
    half_known = View(real.labels, real.features, answers, real.pixels)
    made = gaussians.view([40] * 4, 1)
    row = rows(gaussians, half_known, made)["a"]
    assert row["judge_recall"] == 0.5
    assert row["label_agreement_ratio"] == pytest.approx(row["label_agreement"] / 0.5)


@pytest.mark.parametrize("n", [0, 1, 2, 4, 5, 6, 9, 10])
def test_what_too_few_held_out_images_cannot_tell_is_none(gaussians, n):
    row = rows(gaussians, gaussians.view([60, 60, 60, n], 0), gaussians.view([50] * 4, 1))["d"]
    assert row["eval_real"] == n
    assert (row["kid"] is not None, row["kid_p"] is not None) == (n >= 2, n >= 2)
    assert (row["intervals"]["kid"][0] is not None) == (n >= 5)
    assert row["kid_relative"] is None or n >= 5
    assert (row["coverage"] is not None) == (n > NEAREST_K)
    assert (row["diversity"] is not None, row["intervals"]["diversity"][0] is not None) == (n >= 2, n >= 5)
    assert (row["judge_recall"] is not None) == (n >= 1)
    assert (row["closest_record_ratio"] is not None) == (n >= 2)
    assert (row["memorization_p"] is not None) == (n >= 10)
    assert row["label_agreement"] is not None


def test_without_generated_or_training_images_nothing_is_guessed(gaussians):
    real = gaussians.view([30] * 4, 0)
    row = rows(gaussians, real, gaussians.view([50, 50, 50, 0], 1))["d"]
    unknown = ("kid", "kid_relative", "coverage", "diversity", "label_agreement", "closest_record_ratio", "looks_like")
    assert {row[name] for name in unknown} == {None} and row["judge_recall"] is not None
    row = rows(gaussians, real, gaussians.view([50] * 4, 1), gaussians.known([9, 9, 9, 0]))["d"]
    assert row["closest_record_ratio"] is None and row["memorization_p"] is None and row["train_unique"] == 0


def test_of_one_class_there_is_no_nearest_and_so_no_relative_kid(make_gaussians):
    gaussians = make_gaussians(1)
    row = rows(gaussians, gaussians.view([50], 0), gaussians.view([50], 1))["a"]
    assert (row["nearest_class"], row["kid_relative"], row["enough_data"]) == (None, None, False)
    assert row["kid"] is not None


def test_classes_that_cannot_be_told_apart_give_no_scale(gaussians):
    real = gaussians.view([12] * 4, 0, drawn_as={1: 0})
    row = rows(gaussians, real, gaussians.view([50] * 4, 1))["a"]
    assert row["nearest_class"] == "b" and row["kid"] is not None and row["kid_relative"] is None


def test_features_that_are_constant_or_of_low_rank_are_no_trouble(gaussians):
    def flat(view, rank):
        features = view.features.copy()
        features[:, rank:] = 1.0
        return View(view.labels, features, view.probabilities, np.zeros_like(view.pixels))

    real, made = gaussians.view([30] * 4, 0), gaussians.view([40] * 4, 1)
    known = Known(np.repeat(np.arange(4), 5), np.zeros((20, real.pixels.shape[1]), np.float32))
    row = rows(gaussians, flat(real, 2), flat(made, 2), known)["a"]
    assert row["kid"] is not None and row["closest_record_ratio"] is None
    row = rows(gaussians, flat(real, 0), flat(made, 0), known)["a"]
    assert row["closest_record_ratio"] is None and row["copied"] is None
    assert row["kid"] == pytest.approx(0, abs=1e-12) and row["diversity"] is None and row["kid_relative"] is None


def test_rows_depend_on_the_seed_and_on_nothing_else(gaussians):
    real, made = gaussians.view([20] * 4, 0), gaussians.view([30] * 4, 1)
    again = GateOptions(resamples=200, seed=1)
    assert rows(gaussians, real, made) == rows(gaussians, real, made)
    one, other = rows(gaussians, real, made)["a"], rows(gaussians, real, made, options=again)["a"]
    assert one["intervals"]["kid"] != other["intervals"]["kid"] and one["kid"] == other["kid"]


def test_the_figures_of_the_first_images_do_not_change_with_more(gaussians, monkeypatch):
    real, made = gaussians.view([20] * 4, 0), gaussians.view([30] * 4, 1)
    monkeypatch.setattr("components.evaluator.class_figures.MOST", 15)
    short = np.concatenate([np.flatnonzero(made.labels == label)[:15] for label in range(4)])
    assert rows(gaussians, real, made)["a"]["kid"] == rows(gaussians, real, made.take(short))["a"]["kid"]


def test_the_nearest_class_is_looked_for_among_few_images_and_its_distance_taken_of_all(gaussians, monkeypatch):
    real, made = gaussians.view([60] * 4, 0), gaussians.view([50] * 4, 1)
    sizes, crossed = [], resampled.cross_draws
    monkeypatch.setattr(resampled, "cross_draws", lambda x, y, *copies: sizes.append(len(x)) or crossed(x, y, *copies))
    before = rows(gaussians, real, made)
    assert 20 not in sizes
    monkeypatch.setattr(resampled, "ROUGH", 20)
    sizes.clear()
    after = rows(gaussians, real, made)
    assert sizes.count(20) == 6  # every pair of classes
    assert before == after  # the same classes are found, and distances are those of all images


def test_null_coverage_is_the_mean_of_equal_distributions():
    random, n = np.random.default_rng(0), 20
    found = [class_coverage(random.normal(size=(n, 5)), random.normal(size=(3 * n, 5))) for _ in range(400)]
    values, nulls = zip(*((estimate.value, null) for estimate, null in found), strict=True)
    assert set(nulls) == {1 - comb(19, 5) / comb(39, 5)}
    assert np.mean(values) == pytest.approx(nulls[0], abs=0.005)


def test_coverage_with_fewer_generated_images_takes_as_many_real_ones():
    random = np.random.default_rng(0)
    real, made = random.normal(size=(50, 4)), random.normal(size=(12, 4))
    assert class_coverage(real, made) == class_coverage(real[:12], made)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_intervals_of_kid_and_relative_kid_hold_the_truth(shift):
    random, n, d, repetitions = np.random.default_rng(1), 12, 16, 150

    def draw(rows, first):
        return random.normal(size=(rows, d)) + np.eye(d)[0] * first

    truth = kernel_distance(draw(5000, 0), draw(5000, shift))
    unit = kernel_distance(draw(5000, 0), draw(5000, 3.0))
    held = []
    for seed in range(repetitions):
        real, made, other = (
            Resampled(draw(rows, first), 200, (seed, i))
            for i, (rows, first) in enumerate([(n, 0), (80, shift), (n, 3.0)])
        )
        kid, scale = real.distance(made), real.distance(other)
        relative = ratio(kid, scale)
        own = kid.estimate()
        held.append((own.lo <= truth <= own.hi, relative.lo <= truth / unit <= (relative.hi or np.inf)))
    assert np.all(np.mean(held, axis=0) >= 0.9)


def test_kid_of_equal_distributions_is_below_the_high_null_in_most_cases():
    random, below = np.random.default_rng(0), []
    for _ in range(400):
        real, made = random.normal(size=(30, 16)), random.normal(size=(100, 16))
        below.append(kernel_distance(real, made) <= null_kid_high(real, len(made)))
    assert 0.9 <= np.mean(below) <= 0.98
    assert null_kid_high(random.normal(size=(3, 16)), 100) is None


def test_a_resample_without_a_scale_counts_as_without_bound():
    above = Drawn(1.0, np.full(100, 1.0), 50)
    below = Drawn(2.0, np.where(np.arange(100) < 20, -1.0, 2.0), 50)
    assert ratio(above, below).hi is None
    assert ratio(above, below).lo == 0.5 and ratio(above, below).value == 0.5


def test_resamples_of_one_set_are_shared_and_of_two_are_not():
    x = np.random.default_rng(0).normal(size=(20, 3))
    a, b, c = Resampled(x, 50, (0, 1)), Resampled(x, 50, (0, 1)), Resampled(x, 50, (0, 2))
    assert np.array_equal(a.copies, b.copies) and not np.array_equal(a.copies, c.copies)
    assert np.array_equal(a.copies[0], np.ones(20))


def test_the_unknown_row_has_the_keys_of_a_known_one(gaussians):
    known = rows(gaussians, gaussians.view([20] * 4, 0), gaussians.view([30] * 4, 1))["a"]
    unknown = unknown_row(20, 30, 40)
    assert unknown.keys() == known.keys() and unknown["intervals"].keys() == known["intervals"].keys()
