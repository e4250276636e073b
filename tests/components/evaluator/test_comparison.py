"""Not worse than another version: pairing, intervals for all classes at once, outcomes, size and power."""

import numpy as np
import pytest

from components.evaluator.class_figures import MADE, OTHER, real_classes, sample
from components.evaluator.comparison import Other, agreement_differences, compare, kid_differences
from components.evaluator.options import GateOptions
from components.evaluator.resampled import Drawn

OPTIONS = GateOptions(resamples=200)


def compared(gaussians, real, made, others_made, margins, options=OPTIONS):
    classes = len(gaussians.names)
    kernel = real_classes(real, classes, options)
    kids, other_kids = (
        [own.distance(sample(view, label, options, kind)) for label, own in enumerate(kernel.samples)]
        for view, kind in ((made, MADE), (others_made, OTHER))
    )
    return compare(Other("serving", 7, others_made), gaussians.names, made, kids, other_kids, kernel, margins)


def outcomes(rows, figure):
    return {row.where: row.outcome for row in rows if row.figure == figure}


def test_equal_generators_are_not_worse_than_each_other(gaussians):
    real = gaussians.view([40] * 4, 0)
    rows = compared(
        gaussians,
        real,
        gaussians.view([300] * 4, 1),
        gaussians.view([300] * 4, 2),
        {"kid_relative": 0.15, "label_agreement": 0.15},
    )
    assert len(rows) == 8 and all(row.passed and row.outcome == "pass" for row in rows)
    assert {(row.against, row.version) for row in rows} == {("serving", 7)}


def test_a_class_that_is_worse_fails_and_is_the_only_one(gaussians):
    real, served = gaussians.view([40] * 4, 0), gaussians.view([300] * 4, 2)
    made = gaussians.view([300] * 4, 1, drawn_as={2: 0})
    rows = compared(gaussians, real, made, served, {"kid": 0.5, "kid_relative": 0.2, "label_agreement": 0.2})
    for figure in ("kid", "kid_relative", "label_agreement"):
        assert {where for where, outcome in outcomes(rows, figure).items() if outcome == "fail"} == {"c"}
    worse = next(row for row in rows if (row.figure, row.where) == ("label_agreement", "c"))
    assert worse.value < 0.2 < 0.8 < worse.other and worse.hi < -0.2


def test_a_class_that_is_better_passes(gaussians):
    real, made = gaussians.view([40] * 4, 0), gaussians.view([300] * 4, 1)
    rows = compared(
        gaussians,
        real,
        made,
        gaussians.view([300] * 4, 2, drawn_as={2: 0}),
        {"kid_relative": 0.2, "label_agreement": 0.2},
    )
    assert {row.outcome for row in rows} == {"pass"}


def test_few_images_cannot_tell(gaussians):
    real = gaussians.view([40, 40, 40, 3], 0)
    rows = compared(
        gaussians, real, gaussians.view([300, 300, 300, 8], 1), gaussians.view([300, 300, 300, 8], 2),
        {"kid_relative": 0.15, "kid": 9.0, "label_agreement": 0.1},
    )  # fmt: skip
    assert outcomes(rows, "kid_relative")["d"] == outcomes(rows, "kid")["d"] == "cannot_tell"
    assert outcomes(rows, "label_agreement")["d"] == "cannot_tell"
    assert outcomes(rows, "kid_relative")["a"] == "pass"


def test_what_the_real_images_contribute_to_both_cancels(gaussians):
    """With the same fakes on both sides nothing differs; with other resamples of the real ones it would."""
    real, made = gaussians.view([20] * 4, 0), gaussians.view([100] * 4, 1)
    kernel = real_classes(real, 4, OPTIONS)
    kids = [own.distance(sample(made, label, OPTIONS, MADE)) for label, own in enumerate(kernel.samples)]
    apart = [own.distance(sample(made, label, OPTIONS, OTHER)) for label, own in enumerate(kernel.samples)]
    alone = [own.distance(real_classes(made, 4, OPTIONS).samples[label]) for label, own in enumerate(kernel.samples)]
    assert all(d.lo == d.hi == 0 for d in kid_differences(kids, kids, [1.0] * 4))
    spread = kids[0].draws.std()
    assert np.std(kids[0].draws - apart[0].draws) < 0.8 * np.sqrt(2) * spread
    assert alone[0].value == pytest.approx(kids[0].value)


def test_intervals_hold_for_all_classes_at_once():
    """Drawn figures whose resamples spread as they do themselves: all of ten intervals hold in 95 of 100 cases."""
    random, held = np.random.default_rng(0), []
    for _ in range(400):
        values = random.normal(size=10)
        draws = values[:, None] + random.normal(size=(10, 400))
        one = [Drawn(float(v), d, 1000) for v, d in zip(values, draws, strict=True)]
        other = [Drawn(0.0, np.zeros(400), 1000)] * 10
        held.append(all(d.lo <= 0 <= d.hi for d in kid_differences(one, other, [1.0] * 10)))
    assert 0.92 <= np.mean(held) <= 0.98


def test_agreement_intervals_are_newcombes():
    """56/70 against 48/80 (Newcombe 1998, table II, a): 0.0524 to 0.3339 by method 10."""

    class Counted:
        def __init__(self, k, n):
            self.predicted, self.n = np.repeat([0, 1], [k, n - k]), n

        def of_class(self, label):
            return self

        def __len__(self):
            return self.n

    (found,) = agreement_differences(Counted(56, 70), Counted(48, 80), 1)
    assert (round(found.lo, 4), round(found.hi, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize(("towards", "low", "high"), [(0.0, 0.0, 0.05), (1.0, 0.95, 1.0)])
def test_size_and_power(make_gaussians, towards, low, high):
    """How often an equally good generator fails, and one that makes a class as its neighbour."""
    gaussians, failed = make_gaussians(3), []
    options = GateOptions(resamples=100)
    for seed in range(60):
        real = gaussians.view([15] * 3, 3 * seed)
        made = gaussians.view([60] * 3, 3 * seed + 1, towards={0: (1, towards)})
        rows = compared(gaussians, real, made, gaussians.view([60] * 3, 3 * seed + 2), {"kid_relative": 0.1}, options)
        failed.append(any(row.outcome == "fail" for row in rows))
    assert low <= np.mean(failed) <= high
