"""Intervals of agreement: published figures, and their true coverage by summing over all outcomes."""

import numpy as np
import pytest

from metrics.agreement import agreement_ratio, label_agreement, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "limits"),
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3.
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_published_wilson_intervals(successes, n, limits):
    assert wilson_interval(successes, n) == pytest.approx(limits, abs=5e-5)


def test_ends():
    assert wilson_interval(0, 0) == (0, 1)
    for n in (1, 7, 100):
        low, high = wilson_interval(n, n)
        assert high == 1 and 0 < low < 1
        assert wilson_interval(0, n) == pytest.approx((0, 1 - low))
    assert wilson_interval(5, 10, 0.99)[0] < wilson_interval(5, 10, 0.9)[0]


def binomial(n, p):
    """[n + 1] probabilities of 0..n successes."""
    row = np.ones(1)
    for _ in range(n):
        row = np.convolve(row, [1 - p, p])
    return row


@pytest.mark.parametrize("n", [10, 30, 100])
def test_wilson_covers_on_average(n):
    intervals = [wilson_interval(k, n) for k in range(n + 1)]
    rates = [
        sum(w for w, (low, high) in zip(binomial(n, p), intervals, strict=True) if low <= p <= high)
        for p in np.linspace(0.01, 0.99, 99)
    ]
    assert np.mean(rates) == pytest.approx(0.95, abs=0.01)
    assert min(rates) > 0.83


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize(("p", "q"), [(0.95, 0.95), (0.7, 0.9), (0.75, 0.75), (0.3, 0.95)])
def test_the_ratio_is_covered(n, p, q):
    """Exact, over all outcomes; those where it cannot tell do not count."""
    outcomes = [
        (w * v, agreement_ratio(a, 50, r, n))
        for a, w in enumerate(binomial(50, p))
        for r, v in enumerate(binomial(n, q))
        if w * v > 1e-9
    ]
    told = [(weight, estimate) for weight, estimate in outcomes if estimate]
    covered = sum(weight for weight, estimate in told if estimate.lo <= p / q <= estimate.hi)
    assert 0.93 <= covered / sum(weight for weight, _ in told) <= 0.995


def test_the_ratio_where_the_logarithmic_interval_has_no_width():
    sure = agreement_ratio(50, 50, 20, 20)
    assert sure.value == 1 and sure.lo < 0.95 and sure.hi > 1.05
    none = agreement_ratio(0, 50, 20, 20)
    assert (none.value, none.lo) == (0, 0) and 0 < none.hi < 0.15
    rare = agreement_ratio(30, 40, 1, 30)
    assert rare.lo < rare.value < rare.hi < np.inf


def test_the_ratio_narrows_to_its_value():
    wide, narrow = agreement_ratio(6, 8, 8, 10), agreement_ratio(60000, 80000, 80000, 100000)
    assert narrow.value == wide.value == pytest.approx(0.9375)
    assert narrow.hi - narrow.lo < 0.02 < wide.hi - wide.lo


@pytest.mark.parametrize("counts", [(0, 0, 5, 5), (3, 5, 0, 5), (3, 5, 0, 0)])
def test_it_says_when_it_cannot_tell(counts):
    assert agreement_ratio(*counts) is None


def test_counts_by_class():
    agreeing, total = label_agreement([0, 0, 1, 3, 3, 3], [0, 1, 1, 3, 0, 3], classes=5)
    assert agreeing.tolist() == [1, 1, 0, 2, 0] and total.tolist() == [2, 1, 0, 3, 0]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="6 successes of 5"):
        wilson_interval(6, 5)
    with pytest.raises(ValueError, match="`confidence` is 1"):
        wilson_interval(1, 5, confidence=1)
    with pytest.raises(ValueError, match="2 labels and `predicted` 1"):
        label_agreement([0, 1], [0], classes=2)
