"""The candidate against versions that serve or served: not worse by more than a margin, class by class.

Non-inferiority: a comparison passes where the whole interval of the difference lies within the margin, fails where
the whole interval lies beyond it, and else cannot be told. The intervals of one figure hold for all classes at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Literal

import numpy as np
from scipy.special import ndtri, stdtrit

from components.evaluator.class_figures import RealClasses
from components.evaluator.resampled import CONFIDENCE, Drawn
from components.evaluator.rules import GROUPED, Outcome
from components.evaluator.views import View
from metrics.agreement import wilson_interval

Role = Literal["serving", "best"]


@dataclass(frozen=True, eq=False)
class Other:
    """A version that is or was served, and its own generated images, of other seeds than the candidate's."""

    role: Role
    version: int
    made: View


@dataclass(frozen=True)
class Comparison:
    """One figure of one class beside that of another version.

    Attributes:
      against: "serving" or "best".
      version: of the other.
      figure: its name.
      where: the class.
      value: of the candidate.
      other: of the other version.
      difference: value - other.
      lo: lower end of the simultaneous interval of the difference, None if there is none.
      hi: upper end.
      margin: by which the candidate may be worse.
      outcome: "pass", "fail" or "cannot_tell".
      passed: whether it is "pass".
    """

    against: Role
    version: int
    figure: str
    where: str
    value: float | None
    other: float | None
    difference: float | None
    lo: float | None
    hi: float | None
    margin: float
    outcome: Outcome
    passed: bool


@dataclass(frozen=True)
class Difference:
    """A difference candidate - other, with both values; None for what is not known."""

    value: float | None = None
    other: float | None = None
    difference: float | None = None
    lo: float | None = None
    hi: float | None = None


def compare(
    other: Other,
    classes: Sequence[str],
    made: View,
    kids: Sequence[Drawn | None],
    other_kids: Sequence[Drawn | None],
    kernel: RealClasses,
    margins: Mapping[str, float],
) -> list[Comparison]:
    """All comparisons with one other version, a row a figure and class.

    Of a single class there is no relative KID, see `without_unit`.

    Args:
      other: the other version.
      classes: names.
      made: generated images of the candidate.
      kids: KID of each class to the real images, of the candidate.
      other_kids: the same of the other version, with the same resamples of the real images.
      kernel: the real images.
      margins: by figure.
    """
    rows = []
    for figure, margin in margins.items():
        if figure in without_unit(classes, margins):
            continue
        if figure == "label_agreement":
            found = agreement_differences(made, other.made, len(classes))
        else:
            scales = [kernel.scale(label) for label in range(len(classes))]
            units = [1.0 if figure == "kid" else scale.value if scale else None for scale in scales]
            found = kid_differences(kids, other_kids, units)
        for name, difference in zip(classes, found, strict=True):
            rows.append(_row(other, figure, name, difference, margin))
    return rows


def without_unit(classes: Sequence[str], margins: Mapping[str, float]) -> list[str]:
    """Figures of `margins` that no generator of such data has: relative KID, where there is no other class."""
    return [figure for figure in margins if figure == "kid_relative" and len(classes) == 1]


def _row(other: Other, figure: str, where: str, d: Difference, margin: float) -> Comparison:
    outcome = _outcome(d, GROUPED[figure], margin)
    return Comparison(
        other.role, other.version, figure, where, d.value, d.other, d.difference, d.lo, d.hi, margin, outcome,
        outcome == "pass",
    )  # fmt: skip


def _outcome(d: Difference, more_is_better: bool, margin: float) -> Outcome:
    """Whether the candidate is worse by at most the margin."""
    if d.lo is None or d.hi is None:
        return "cannot_tell"
    at_most, at_least = (-d.lo, -d.hi) if more_is_better else (d.hi, d.lo)
    if at_most <= margin:
        return "pass"
    return "fail" if at_least > margin else "cannot_tell"


def kid_differences(
    kids: Sequence[Drawn | None], others: Sequence[Drawn | None], units: Sequence[float | None]
) -> list[Difference]:
    """Differences of KID in `units`, with max-T intervals that hold for all classes at once.

    Both generators are held against the same resamples of the real images, so what these contribute to both cancels;
    their own images are resampled independently. Each class's difference is studentised by its spread over resamples;
    the 95 % quantile of the largest over the classes (Romano and Wolf 2005) is the half-width of all, widened for few
    images as `percentile_interval` is. Relative KID divides by the value of the distance to the nearest class: how
    well that is known is not in the interval, where differences near 0 are concerned it hardly matters.
    """
    found = [
        (Difference() if a is None or b is None or unit is None else _kid_difference(a, b, unit))
        for a, b, unit in zip(kids, others, units, strict=True)
    ]
    draws, which, widths = [], [], []
    for label, (a, b, unit) in enumerate(zip(kids, others, units, strict=True)):
        if a is not None and b is not None and unit is not None and a.draws is not None and b.draws is not None:
            differences = (a.draws - b.draws) / unit
            spread = float(differences.std())
            draws.append(np.abs(differences - (a.value - b.value) / unit) / (spread or 1.0))
            widths.append(spread * _widening(min(a.rows, b.rows)))
            which.append(label)
    if not draws:
        return found
    largest = float(np.quantile(np.max(draws, axis=0), CONFIDENCE))
    for label, width in zip(which, widths, strict=True):
        d = found[label]
        assert d.difference is not None
        found[label] = Difference(
            d.value, d.other, d.difference, d.difference - largest * width, d.difference + largest * width
        )
    return found


def _kid_difference(a: Drawn, b: Drawn, unit: float) -> Difference:
    return Difference(a.value / unit, b.value / unit, (a.value - b.value) / unit)


def _widening(n: int) -> float:
    """What an interval of a mean of n is wider than its bootstrap by (Hesterberg 2015, section 5.3)."""
    tail = (1 - CONFIDENCE) / 2
    return float(stdtrit(n - 1, tail) / ndtri(tail)) * sqrt(n / (n - 1))


def agreement_differences(made: View, other: View, classes: int) -> list[Difference]:
    """Differences of label agreement, with Newcombe's hybrid score interval (1998, method 10) at Bonferroni's level."""
    confidence = 1 - (1 - CONFIDENCE) / classes
    found = []
    for label in range(classes):
        (p, p_low, p_high), (q, q_low, q_high) = (_agreement(view, label, confidence) for view in (made, other))
        if p is None or q is None:
            found.append(Difference(p, q))
        else:
            found.append(
                Difference(p, q, p - q, p - q - hypot(p - p_low, q_high - q), p - q + hypot(p_high - p, q - q_low))
            )
    return found


def _agreement(view: View, label: int, confidence: float) -> tuple[float | None, float, float]:
    own = view.of_class(label)
    agreeing, n = int(np.sum(own.predicted == label)), len(own)
    return agreeing / n if n else None, *wilson_interval(agreeing, n, confidence)
