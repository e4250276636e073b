"""What a cost is at sizes that nobody has waited for: a line through those that were measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Line:
    """cost(n) = fixed + each * n, neither below 0."""

    fixed: float
    each: float

    def at(self, n: float) -> float:
        """The cost of n."""
        return self.fixed + self.each * n


def fit(sizes: Sequence[float], costs: Sequence[float]) -> Line:
    """The line with the least sum of squares of relative errors.

    Relative, because costs are of very different size, and errors of a clock grow with what it measures.

    >>> fit([1000, 10000, 100000], [5, 14, 104])
    Line(fixed=4.0, each=0.001)

    Args:
      sizes: n of each measurement, two different ones at least.
      costs: what it took, above 0.

    Raises:
      ValueError: too few sizes, or a cost that is not above 0.
    """
    n, y = np.asarray(sizes, float), np.asarray(costs, float)
    if len(np.unique(n)) < 2:
        raise ValueError(f"a line needs two different sizes; there are {sorted(set(sizes))}")
    if not (y > 0).all():
        raise ValueError(f"a cost is not above 0: {list(costs)}")
    scale = n.max()
    (fixed, each), _ = nnls(np.stack([1 / y, n / scale / y], axis=1), np.ones(len(y)))
    return Line(float(f"{fixed:.12g}"), float(f"{each / scale:.12g}"))


def relative_errors(line: Line, sizes: Sequence[float], costs: Sequence[float]) -> list[float]:
    """By which part of each cost the line is above it (below, where negative)."""
    return [line.at(n) / cost - 1 for n, cost in zip(sizes, costs, strict=True)]


def held_out_error(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """By which part of its cost the line through all smaller sizes is above the largest size.

    Far below 0: the cost grows faster than the size.
    """
    last = int(np.argmax(sizes))
    kept = [i for i in range(len(sizes)) if i != last]
    line = fit([sizes[i] for i in kept], [costs[i] for i in kept])
    return relative_errors(line, [sizes[last]], [costs[last]])[0]
