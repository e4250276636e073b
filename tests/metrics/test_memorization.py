"""Copies are found, and honest fakes are not accused."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from metrics import distances
from metrics.memorization import authenticity, closest_record_ratio, copied_part, data_copying


def draw(n, seed, d=4):
    return np.random.default_rng(seed).normal(size=(n, d))


TRAIN, HELD_OUT = draw(100, 0), draw(80, 1)


def test_unseen_images_are_no_copies():
    fake = draw(80, 2)
    assert closest_record_ratio(TRAIN, HELD_OUT, fake) == pytest.approx(1, abs=0.15)
    assert authenticity(TRAIN, fake) == pytest.approx(authenticity(TRAIN, HELD_OUT), abs=0.15)
    assert data_copying(TRAIN, HELD_OUT, fake).p > 0.01


@pytest.mark.parametrize("noise", [0, 0.01])
def test_copies_are_found(noise):
    fake = TRAIN[:60] + noise * draw(60, 3)
    assert closest_record_ratio(TRAIN, HELD_OUT, fake) < 0.05
    assert authenticity(TRAIN, fake) < 0.05
    assert data_copying(TRAIN, HELD_OUT, fake).p < 1e-9


def test_exact_copies_are_at_distance_nothing_also_far_from_the_origin():
    assert closest_record_ratio(TRAIN + 1e6, HELD_OUT + 1e6, TRAIN[:5] + 1e6) == 0
    assert closest_record_ratio(TRAIN, TRAIN[:3], HELD_OUT) is None


def test_blurred_images_are_no_copies_but_far_away():
    assert data_copying(TRAIN, HELD_OUT, HELD_OUT + 5).c_t > 5
    assert closest_record_ratio(TRAIN, HELD_OUT, HELD_OUT + 5) > 3


@pytest.mark.parametrize("rows", [7, 1024])
def test_authenticity_is_that_of_all_pairs(monkeypatch, rows):
    """Of which only the training images that are nearest to a fake are asked for their own neighbour."""
    monkeypatch.setattr(distances, "_MAX_ROWS", rows)
    fake = np.concatenate([draw(70, 2), TRAIN[:10]])
    among = np.linalg.norm(TRAIN[:, None] - TRAIN, axis=2) + np.diag(np.full(len(TRAIN), np.inf))
    away = np.linalg.norm(fake[:, None] - TRAIN, axis=2)
    expected = np.mean(away.min(axis=1) > among.min(axis=1)[away.argmin(axis=1)])
    assert 0.2 < expected < 0.8 and authenticity(TRAIN, fake) == expected


def test_the_statistic_is_mann_whitneys():
    fake = draw(30, 2) * 0.8
    near_fake, near_real = (np.linalg.norm(x[:, None] - TRAIN, axis=2).min(axis=1) for x in (fake, HELD_OUT))
    reference = mannwhitneyu(near_fake, near_real, alternative="less", method="asymptotic", use_continuity=False)
    assert data_copying(TRAIN, HELD_OUT, fake).p == pytest.approx(reference.pvalue, rel=1e-9)


def test_ties_are_corrected_for():
    train, held_out, fake = (np.round(draw(n, seed, 2)) for n, seed in ((30, 0), (40, 1), (50, 2)))
    near_fake, near_real = (np.linalg.norm(x[:, None] - train, axis=2).min(axis=1) for x in (fake, held_out))
    reference = mannwhitneyu(near_fake, near_real, alternative="less", method="asymptotic", use_continuity=False)
    assert data_copying(train, held_out, fake).p == pytest.approx(reference.pvalue, rel=1e-9)


def test_p_is_uniform_for_honest_fakes_also_in_cells():
    cells = tuple(np.arange(n) % 2 for n in (40, 30, 30))
    sets = [(draw(40, 3 * i), draw(30, 3 * i + 1), draw(30, 3 * i + 2)) for i in range(400)]
    whole = np.array([data_copying(*three).p for three in sets])
    divided = np.array([data_copying(*three, cells=cells).p for three in sets])
    for values in (whole, divided):
        # A common training set makes both kinds of distances vary together, which costs nothing.
        assert 0.02 <= np.mean(values < 0.05) <= 0.09
        assert 0.42 <= np.mean(values < 0.5) <= 0.58


def test_copying_in_one_class_shows_through_cells():
    labels = np.arange(100) % 2
    fake = draw(80, 7)
    fake[1::2] = TRAIN[1:81:2] + 0.001
    result = data_copying(TRAIN, HELD_OUT, fake, cells=(labels, labels[:80], labels[:80]))
    assert result.cells == 2 and result.p < 1e-4


def test_too_small_cells_do_not_count():
    assert data_copying(TRAIN, HELD_OUT[:9], HELD_OUT) is None
    labels = np.zeros(80, int)
    labels[:5] = 1
    assert data_copying(TRAIN, HELD_OUT, draw(80, 2), (np.zeros(100), labels, labels)).cells == 1


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"`cells` of `held_out` have shape \(3,\)"):
        data_copying(TRAIN, HELD_OUT, HELD_OUT, (np.zeros(100), np.zeros(3), np.zeros(80)))
    with pytest.raises(ValueError, match="`fake` 3"):
        authenticity(TRAIN, np.zeros((4, 3)))


@pytest.mark.parametrize("n", [10, 30, 250])
def test_new_images_are_seldom_called_copied_part(n):
    """Mean of the figure, and how often its lower end excludes what it should be; k / (n + 1) of new images."""
    random, values, wrong = np.random.default_rng(0), [], []
    expected = max(1, (n + 1) // 100) / (n + 1)
    for _ in range(2000):
        found = copied_part(random.random(n), random.random(200))
        values.append(found.value)
        wrong.append(found.lo > 0)
    assert np.mean(values) == pytest.approx(expected, rel=0.1)
    assert np.mean(wrong) <= 0.05


def test_held_out_images_that_are_training_images_do_not_hide_copies():
    made, unseen = np.r_[np.zeros(80), np.ones(20)], np.r_[0.0, np.linspace(1, 2, 40)]
    assert copied_part(unseen, made).value == 0.8
    assert copied_part(np.zeros(5), made) is None and copied_part(unseen, np.empty(0)) is None
