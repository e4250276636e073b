"""A figure that says how sure it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval [lo, hi]; both limits are None where an interval cannot be had."""

    value: float
    lo: float | None = None
    hi: float | None = None
