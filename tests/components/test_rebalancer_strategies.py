"""Counts and weights, against the formulas and on arbitrary long tails."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.rebalancer.options import RebalanceOptions
from components.rebalancer.strategies import class_weights, target_counts
from models.errors import UserError

CLASSES = ("good", "break", "fray")
COUNTS = (952, 85, 32)

counts_of_classes = st.lists(st.integers(1, 10**6), min_size=1, max_size=12)


def resolve(strategy, counts=COUNTS, classes=CLASSES, **options):
    return target_counts(RebalanceOptions(strategy=strategy, **options), counts, classes)


@pytest.mark.parametrize(
    ("strategy", "options", "expected"),
    [
        ("none", {}, (952, 85, 32)),
        ("oversample", {}, (952, 952, 952)),
        ("undersample", {}, (32, 32, 32)),
        # sqrt(952 * 85) = 284.46, sqrt(952 * 32) = 174.54
        ("power", {"alpha": 0.5}, (952, 284, 175)),
        ("power", {"alpha": 1}, (952, 85, 32)),
        ("power", {"alpha": 0}, (952, 952, 952)),
        # effective numbers at beta .99: 99.9930, 57.4411, 27.5020
        ("effective_number", {"beta": 0.99}, (952, 547, 262)),
        ("effective_number", {"beta": 0}, (952, 952, 952)),
        ({"fray": 100, "good": 300}, {}, (300, 85, 100)),
    ],
)
def test_each_strategy_follows_its_formula(strategy, options, expected):
    assert resolve(strategy, **options) == dict(zip(CLASSES, expected, strict=True))


@given(counts_of_classes, st.sampled_from(["power", "effective_number"]), st.floats(0, 1), st.floats(0, 0.99999))
def test_soft_strategies_lift_the_tail_and_keep_the_largest_class_and_the_order(counts, strategy, alpha, beta):
    classes = [str(i) for i in range(len(counts))]
    target = list(resolve(strategy, counts, classes, alpha=alpha, beta=beta).values())
    assert max(target) == max(counts) == target[int(np.argmax(counts))]
    assert all(after >= before for before, after in zip(counts, target, strict=True))
    assert np.all(np.diff(np.array(target)[np.argsort(counts, kind="stable")]) >= 0)


def test_an_unknown_class_is_told_with_the_nearest_and_all_known_ones():
    with pytest.raises(UserError, match=r"unknown class `frey`; did you mean `fray`\? known: good, break, fray"):
        resolve({"frey": 100})


@pytest.mark.parametrize("strategy", ["none", "undersample", "oversample", "power", {"fray": 7}])
def test_a_class_without_images_is_named_and_not_resampled(strategy):
    with pytest.raises(UserError, match="class `fray` has 0 training images"):
        resolve(strategy, counts=(952, 85, 0))


def test_a_class_without_images_is_told_what_was_wanted_of_it():
    with pytest.raises(UserError, match="0 training images, so 952 training examples cannot"):
        resolve("oversample", counts=(952, 85, 0))


def test_inverse_weights_give_every_class_the_same_share():
    weights = class_weights("inverse", COUNTS, beta=0.9)
    np.testing.assert_allclose(weights * COUNTS, np.full(3, sum(COUNTS) / 3))


def test_effective_number_weights_follow_the_formula():
    weights = class_weights("effective_number", COUNTS, beta=0.99)
    raw = np.array([(1 - 0.99) / (1 - 0.99**n) for n in COUNTS])
    np.testing.assert_allclose(weights / weights[0], raw / raw[0])


@given(counts_of_classes, st.sampled_from(["none", "inverse", "effective_number"]), st.floats(0, 0.99999))
def test_weights_have_mean_one_over_the_examples(counts, kind, beta):
    weights = class_weights(kind, counts, beta)
    assert np.average(weights, weights=counts) == pytest.approx(1)
    assert np.all(np.isfinite(weights)) and np.all(weights > 0)
