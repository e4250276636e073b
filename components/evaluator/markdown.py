"""Figures and names as Markdown that shows them as they are, whatever a class is called."""

import re
from collections.abc import Iterable, Sequence

UNKNOWN = "–"
# What Markdown, HTML in it, or a formula in dollars could take for its own.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$#])")
_BAR, _ESCAPED_BAR = re.compile(r"(?<!\\)\|"), r"\\|"


def number(value: float | int | None, digits: int = 3) -> str:
    """A figure as people read it.

    >>> number(0.12345), number(7), number(None), number(-0.0001)
    ('0.123', '7', '–', '0.000')
    """
    if value is None:
        return UNKNOWN
    return str(value) if isinstance(value, int) else f"{value:z.{digits}f}"


def estimate(value: float | None, interval: Sequence[float | None] | None, digits: int = 3) -> str:
    """A figure with its interval, where it has one.

    >>> estimate(0.13, [0.05, 0.24], digits=2), estimate(0.13, None), estimate(None, [None, None])
    ('0.13 [0.05, 0.24]', '0.130', '–')
    """
    if value is None or not interval or interval[0] is interval[1] is None:
        return number(value, digits)
    return f"{number(value, digits)} [{number(interval[0], digits)}, {number(interval[1], digits)}]"


def escape(text: object) -> str:
    r"""A text of one line in which nothing is markup.

    >>> escape("a*b|c")
    'a\\*b\\|c'
    """
    return _SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", str(text)))


def code(text: str) -> str:
    """A text of one line set as code.

    >>> code("a`b"), code("x >= 1")
    ('`` a`b ``', '`x >= 1`')
    """
    line = " ".join(text.split())
    if "`" not in line:
        return f"`{line}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", line))))
    return f"{fence} {line} {fence}"


def sentence(text: str) -> str:
    """A text in which only what stands between back-ticks is markup."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # a back-tick without its other half
        return escape(text)
    return "".join(code(part) if i % 2 and part.strip() else escape(part) for i, part in enumerate(parts))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table.

    Args:
      header: Markdown of each column.
      rows: cells, Markdown; a bar in one, as of code, does not end it.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_BAR.sub(_ESCAPED_BAR, cell) for cell in cells)} |" for cells in lines)
