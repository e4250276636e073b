"""From cron's five fields to the six of Kubeflow Pipelines, which begin with seconds, and which it does not check."""

import re
from dataclasses import dataclass

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True)
class _Field:
    """A field: its first and last value, and names that stand for values from `first` on."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def value(self, text: str) -> int | None:
        """The number that a text stands for; None if it is none that is allowed."""
        if text.upper() in self.names:
            return self.first + self.names.index(text.upper())
        return int(text) if re.fullmatch("[0-9]{1,2}", text) and self.first <= int(text) <= self.last else None

    @property
    def allowed(self) -> str:
        return f"{self.first} to {self.last}" + (f" or {self.names[0]} to {self.names[-1]}" if self.names else "")


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


def six_fields(expression: str) -> str:
    """The expression with a field for seconds before it.

    >>> six_fields("0 3 * * 1")
    '0 0 3 * * 1'

    Raises:
      ValueError: if it is not valid; with the position of the fault, characters counted from 1.
    """
    found = list(re.finditer(r"\S+", expression))
    if len(found) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        raise ValueError(f"`{expression}` has {len(found)} fields instead of {len(_FIELDS)}: {names}")
    for match, field in zip(found, _FIELDS, strict=True):
        position = match.start()
        for part in match.group().split(","):
            if fault := _fault(part, field):
                raise ValueError(f"`{expression}`: character {position + 1}, {field.name}: {fault}")
            position += len(part) + 1
    return " ".join(["0", *(match.group() for match in found)])


def _fault(part: str, field: _Field) -> str:
    """What is wrong with one part of a list: `*`, a value or a range, each with or without a step; "" if nothing is."""
    span, slash, step = part.partition("/")
    if slash and not re.fullmatch("[1-9][0-9]?", step):
        return f"`{part}`: a step is a number from 1 to 99"
    if span == "*":
        return ""
    ends = span.split("-")
    values = [field.value(end) for end in ends]
    if len(ends) > 2 or None in values:
        return f"`{part}` is not *, a value ({field.allowed}) or a range of values"
    first, last = values[0], values[-1]
    assert first is not None and last is not None
    return f"`{span}` ends before it begins" if last < first else ""
