"""What the spread of KID is said to be is what it is found to be."""

import numpy as np
import pytest

from metrics.kernel import kernel_distance, permutation_p_value
from metrics.power import null_deviation, smallest_seen

D = 16


def normal(random, n, shift=0.0):
    return random.normal(size=(n, D)) * np.linspace(0.5, 1.5, D) + np.eye(D)[0] * shift


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 200), (200, 200)])
def test_null_deviation_is_that_of_repeated_draws(n, m):
    random = np.random.default_rng(0)
    found = np.std([kernel_distance(normal(random, n), normal(random, m)) for _ in range(1500)])
    said = np.mean([null_deviation(normal(random, n), m) for _ in range(40)])
    assert said == pytest.approx(found, rel=0.15)


def test_the_variance_behind_it_has_no_bias_at_small_n():
    random = np.random.default_rng(1)
    factor = 2 / (1000 * 999) * 2 + 4 / 1000**2
    truth = null_deviation(normal(random, 1000), 1000) ** 2 / factor
    small = [null_deviation(normal(random, 8), 1000) ** 2 / (2 / 56 + 2 / (1000 * 999) + 4 / 8000) for _ in range(1000)]
    assert np.mean(small) == pytest.approx(truth, rel=0.15)


def test_what_is_said_to_be_seen_is_seen_in_most_cases_and_a_third_of_it_is_not():
    random, n = np.random.default_rng(2), 40
    real = normal(random, 2000)
    wanted = np.mean([smallest_seen(real[i * n : (i + 1) * n], n) for i in range(50)])

    def seen(size):
        shifts = np.linspace(0, 3, 31)  # the shift whose KID, measured on many images, is that size
        other = normal(np.random.default_rng(3), 2000)
        shift = shifts[np.argmin([abs(kernel_distance(real, other + np.eye(D)[0] * s) - size) for s in shifts])]
        tests = (permutation_p_value(normal(random, n), normal(random, n, shift), 200, i) for i in range(200))
        return np.mean([p <= 0.05 for p in tests])

    assert 0.55 <= seen(wanted) <= 0.85
    assert seen(wanted / 3) <= 0.4


def test_more_images_see_less():
    real = normal(np.random.default_rng(3), 100)
    assert smallest_seen(real, 1000) < smallest_seen(real, 100) < smallest_seen(real[:50], 100)
    assert smallest_seen(real, 100, power=0.9) > smallest_seen(real, 100) > smallest_seen(real, 100, level=0.1)


def test_tiles_do_not_change_it(monkeypatch):
    real = normal(np.random.default_rng(4), 30)
    whole = null_deviation(real, 10)
    monkeypatch.setattr("metrics.distances._MAX_ROWS", 7)
    assert null_deviation(real, 10) == pytest.approx(whole, rel=1e-12)


def test_equal_images_have_no_spread_and_too_few_are_refused():
    assert null_deviation(np.ones((5, 3)), 4) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="at least 4"):
        null_deviation(np.ones((3, 3)), 4)
    with pytest.raises(ValueError, match="`m` is 1"):
        null_deviation(np.ones((5, 3)), 1)
    with pytest.raises(ValueError, match="`level`"):
        smallest_seen(np.ones((5, 3)), 4, level=1.0)
