"""Sizes of feature maps."""

import doctest

import pytest

from models.networks import sizes


@pytest.mark.parametrize(
    ("shape", "times", "base"),
    [
        ((8, 8), 2, (2, 2)),
        ((16, 16), 2, (4, 4)),
        ((28, 28), 2, (7, 7)),
        ((32, 32), 3, (4, 4)),
        ((64, 64), 4, (4, 4)),
        ((7, 7), 0, (7, 7)),
        ((4, 4), 2, (1, 1)),
        ((32, 28), 2, (8, 7)),
        ((30, 30), 3, (4, 4)),
        ((9, 9), 1, (5, 5)),
        ((33, 47), 3, (5, 6)),
        ((16, 512), 2, (4, 128)),
    ],
)
def test_the_innermost_map(shape, times, base):
    assert sizes.halvings(shape) == times
    assert sizes.innermost(shape) == base


@pytest.mark.parametrize("side", range(4, 513))
def test_doubled_it_covers_the_image_with_little_to_crop(side):
    scale = 2 ** sizes.halvings((side, side))
    (doubled, _) = (part * scale for part in sizes.innermost((side, side)))
    assert side <= doubled < side + scale
    assert sizes.innermost((side, side))[0] <= sizes.INNERMOST


def test_the_examples_hold():
    assert doctest.testmod(sizes).failed == 0
