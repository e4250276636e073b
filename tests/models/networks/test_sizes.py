"""Which image sizes the networks make."""

import doctest
import subprocess
import sys

import pytest

from models.networks import sizes


@pytest.mark.parametrize("side", [4, 7, 8, 14, 16, 28, 32, 56, 64, 128, 224, 512])
def test_sides_of_4_7_or_8_times_a_power_of_two_are_allowed(side):
    sizes.check_image_size((side, side, 3))


@pytest.mark.parametrize(("side", "nearest"), [(30, "28 and 32"), (9, "8 and 14"), (3, "4"), (1000, "512"), (0, "4")])
def test_others_are_refused_with_the_nearest(side, nearest):
    for shape in ((side, 8), (8, side, 1)):
        with pytest.raises(ValueError, match=rf"side of {side} pixels .*the nearest: {nearest}$"):
            sizes.check_image_size(shape)


def test_channels_are_no_side():
    sizes.check_image_size((8, 8, 3))


@pytest.mark.parametrize(
    ("shape", "times"),
    [((8, 8), 2), ((16, 16), 2), ((28, 28), 2), ((32, 32), 3), ((64, 64), 4), ((7, 7), 0), ((32, 28), 2), ((4, 4), 2)],
)
def test_halvings_reach_a_base_of_whole_pixels(shape, times):
    assert sizes.halvings(shape) == times
    assert all(side % 2**times == 0 for side in shape)


def test_the_example_holds():
    assert doctest.testmod(sizes).failed == 0


def test_a_size_is_checked_without_tensorflow():
    program = "import sys, models.networks.sizes; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
