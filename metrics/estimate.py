"""A figure that says how sure it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval [lo, hi]."""

    value: float
    lo: float
    hi: float
