"""Rules of the gate: `[SCOPE.]FIGURE[.END] OPERATOR NUMBER`, such as `worst.kid_relative <= 0.3`.

A figure of finite images is an interval, so a rule has three outcomes. `F <= t` passes where the whole interval is at
or below t, fails where the whole interval is above it, and else cannot be told. SCOPE is `head`, `middle`, `tail`,
`mean`, `worst` or `class[NAME]`; without one the figure is of all images together. A p-value of classes is for `worst`
and `class[NAME]` alone, and has no interval. END takes one end of the interval,
or the value, alone:

| form | passes | fails |
|---|---|---|
| `F <= t`, `F.hi <= t` | hi <= t | lo > t |
| `F >= t`, `F.lo >= t` | lo >= t | hi < t |
| `F.lo <= t`, `F.hi >= t` | that end holds | it does not |
| `F.value <= t`, `F.value >= t` | the value holds | it does not |
"""

import difflib
import math
import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "fail", "cannot_tell"]

# Figures of all images together, and of single classes and groups of them: whether more is better.
WHOLE = {
    "fid": False,
    "kid": False,
    "inception_score": True,
    "label_agreement": True,
    "precision": True,
    "recall": True,
    "density": True,
    "coverage": True,
    "c2st": False,
    "balance.kl": False,
    "balance.dead": False,
    "memorization.p": True,
    "memorization.c_t": True,
    "memorization.authenticity": True,
}
GROUPED = {
    "kid": False,
    "kid_relative": False,
    "coverage": True,
    "diversity": True,
    "label_agreement": True,
    "label_agreement_ratio": True,
    "judge_recall": True,
    "closest_record_ratio": True,
    "copied": False,
}
# Of single classes, and the least of them all: a mean of p-values is none.
P_VALUES = {"kid_p": True, "memorization_p": True}
GROUPS = ("head", "middle", "tail", "mean", "worst")
# The whole's figures that have an interval; of classes and groups all but p-values have.
WHOLE_INTERVALS = ("kid", "label_agreement", "c2st")

# What a figure can be; any number if it is not here.
_RANGES = {
    "fid": (0, math.inf),
    "inception_score": (1, math.inf),
    "label_agreement": (0, 1),
    "label_agreement_ratio": (0, math.inf),
    "judge_recall": (0, 1),
    "kid_p": (0, 1),
    "memorization_p": (0, 1),
    "precision": (0, 1),
    "recall": (0, 1),
    "density": (0, math.inf),
    "coverage": (0, 1),
    "c2st": (0, 1),
    "balance.kl": (0, math.inf),
    "balance.dead": (0, math.inf),
    "memorization.p": (0, 1),
    "memorization.authenticity": (0, 1),
    "diversity": (0, math.inf),
    "closest_record_ratio": (0, math.inf),
    "copied": (0, 1),
}

_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_PATTERN = re.compile(
    rf"\s*(?:(?P<scope>{'|'.join(GROUPS)}|class\[(?P<name>.+)\])\.)?(?P<figure>[A-Za-z_]\w*(?:\.\w+)*?)"
    r"(?:\.(?P<end>value|lo|hi))?\s*(?P<symbol>>=|<=|>|<)\s*(?P<number>\S+)\s*"
)


@dataclass(frozen=True)
class Rule:
    """One condition on one figure.

    Attributes:
      figure: name of the figure.
      operator: one of >=, <=, >, <.
      threshold: what it is held against.
      scope: one of GROUPS, "class", or "" for all images together.
      name: of the class, where the scope is one.
      end: "value", "lo", "hi", or "" for the interval.
    """

    figure: str
    operator: str
    threshold: float
    scope: str = ""
    name: str | None = None
    end: str = ""

    def __str__(self) -> str:
        scope = f"class[{self.name}]." if self.scope == "class" else f"{self.scope}." if self.scope else ""
        short = f"{self.threshold:g}"
        number = short if float(short) == self.threshold else repr(self.threshold)
        return f"{scope}{self.figure}{'.' if self.end else ''}{self.end} {self.operator} {number}"

    @property
    def has_interval(self) -> bool:
        """Whether the figure has one where there are images enough."""
        return self.figure not in P_VALUES if self.scope else self.figure in WHOLE_INTERVALS

    def outcome(self, value: float | None, lo: float | None, hi: float | None) -> Outcome:
        """Whether a figure with its interval meets the rule; what is not known (None) cannot be told.

        A figure that has no interval by its nature is decided by its value; one whose interval is missing, because
        there are too few images, is not decided at all.
        """
        if self.end == "value" or not self.has_interval:
            return self._by(value)
        at_most = self.operator in ("<=", "<")
        cautious, generous = (hi, lo) if at_most else (lo, hi)
        if self.end == ("lo" if at_most else "hi"):
            return self._by(generous)
        if cautious is not None and self._holds(cautious):
            return "pass"
        if generous is not None and not self._holds(generous):
            return "fail"
        return "cannot_tell"

    def _by(self, number: float | None) -> Outcome:
        if number is None:
            return "cannot_tell"
        return "pass" if self._holds(number) else "fail"

    def _holds(self, number: float) -> bool:
        return bool(_OPERATORS[self.operator](number, self.threshold))


def known_figure(name: str, known: Iterable[str]) -> str:
    """Returns `name`.

    Raises:
      ValueError: if no figure has that name; the nearest and the known ones are listed.
    """
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" did you mean `{near[0]}`?" if near else ""
        raise ValueError(f"unknown figure `{name}`;{hint} known: {', '.join(known)}")
    return name


def _figures(scope: str) -> Iterable[str]:
    if not scope:
        return WHOLE
    return (*GROUPED, *P_VALUES) if scope in ("worst", "class") else GROUPED


def parse_rule(text: str) -> Rule:
    """Parses one rule.

    >>> parse_rule("worst.kid_relative <= 0.3")
    Rule(figure='kid_relative', operator='<=', threshold=0.3, scope='worst', name=None, end='')

    Raises:
      ValueError: if the form, the figure or the number is not right.
    """
    match = _PATTERN.fullmatch(text)
    if not match:
        raise ValueError(
            f"rule `{text}` is not of the form `[SCOPE.]FIGURE[.value|.lo|.hi] >=|<=|>|< NUMBER`, with SCOPE one of "
            f"{', '.join(GROUPS)}, class[NAME]"
        )
    scope, name, figure, end, symbol, number = match.group("scope", "name", "figure", "end", "symbol", "number")
    scope = "class" if name else scope or ""
    known_figure(figure, _figures(scope))
    try:
        threshold = float(number)
    except ValueError:
        raise ValueError(f"rule `{text}`: `{number}` is not a number") from None
    if not math.isfinite(threshold):
        raise ValueError(f"rule `{text}`: the threshold must be finite")
    low, high = _RANGES.get(figure, (-math.inf, math.inf))
    if not low <= threshold <= high:
        raise ValueError(f"rule `{text}`: `{figure}` lies between {low:g} and {high:g}, and {threshold:g} does not")
    return Rule(figure, symbol, threshold, scope, name, end or "")
