"""Small drawings for a page that is light or dark: SVG whose colours are the page's own, told in words beside them."""

from collections.abc import Sequence

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 110, 14
_TREND_WIDTH, _TREND_HEIGHT, _MARGIN = 640, 150, 40


def whisker(
    value: float | None, interval: Sequence[float | None] | None, limits: tuple[float, float], reference: float
) -> Markup:
    """A figure as a dot, its interval as a line, and what real images read as a thin upright line; "" for no figure.

    Args:
      value: the figure.
      interval: [lo, hi], None or its ends None where there is none.
      limits: of the axis, the first below the second.
      reference: within the limits.
    """
    if value is None:
        return Markup("")

    def x(number: float) -> str:
        part = (number - limits[0]) / (limits[1] - limits[0])
        return f"{4 + (_WIDTH - 8) * min(max(part, 0.0), 1.0):.1f}"

    lo, hi = (value if end is None else end for end in interval or (None, None))
    middle = _HEIGHT / 2
    # Made of numbers only, so that nothing is to be escaped.
    return Markup(
        f'<svg class="whisker" width="{_WIDTH}" height="{_HEIGHT}" aria-hidden="true">'
        f'<line class="reference" x1="{x(reference)}" x2="{x(reference)}" y1="0" y2="{_HEIGHT}"/>'
        f'<line class="range" x1="{x(lo)}" x2="{x(hi)}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="dot" cx="{x(value)}" cy="{middle}" r="3.5"/></svg>'
    )


def trend(points: Sequence[tuple[str, float, str]], says: str) -> Markup:
    """A line through figures that are equally far apart.

    Args:
      points: two or more of (name, figure, class of the mark in the page's style).
      says: what is drawn, for those who do not see it.
    """
    values = [value for _, value, _ in points]
    low, high = min(0.0, *values), max(values)
    high = high if high > low else low + 1
    step = (_TREND_WIDTH - 2 * _MARGIN) / (len(points) - 1)

    def y(value: float) -> str:
        return f"{_MARGIN / 2 + (_TREND_HEIGHT - _MARGIN) * (high - value) / (high - low):.1f}"

    places = [(f"{_MARGIN + i * step:.1f}", y(value)) for i, value in enumerate(values)]
    marks = [
        f'<circle class="{escape(kind)}" cx="{place[0]}" cy="{place[1]}" r="4"><title>{escape(name)}: {value:.3f}'
        "</title></circle>"
        for (name, value, kind), place in zip(points, places, strict=True)
    ]
    levels = "".join(
        f'<text x="{_MARGIN - 8}" y="{y(level)}" text-anchor="end" dominant-baseline="middle">{level:z.2f}</text>'
        f'<line class="reference" x1="{_MARGIN}" x2="{_TREND_WIDTH - _MARGIN}" y1="{y(level)}" y2="{y(level)}"/>'
        for level in (low, high)
    )
    ends = "".join(
        f'<text x="{places[i][0]}" y="{_TREND_HEIGHT - 4}" text-anchor="middle">{escape(points[i][0])}</text>'
        for i in (0, -1)
    )
    line = " ".join(",".join(place) for place in places)
    return Markup(
        f'<svg class="trend" viewBox="0 0 {_TREND_WIDTH} {_TREND_HEIGHT}" width="{_TREND_WIDTH}" '
        f'height="{_TREND_HEIGHT}" role="img" aria-label="{escape(says)}">'
        f'{levels}{ends}<polyline class="range" points="{line}"/>{"".join(marks)}</svg>'
    )
