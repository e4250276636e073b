"""KID against torch-fidelity and a closed form; that its intervals and p-values say what they claim.

Reference numbers are of torch-fidelity 0.4.0 (`kid_features_to_metric`, polynomial kernel, rng_seed 2020) on torch
2.13.0 and numpy 2.4.6, for the float64 features that `relu_features` makes with seeds 1 and 2.
"""

import tracemalloc

import numpy as np
import pytest

from metrics import kernel
from metrics.kernel import (
    bootstrap_kernel_distances,
    cross_draws,
    kernel_distance,
    kernel_distance_interval,
    permutation_p_value,
    subset_kernel_distance,
    within_draws,
)


def relu_features(n, d, seed, shift=0.0):
    """Correlated features with zeros, from numpy's frozen legacy generator."""
    mix = np.random.RandomState(99).standard_normal((d, d)) / np.sqrt(d)
    return np.maximum(np.random.RandomState(seed).standard_normal((n, d)) @ mix + shift, 0)


@pytest.mark.parametrize(("n", "reference"), [(400, 0.01443026186681573), (50, 0.024832254853494273)])
def test_all_of_the_data_equals_torch_fidelity(n, reference):
    """Its one subset of all rows."""
    real, fake = relu_features(500 if n == 400 else 60, 64, 1)[:n], relu_features(n, 64, 2, 0.1)
    assert kernel_distance(real, fake) == pytest.approx(reference, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "m", "size", "mean", "deviation"),
    [
        (500, 400, 200, 0.01599938898381594, 0.006989087435549504),
        (60, 50, 40, 0.014083710707731355, 0.011557593496869295),
    ],
)
def test_subsets_equal_torch_fidelity(n, m, size, mean, deviation):
    real, fake = relu_features(n, 64, 1), relu_features(m, 64, 2, 0.1)
    assert subset_kernel_distance(real, fake, subsets=20, size=size) == pytest.approx((mean, deviation), rel=1e-9)


def by_definition(real, fake):
    def mean_kernel(x, y, same):
        values = [(a @ b / len(a) + 1) ** 3 for i, a in enumerate(x) for j, b in enumerate(y) if not (same and i == j)]
        return np.mean(values)

    return mean_kernel(real, real, True) + mean_kernel(fake, fake, True) - 2 * mean_kernel(real, fake, False)


def test_equals_the_definition_with_unequal_numbers():
    real, fake = relu_features(13, 6, 1), relu_features(9, 6, 2, 0.4)
    assert kernel_distance(real, fake) == pytest.approx(by_definition(real, fake), rel=1e-12)


def test_tiles_do_not_change_the_sum(monkeypatch):
    real, fake = relu_features(130, 6, 1), relu_features(90, 6, 2, 0.4)
    whole = kernel_distance(real, fake), kernel_distance_interval(real, fake, resamples=50)
    p = permutation_p_value(real, fake, 50)
    monkeypatch.setattr(kernel.distances, "_MAX_ROWS", 32)
    assert kernel_distance(real, fake) == pytest.approx(whole[0], rel=1e-12)
    assert kernel_distance_interval(real, fake, resamples=50) == pytest.approx(whole[1], rel=1e-12)
    assert permutation_p_value(real, fake, 50) == p


def test_memory_is_flat():
    """At 6,000 images one matrix of kernels takes 288 MB."""
    real, fake = np.random.default_rng(0).normal(size=(2, 6000, 4)).astype(np.float32)
    tracemalloc.start()
    kernel_distance(real, fake)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def true_distance(shift, d):
    """KID of N(0, I) and N(mu, I), |mu|^2 = shift, from the moments of Gaussian inner products."""
    same = 1 + 3 / d
    moved = (1 + shift / d) ** 3 + 3 * (1 + shift / d) * (2 * shift + d) / d**2 + 6 * shift / d**3
    crossed = 1 + 3 * (d + shift) / d**2
    return same + moved - 2 * crossed


@pytest.mark.parametrize("shift", [0, 20])
def test_mean_over_samples_is_the_closed_form(shift):
    """Unbiased also at n = 10, where FID reads hundreds."""
    random = np.random.default_rng(1)
    pairs = (random.normal(size=(2, 10, 84)) for _ in range(600))
    values = [kernel_distance(real, fake + np.sqrt(shift / 84)) for real, fake in pairs]
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(true_distance(shift, 84), abs=3 * error)
    assert error < 0.012


@pytest.mark.parametrize("n", [10, 20, 50])
@pytest.mark.parametrize("shift", [0, 5, 100])
def test_interval_covers_the_truth(n, shift):
    """At least 90 of 100; measured with 1,000 repetitions: 92 to 100."""
    random, covered, repetitions = np.random.default_rng([n, shift]), 0, 200
    for index in range(repetitions):
        real, fake = random.normal(size=(2, n, 84))
        low, high = kernel_distance_interval(
            real, fake + np.sqrt(shift / 84), resamples=300, seeds=(2 * index, 2 * index + 1)
        )
        covered += low <= true_distance(shift, 84) <= high
    assert covered / repetitions >= 0.9


def test_resamples_are_centred_where_the_naive_bootstrap_is_not():
    """A pair of copies has kernel (1 + 1)^3 on average where other pairs have 1, and is one pair of n on each side."""
    real, fake = np.random.default_rng(0).normal(size=(2, 10, 84))
    right = bootstrap_kernel_distances(real, fake)
    random = np.random.default_rng(0)
    naive = [
        kernel_distance(real[random.integers(10, size=10)], fake[random.integers(10, size=10)]) for _ in range(300)
    ]
    assert np.mean(right) == pytest.approx(kernel_distance(real, fake), abs=0.05)
    assert np.mean(naive) - kernel_distance(real, fake) == pytest.approx(2 * 7 / 10, abs=0.25)


def test_resamples_of_reals_are_shared_by_their_seed():
    """So that two generators can be compared on the same real images."""
    real, one, two = np.random.default_rng(0).normal(size=(3, 12, 5))
    two = two * 1e-9  # Hardly any spread of its own: what varies is the reals.
    base = bootstrap_kernel_distances(real, two, 200, seeds=(0, 1))
    np.testing.assert_allclose(bootstrap_kernel_distances(real, two, 200, seeds=(0, 2)), base, atol=1e-6)
    assert not np.allclose(bootstrap_kernel_distances(real, two, 200, seeds=(3, 1)), base, atol=1e-3)
    assert not np.allclose(
        bootstrap_kernel_distances(real, one, 200, seeds=(0, 1)),
        bootstrap_kernel_distances(real, one, 200, seeds=(0, 2)),
        atol=1e-3,
    )


def test_p_value_keeps_its_level_and_sees_a_shift():
    random = np.random.default_rng(5)
    null = [permutation_p_value(*random.normal(size=(2, 10, 20)), permutations=99, seed=i) for i in range(400)]
    # Two standard errors and a half around what it says.
    assert 0.023 <= np.mean(np.array(null) <= 0.05) <= 0.077
    assert 0.438 <= np.mean(np.array(null) <= 0.5) <= 0.562
    real, fake = random.normal(size=(2, 12, 20))
    assert permutation_p_value(real, fake + 2, permutations=199) == 1 / 200


def test_p_value_equals_one_by_one_computation():
    real, fake = relu_features(7, 4, 1), relu_features(5, 4, 2, 0.3)
    pooled, random = np.concatenate([real, fake]), np.random.default_rng(3)
    count = 1
    for _ in range(60):
        order = random.permutation(12)
        chosen = np.isin(np.arange(12), order[:7])
        count += kernel_distance(pooled[chosen], pooled[~chosen]) >= kernel_distance(real, fake) - 1e-9
    assert permutation_p_value(real, fake, permutations=60, seed=3) == count / 61


@pytest.mark.parametrize("n", [5, 6])
def test_tiny_and_constant_sets_never_give_nan(n):
    same = np.ones((n, 3))
    assert kernel_distance(same, same) == 0
    assert kernel_distance_interval(same, same) == (0, 0)
    assert permutation_p_value(same, same) == 1
    assert np.isfinite(bootstrap_kernel_distances(relu_features(n, 3, 1), relu_features(n, 3, 2))).all()


def test_what_cannot_be_is_refused():
    x = relu_features(20, 3, 1)
    with pytest.raises(ValueError, match="4 rows; at least 5"):
        kernel_distance_interval(x[:4], x)
    with pytest.raises(ValueError, match="`size` is 21"):
        subset_kernel_distance(x, x, size=21)
    with pytest.raises(ValueError, match="`confidence` is 95"):
        kernel_distance_interval(x, x, confidence=95)
    with pytest.raises(ValueError, match="`resamples` is 0"):
        kernel_distance_interval(x, x, resamples=0)
    with pytest.raises(ValueError, match="`permutations` is 0"):
        permutation_p_value(x, x, permutations=0)
    with pytest.raises(ValueError, match="`subsets` is 0"):
        subset_kernel_distance(x, x, subsets=0)


def test_draws_are_mean_kernels_of_the_resampled_rows():
    """Rows laid out one by one; pairs of one original left out within, none across."""
    random = np.random.default_rng(0)
    x, y = relu_features(7, 4, 1), relu_features(5, 4, 2, 0.3)
    x_copies, y_copies = random.integers(0, 4, (3, 7)), random.integers(0, 3, (3, 5))
    x_copies[:, :2] = y_copies[:, 0] = 1  # None without rows.
    within, crossed = within_draws(x, x_copies), cross_draws(x, y, x_copies, y_copies)
    for r in range(3):
        i, j = np.repeat(np.arange(7), x_copies[r]), np.repeat(np.arange(5), y_copies[r])
        own, other = ((x[i] @ z.T / 4 + 1) ** 3 for z in (x[i], y[j]))
        assert within[r] == pytest.approx(own[i[:, None] != i].mean(), rel=1e-12)
        assert crossed[r] == pytest.approx(other.mean(), rel=1e-12)


def test_draws_of_every_row_once_make_the_distance():
    x, y = relu_features(30, 4, 1), relu_features(20, 4, 2, 0.3)
    once, each = np.ones((1, 30)), np.ones((1, 20))
    total = within_draws(x, once) + within_draws(y, each) - 2 * cross_draws(x, y, once, each)
    assert total[0] == pytest.approx(kernel_distance(x, y), rel=1e-10)


@pytest.mark.parametrize(
    ("copies", "message"),
    [
        (np.ones((2, 6)), r"shape \(2, 6\); allowed: \[R, 5\]"),
        (np.ones(5), r"shape \(5,\)"),
        (np.zeros((1, 5)), "without rows"),
        (np.full((1, 5), -1), "below 0"),
        (np.full((1, 5), np.nan), "below 0"),
        (np.eye(5), "5 resamples of one row alone"),
    ],
)
def test_draws_refuse_what_are_no_counts(copies, message):
    x = relu_features(5, 3, 1)
    with pytest.raises(ValueError, match=message):
        within_draws(x, copies)
    if "alone" not in message:
        with pytest.raises(ValueError, match=message):
            cross_draws(x, x, copies, np.ones((len(copies), 5)))


def test_draws_come_in_pairs():
    x = relu_features(5, 3, 1)
    with pytest.raises(ValueError, match="`x_copies` has 2 resamples and `y_copies` 3"):
        cross_draws(x, x, np.ones((2, 5)), np.ones((3, 5)))


@pytest.mark.parametrize("shift", [0, 0.02, 0.2])
def test_float32_products_of_many_columns_keep_the_digits_of_float64(shift):
    """Also near 0, to 1e-10. Without the centre the largest would be off by 1e-6 of itself; in float32 all by 1e-7."""
    real, fake = relu_features(300, 600, 1).astype(np.float32), relu_features(280, 600, 2, shift).astype(np.float32)
    exact = kernel_distance(real.astype(np.float64), fake.astype(np.float64))
    assert kernel._rows(real, fake)[0].centred.dtype == np.float32
    assert kernel_distance(real, fake) == pytest.approx(exact, rel=1e-7, abs=3e-10)


def test_far_from_the_origin_too():
    real, fake = (relu_features(300, 600, seed, shift).astype(np.float32) + 3 for seed, shift in ((1, 0), (2, 0.05)))
    exact = by_matrices(real.astype(np.float64), fake.astype(np.float64))
    assert kernel_distance(real, fake) == pytest.approx(exact, abs=1e-9 * 1000)  # The kernel itself is about 1000.
    assert kernel_distance(real.astype(np.float64), fake.astype(np.float64)) == pytest.approx(exact, rel=1e-9)


def by_matrices(real, fake):
    def total(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    n, m = len(real), len(fake)
    within = [total(x, x)[~np.eye(len(x), dtype=bool)].mean() for x in (real, fake)]
    return sum(within) - 2 * total(real, fake).sum() / (n * m)


def test_float32_values_whose_products_are_none_of_float32():
    real, fake = (relu_features(20, 600, seed).astype(np.float32) * np.float32(1e25) for seed in (1, 2))
    exact = by_matrices(real.astype(np.float64), fake.astype(np.float64))
    assert kernel_distance(real, fake) == pytest.approx(exact, rel=1e-9)
