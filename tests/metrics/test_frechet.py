"""FID against torch-fidelity, closed forms and awkward covariances.

Reference numbers are of torch-fidelity 0.4.0 (`fid_features_to_statistics`, `fid_statistics_to_metric`) on torch
2.13.0 and numpy 2.4.6, for the float64 features that `relu_features` makes with seeds 1 and 2.
"""

import numpy as np
import pytest

from metrics.frechet import Statistics, frechet_distance, statistics_distance


def relu_features(n, d, seed, shift=0.0):
    """Correlated features with zeros, from numpy's frozen legacy generator."""
    mix = np.random.RandomState(99).standard_normal((d, d)) / np.sqrt(d)
    return np.maximum(np.random.RandomState(seed).standard_normal((n, d)) @ mix + shift, 0)


@pytest.mark.parametrize(("n", "m", "reference"), [(500, 400, 1.787740369624963), (60, 50, 12.718495416142567)])
def test_equals_torch_fidelity(n, m, reference):
    """Above and below n = d = 64; below it, torch-fidelity's own eigenvalues err by 3e-8."""
    real, fake = relu_features(n, 64, 1), relu_features(m, 64, 2, 0.1)
    assert frechet_distance(real, fake) == pytest.approx(reference, rel=1e-7)
    assert statistics_distance(Statistics.of(real), Statistics.of(fake)) == pytest.approx(reference, rel=1e-7)


def exactly(mean, covariance, n=400):
    """Features [n, d] whose sample mean and covariance are the given ones."""
    x = np.random.default_rng(0).normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    x = np.linalg.solve(np.linalg.cholesky(x.T @ x / (n - 1)), x.T).T
    values, vectors = np.linalg.eigh(covariance)
    return x @ (vectors * np.sqrt(np.maximum(values, 0))).T + mean


def test_closed_form_of_commuting_covariances():
    a, b = np.array([1.0, 4, 9, 0.25]), np.array([4.0, 1, 9, 1])
    step = np.array([1.0, -2, 0, 0.5])
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    real = exactly(np.zeros(4), rotation * a @ rotation.T)
    fake = exactly(step, rotation * b @ rotation.T)
    expected = step @ step + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-12)


def test_one_dimension_is_means_and_deviations():
    real, fake = np.array([[0.0], [2]]), np.array([[5.0], [11]])
    expected = (8 - 1) ** 2 + (np.std([5, 11], ddof=1) - np.std([0, 2], ddof=1)) ** 2
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-14)


def test_large_well_conditioned_covariances_take_the_fast_path_to_the_same_number():
    """Scaling by 2 has a closed form: |step|^2 + tr S."""
    real = np.random.default_rng(2).normal(size=(900, 300))
    expected = 300 * 0.01 + np.trace(np.cov(real, rowvar=False))
    assert frechet_distance(real, 2 * (real - real.mean(axis=0)) + real.mean(axis=0) + 0.1) == pytest.approx(
        expected, rel=1e-10
    )


@pytest.mark.parametrize("n", [2, 5, 40, 300])
@pytest.mark.parametrize("d", [1, 7, 200])
def test_a_set_is_at_no_distance_from_itself(n, d):
    x = relu_features(n, d, 3)
    for value in (frechet_distance(x, x), statistics_distance(Statistics.of(x), Statistics.of(x))):
        assert 0 <= value < 1e-10 * max(1, np.var(x) * d)


def awkward(kind, n, seed):
    x = np.random.default_rng(seed).normal(size=(n, 160))
    if kind == "constant columns":
        x[:, 10:150] = 3.7
    elif kind == "repeated columns":
        x[:, 80:] = x[:, :80]
    elif kind == "all rows equal":
        x[:] = x[0]
    elif kind == "tiny and huge columns":
        x *= np.logspace(-8, 4, 160)
    elif kind == "far from the origin":
        x += 1e6
    return x


@pytest.mark.parametrize(
    "kind",
    ["constant columns", "repeated columns", "all rows equal", "tiny and huge columns", "far from the origin"],
)
@pytest.mark.parametrize("n", [20, 400])
def test_awkward_covariances_agree_with_exact_roots_of_the_data(kind, n):
    """The singular values of the product of the centred features need no covariance, and so lose no digits."""
    real, fake = awkward(kind, n, 1), awkward(kind, n, 2)
    a, b = ((x - x.mean(axis=0)) / np.sqrt(n - 1) for x in (real, fake))
    step = real.mean(axis=0) - fake.mean(axis=0)
    expected = step @ step + np.sum(a**2) + np.sum(b**2) - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)
    assert statistics_distance(Statistics.of(real), Statistics.of(fake)) == pytest.approx(expected, rel=1e-6)


def test_symmetric_and_blind_to_rotation():
    real, fake = relu_features(90, 30, 1), relu_features(50, 30, 2, 0.2)
    value = frechet_distance(real, fake)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    assert frechet_distance(fake, real) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(real @ rotation, fake @ rotation) == pytest.approx(value, rel=1e-10)


def test_merged_statistics_are_those_of_the_union():
    x = relu_features(5000, 20, 1) + 1e4
    whole = Statistics.of(x)
    merged = Statistics.of(x[:1]) + Statistics.of(x[1:70]) + Statistics.of(x[70:])
    assert merged.n == whole.n == 5000
    np.testing.assert_allclose(merged.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(merged.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(whole.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [12, 900])
def test_a_stream_of_batches_gives_the_distance_of_the_whole(n):
    """Added up batch by batch, of unequal sizes, one of a single row."""
    real, fake = relu_features(n, 30, 1), relu_features(n, 30, 2, 0.2)
    cuts = [1, n // 5, n // 2]
    streamed = [sum(map(Statistics.of, rest), Statistics.of(first)) for first, *rest in
                (np.split(x, cuts) for x in (real, fake))]  # fmt: skip
    for own, x in zip(streamed, (real, fake), strict=True):
        np.testing.assert_allclose(own.mean, x.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(own.scatter, Statistics.of(x).scatter, rtol=1e-12, atol=1e-12 * n)
    whole = statistics_distance(Statistics.of(real), Statistics.of(fake))
    assert statistics_distance(*streamed) == pytest.approx(whole, rel=1e-12 if n > 30 else 1e-7)


def test_float32_features_are_widened_before_they_are_summed():
    x = relu_features(3000, 12, 1).astype(np.float32) + np.float32(100)
    y = relu_features(3000, 12, 2).astype(np.float32) + np.float32(100)
    expected = frechet_distance(x.astype(np.float64), y.astype(np.float64))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_bias_of_small_samples_is_as_the_documentation_says():
    draw = np.random.default_rng(0).normal
    assert frechet_distance(draw(size=(20, 84)), draw(size=(20, 84))) == pytest.approx(110, rel=0.1)
    assert frechet_distance(draw(size=(1000, 84)), draw(size=(1000, 84))) == pytest.approx(3.75, rel=0.1)


def test_statistics_of_too_few_rows_or_other_dimensions_are_refused():
    one, two = Statistics.of(np.zeros((1, 3))), Statistics.of(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="at least 2 rows"):
        statistics_distance(one, one)
    with pytest.raises(ValueError, match="3 and 4 dimensions"):
        one + two
    with pytest.raises(ValueError, match="1 rows"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
