"""Head, middle, tail, mean and worst."""

import numpy as np
import pytest

from components.evaluator import groups
from metrics.agreement import wilson_interval


def rows(**intervals):
    """Rows whose figures all have the same numbers (value, lo, hi)."""
    figures = (*groups.GROUPED, *groups.P_VALUES)
    return {
        name: {
            "train_unique": index,
            **dict.fromkeys(figures, value),
            "intervals": {figure: [lo, hi] for figure in figures},
        }
        for index, (name, (value, lo, hi)) in enumerate(intervals.items())
    }


def test_thirds_go_from_rare_to_frequent_and_the_tail_is_never_empty():
    assert groups.thirds({"a": 5}) == {"tail": ["a"]}
    assert groups.thirds({"a": 5, "b": 1}) == {"tail": ["b"], "middle": ["a"]}
    ten = groups.thirds({str(i): 100 - i for i in range(10)})
    assert ten["tail"] == ["9", "8", "7", "6"] and [len(ten[g]) for g in ("middle", "head")] == [3, 3]


def test_the_mean_of_equal_intervals_is_narrower_by_the_root_of_their_number():
    value, (lo, hi) = groups.mean(
        list(rows(a=(1, 0.5, 2), b=(1, 0.5, 2), c=(1, 0.5, 2), d=(1, 0.5, 2)).values()), "kid"
    )
    assert (value, lo, hi) == (1, 0.75, 1.5)


def test_the_interval_of_a_mean_of_proportions_holds_the_truth():
    random, n, truth = np.random.default_rng(0), 30, np.array([0.99, 0.9, 0.7])
    held = []
    for _ in range(1000):
        found = {str(i): (k / n, *wilson_interval(k, n)) for i, k in enumerate(random.binomial(n, truth))}
        _, (lo, hi) = groups.mean(list(rows(**found).values()), "label_agreement")
        held.append(lo <= truth.mean() <= hi)
    assert 0.93 <= np.mean(held) <= 0.985


def test_a_class_without_a_value_leaves_the_group_without_one():
    found = groups.groups(rows(a=(1, 0, 2), b=(None, None, None)))
    assert found["mean"]["kid"] is None and found["mean"]["intervals"]["kid"] == [None, None]
    assert found["tail"]["kid"] == 1 and found["tail"]["classes"] == ["a"]


def test_a_limit_that_is_missing_is_missing_on_its_side_only():
    value, interval = groups.mean(list(rows(a=(1, 0, None), b=(1, 0, 2)).values()), "kid")
    assert value == 1 and interval[0] == pytest.approx(1 - np.sqrt(2) / 2) and interval[1] is None


def test_the_worst_is_the_smallest_of_a_floor_and_the_largest_of_a_ceiling():
    three = rows(a=(0.5, 0.4, 0.9), b=(0.6, 0.1, 0.7), c=(0.8, 0.75, 0.85))
    assert groups.worst(three, "coverage") == (0.5, [0.1, 0.7], "a")
    assert groups.worst(three, "kid") == (0.8, [0.75, 0.9], "c")


def test_a_class_that_is_not_known_takes_the_cautious_bound_and_leaves_the_generous_one():
    found = rows(a=(3, 2, 4), b=(None, None, None))
    assert groups.worst(found, "kid") == (None, [2, None], "b")
    assert groups.worst(found, "coverage") == (None, [None, 4], "b")
