"""Which image goes into which split: what holds for any data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen import split
from components.example_gen.options import DataOptions, LongTail
from components.example_gen.sources import RawImage
from models.errors import UserError

CLASSES = ("a", "b", "c")


def row(image, label, group=None, given=None, seed=0):
    """A row of an image that is known by a number."""
    content = split.content_hash(np.array([image]))
    return split.row(RawImage("key", label, b"", given, group), content, seed)


def plan(rows, classes=CLASSES, **options):
    return split.plan(np.array(rows, split.ROW), classes, DataOptions(**options))


def many(n, labels=3, start=0, **rest):
    return [row(start + i, i % labels, **rest) for i in range(n)]


def counts(rows, planned, where, classes=3):
    return np.bincount(np.array(rows, split.ROW)["label"][planned.assignment == where], minlength=classes).tolist()


def test_the_fraction_is_held_out_and_depends_on_the_seed():
    first = plan(many(3000)).assignment == split.EVAL
    second = plan(many(3000, seed=1)).assignment == split.EVAL
    assert 0.17 < first.mean() < 0.23 and 0.17 < second.mean() < 0.23
    assert 0.02 < (first & second).mean() < 0.06


def test_every_class_has_its_least_number_in_eval():
    rows = many(3000, labels=2) + [row(10_000 + i, 2) for i in range(20)]
    held_out = plan(rows, min_eval_per_class=12, eval_fraction=0.01)
    assert counts(rows, held_out, split.EVAL)[2] == 12 and counts(rows, held_out, split.TRAIN)[2] == 8
    ranks = np.array(rows, split.ROW)["unit"][3000:]
    assert set(np.flatnonzero(held_out.assignment[3000:] == split.EVAL)) == set(np.argsort(ranks)[:12])


def test_equal_pixels_are_kept_once():
    rows = many(300) + many(150)
    planned = plan(rows)
    assert (planned.assignment == split.DUPLICATE).sum() == 150
    copies = np.flatnonzero(planned.assignment == split.DUPLICATE)
    contents = np.array(rows, split.ROW)["content"]
    assert (contents[copies] == contents[planned.original[copies]]).all()
    assert (planned.assignment[planned.original] != split.DUPLICATE).all()


def test_the_sources_own_splits_stand_and_a_copy_in_eval_wins():
    rows = many(30, given="train") + many(15, start=20, given="eval")
    planned = plan(rows)
    assert counts(rows, planned, split.EVAL) == [5, 5, 5]
    assert (planned.assignment[:20] == split.TRAIN).all() and (planned.assignment[20:30] == split.DUPLICATE).all()
    assert planned.original[20:30].tolist() == list(range(30, 40))


def test_a_group_stays_together():
    rows = [row(i, i % 3, group=f"object {i // 6}") for i in range(1200)]
    held_out = (plan(rows).assignment == split.EVAL).reshape(-1, 6)
    assert (held_out.all(axis=1) | ~held_out.any(axis=1)).all() and 0.1 < held_out.mean() < 0.3


def test_groups_are_taken_until_a_class_has_enough_different_images():
    rows = many(300, labels=2) + [
        row(1000 + i // 2, 2, group=f"object {i // 4}") for i in range(40)
    ]  # each image twice
    planned = plan(rows, min_eval_per_class=5, eval_fraction=1e-6)
    assert counts(rows, planned, split.EVAL)[2] == 6 and counts(rows, planned, split.TRAIN)[2] == 14


@pytest.mark.parametrize("ratio", [1, 10, 100, 33.3])
def test_the_long_tail_is_exact_and_of_train_alone(ratio):
    rows = many(4000, labels=4)
    classes = ("a", "b", "c", "d")
    before, after = plan(rows, classes), plan(rows, classes, long_tail=LongTail(imbalance_ratio=ratio))
    largest = max(counts(rows, before, split.TRAIN, 4))
    expected = [min(n, int(largest * ratio ** (-i / 3))) for i, n in enumerate(counts(rows, before, split.TRAIN, 4))]
    assert counts(rows, after, split.TRAIN, 4) == expected
    assert np.array_equal(before.assignment == split.EVAL, after.assignment == split.EVAL)
    assert (before.assignment[after.assignment == split.THINNED] == split.TRAIN).all()


def test_thinning_keeps_the_images_of_the_lowest_ranks():
    rows = np.array(many(600), split.ROW)
    planned = plan(rows, long_tail=LongTail(imbalance_ratio=20))
    train = (planned.assignment == split.TRAIN) & (rows["label"] == 2)
    thinned = (planned.assignment == split.THINNED) & (rows["label"] == 2)
    assert thinned.any() and rows["thin"][train].max() < rows["thin"][thinned].min()
    assert abs(np.corrcoef(rows["thin"].astype(float), rows["unit"].astype(float))[0, 1]) < 0.15


def test_no_class_is_thinned_away():
    assert split.long_tail_counts(10, 1000, 3) == [10, 1, 1] and split.long_tail_counts(6000, 100, 10)[-1] == 60


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (many(100, labels=2), "class `c` has 0 images that can"),
        (many(100, labels=2) + [row(200 + i, 2) for i in range(4)], r"`c` has 0 training images: all of its 4 went"),
        (many(30, given="train") + many(4, labels=2, start=50, given="eval"), r"`c` has 0 images in the eval split"),
        (many(30, labels=2, given="train") + many(9, start=50, given="eval"), r"`c` has 0 training images \(3 in the"),
    ],
)  # fmt: skip
def test_a_class_without_images_stops_the_run(rows, message):
    with pytest.raises(UserError, match=message):
        plan(rows)


IMAGES = st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0, 0, 0, 1, 1, 2])), min_size=60, max_size=250)


def splits_of(images, grouped):
    """{content: assignment} of images that are kept, where image i has one class, and one group of its class if any."""
    rows = [row(i, label, f"{label}-{i % 23}" if grouped else None) for i, label in images]
    planned = plan(rows, min_eval_per_class=4, eval_fraction=0.2)
    return {images[j][0]: planned.assignment[j] for j in range(len(rows)) if planned.assignment[j] != split.DUPLICATE}


@pytest.mark.parametrize("grouped", [False, True])
@settings(max_examples=40)
@given(images=IMAGES, cut=st.floats(0.4, 0.95))
def test_adding_images_moves_none_from_train_to_eval(grouped, images, cut):
    # An image has one class: the exception that split.py names is left out.
    images = [(i * 3 + label, label) for i, label in images]
    base = [(50_000 + i * 3 + label, label) for i in range(70) for label in range(3)]
    some = base + images[: int(len(images) * cut)]
    before, after = splits_of(some, grouped), splits_of(some + images[int(len(images) * cut) :], grouped)
    assert all(after[i] == split.TRAIN for i, where in before.items() if where == split.TRAIN)


@settings(max_examples=40)
@given(images=IMAGES, seed=st.integers(0, 100))
def test_a_copy_in_another_group_moves_none_from_train_to_eval(images, seed):
    base = [(50_000 + i, i % 3) for i in range(200)]
    rows = [row(i, label, f"{label}-{i % 23}") for i, label in base]
    copies = [row(50_000 + i % 200, i % 200 % 3, f"{i % 200 % 3}-{(i + seed) % 29}") for i, _ in images]
    before, after = plan(rows), plan(rows + copies)
    contents = np.array(rows + copies, split.ROW)["content"][:, 0].tolist()
    now = {c: a for c, a in zip(contents, after.assignment, strict=True) if a != split.DUPLICATE}
    assert all(now[c] == split.TRAIN for c, a in zip(contents, before.assignment, strict=False) if a == split.TRAIN)


@settings(max_examples=40)
@given(images=IMAGES, seed=st.integers(0, 2**32))
def test_the_order_of_the_images_does_not_matter(images, seed):
    rows = np.array(
        [row(i, label, f"{i % 7}" if i % 2 else None) for i, label in images] + many(90, start=1000), split.ROW
    )
    order = np.random.default_rng(seed).permutation(len(rows))
    options = {"long_tail": LongTail(imbalance_ratio=5)}
    first, second = plan(rows, **options), plan(rows[order], **options)

    def fates(rows, planned):
        kept = planned.assignment != split.DUPLICATE
        return sorted(
            zip(rows["content"][kept, 0].tolist(), rows["label"][kept], planned.assignment[kept], strict=True)
        )

    assert fates(rows, first) == fates(rows[order], second)


def test_a_class_with_too_few_training_images_is_named_with_its_count():
    rows = many(100, labels=2) + [row(200 + i, 2) for i in range(9)]
    train = counts(rows, plan(rows), split.TRAIN)[2]
    plan(rows, min_train_per_class=train)
    message = rf"class `c` has {train} training images?, fewer than `data.min_train_per_class` = {train + 1}"
    with pytest.raises(UserError, match=message):
        plan(rows, min_train_per_class=train + 1)
