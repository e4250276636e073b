"""Which images are repeated: exact, even, and the same however the images are divided into shards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.rebalancer.plan import copies, rank

labelled = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1)), min_size=1, max_size=60)


def as_shard(images):
    labels, ranks = zip(*images, strict=True) if images else ((), ())
    return np.array(labels, np.int64), np.array(ranks, np.uint64)


@given(labelled, st.lists(st.integers(0, 200), min_size=4, max_size=4))
def test_the_target_is_reached_exactly_and_evenly(images, target):
    labels, ranks = as_shard(images)
    target = [wanted if k in labels else 0 for k, wanted in enumerate(target)]
    (times,) = copies([(labels, ranks)], target)
    for k, wanted in enumerate(target):
        assert times[labels == k].sum() == wanted
        assert not np.any(labels == k) or np.ptp(times[labels == k].astype(int)) <= 1


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1)), min_size=2, max_size=60, unique_by=lambda i: i[1]
    ),
    st.data(),
)
def test_shards_do_not_matter(images, data):
    labels, ranks = as_shard(images)
    target = [17 if k in labels else 0 for k in range(4)]
    (whole,) = copies([(labels, ranks)], target)
    order = data.draw(st.permutations(range(len(images))))
    cut = data.draw(st.integers(0, len(images)))
    parts = [order[:cut], order[cut:]]
    split = copies([as_shard([images[i] for i in part]) for part in parts], target)
    for part, times in zip(parts, split, strict=True):
        np.testing.assert_array_equal(times, whole[list(part)])


def test_equal_ids_still_reach_the_target():
    (times,) = copies([as_shard([(0, 5)] * 10)], [4])
    assert sorted(times) == [0] * 6 + [1] * 4


def test_rank_depends_on_seed_and_id_and_on_nothing_else():
    assert rank(0, b"a") == rank(0, b"a")
    assert len({rank(seed, id) for seed in range(10) for id in (b"a", b"b", b"ab")}) == 30
    # A golden value: another hash would change which images every published experiment was trained on.
    assert rank(0, b"a") == 9398663524571839764
    assert 0 <= rank(2**63, b"") < 2**64


def test_a_label_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="labels 0 to 3 do not fit 2 classes"):
        copies([as_shard([(0, 1), (3, 2)])], [1, 1])


def test_a_class_without_images_is_refused():
    with pytest.raises(ValueError, match="label 1 has 0 images, but 5 examples are wanted"):
        copies([as_shard([(0, 1)])], [1, 5])
