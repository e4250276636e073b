"""Rules of the gate: `FIGURE OPERATOR NUMBER`, such as `worst.label_agreement_ratio >= 0.8`."""

import difflib
import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass

# Figures of the whole, and of each class (as `worst.<figure>`): whether more is better.
OVERALL = {"fid": False, "kid": False, "inception_score": True, "label_agreement": True}
PER_CLASS = {"kid": False, "label_agreement": True, "label_agreement_ratio": True}
MORE_IS_BETTER = OVERALL | {f"worst.{name}": better for name, better in PER_CLASS.items()}

# What a figure can be; any number if it is not here.
_RANGES = {
    "fid": (0, math.inf),
    "inception_score": (1, math.inf),
    "label_agreement": (0, 1),
    "label_agreement_ratio": (0, math.inf),
}

_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_PATTERN = re.compile(r"\s*([\w.]+)\s*(>=|<=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True)
class Rule:
    """One condition on one figure."""

    figure: str
    operator: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.figure} {self.operator} {self.threshold:g}"

    def holds(self, value: float | None) -> bool:
        """Whether `value` meets the rule. A figure that is missing or not a number meets none."""
        return value is not None and not math.isnan(value) and _OPERATORS[self.operator](value, self.threshold)


def known_figure(name: str) -> str:
    """Returns `name`.

    Raises:
      ValueError: if no figure has that name; the nearest and the known ones are listed.
    """
    if name not in MORE_IS_BETTER:
        near = difflib.get_close_matches(name, MORE_IS_BETTER, n=1)
        hint = f" did you mean `{near[0]}`?" if near else ""
        raise ValueError(f"unknown figure `{name}`;{hint} known: {', '.join(MORE_IS_BETTER)}")
    return name


def parse_rule(text: str) -> Rule:
    """Parses one rule.

    >>> parse_rule("fid <= 2.0")
    Rule(figure='fid', operator='<=', threshold=2.0)

    Raises:
      ValueError: if the form, the figure or the number is not right.
    """
    match = _PATTERN.fullmatch(text)
    if not match:
        raise ValueError(f"rule `{text}` is not of the form `FIGURE >=|<=|>|< NUMBER`")
    figure, symbol, number = match.groups()
    try:
        threshold = float(number)
    except ValueError:
        raise ValueError(f"rule `{text}`: `{number}` is not a number") from None
    if not math.isfinite(threshold):
        raise ValueError(f"rule `{text}`: the threshold must be finite")
    low, high = _RANGES.get(known_figure(figure).removeprefix("worst."), (-math.inf, math.inf))
    if not low <= threshold <= high:
        raise ValueError(f"rule `{text}`: `{figure}` lies between {low:g} and {high:g}, and {threshold:g} does not")
    return Rule(figure, symbol, threshold)


def not_worse(
    figures: Mapping[str, float | None], served: Mapping[str, float | None], figure: str, margin: float
) -> bool:
    """Whether a figure is at most `margin` worse than what serves; a figure the served model lacks cannot be missed."""
    new, old = figures.get(figure), served.get(figure)
    if old is None:
        return True
    if new is None:
        return False
    return new >= old - margin if MORE_IS_BETTER[figure] else new <= old + margin
