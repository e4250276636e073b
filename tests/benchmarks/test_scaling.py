"""The images and the lines that the benchmark of scale rests on."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.scaling_fit import Line, fit, held_out_error, relative_errors
from benchmarks.scaling_images import SIDE, class_counts, make

SIZES = [1000, 10_000, 30_000, 100_000]


def folder(root, images):
    """{path below the root: bytes of the file}."""
    make(root, images)
    return {path.relative_to(root): path.read_bytes() for path in root.glob("*/*.png")}


def test_images_are_as_many_as_asked_for_and_no_two_are_alike(tmp_path):
    files = folder(tmp_path, 2000)
    assert len(files) == 2000
    pixels = [np.asarray(Image.open(tmp_path / path)) for path in files]
    assert {image.shape for image in pixels} == {(SIDE, SIDE, 3)}
    assert len({image.tobytes() for image in pixels}) == 2000


def test_equal_numbers_make_equal_files_and_a_larger_one_adds_to_them(tmp_path):
    few, again, more = folder(tmp_path / "a", 300), folder(tmp_path / "b", 300), folder(tmp_path / "c", 700)
    assert few == again
    assert few.items() < more.items()


def test_an_image_shows_its_digit(tmp_path):
    """The mean of a class is nearer to that of its own digit in another set than to any other, ink being contrast."""
    means = []
    for name, first in (("a", 0), ("b", 1)):
        make(tmp_path / name, 1200)
        means.append([_contrast(sorted((tmp_path / name / str(label)).iterdir())[first::2]) for label in range(10)])
    distances = np.linalg.norm(np.array(means[0])[:, None] - np.array(means[1]), axis=-1)
    assert (distances.argmin(axis=1) == np.arange(10)).all()


def _contrast(paths):
    grey = np.array([np.asarray(Image.open(path).convert("L"), float).ravel() for path in paths])
    return (grey - np.median(grey, axis=1, keepdims=True)).mean(axis=0)


@pytest.mark.parametrize("images", [1000, 1234, 100_000])
def test_classes_have_a_long_tail_of_all_images(images):
    counts = class_counts(images)
    assert sum(counts) == images and counts == sorted(counts, reverse=True)
    assert counts[0] / counts[-1] == pytest.approx(20, rel=0.1)


def test_a_line_is_found_again():
    line = fit(SIZES, [7 + 0.002 * n for n in SIZES])
    assert (line.fixed, line.each) == pytest.approx((7, 0.002))
    assert line.at(10**7) == pytest.approx(20_007)
    assert relative_errors(line, SIZES, [7 + 0.002 * n for n in SIZES]) == pytest.approx([0] * 4, abs=1e-9)


def test_errors_are_relative_so_that_small_sizes_count_as_much_as_large_ones():
    costs = [5.0, 14.0, 34.0, 208.0]  # the line of the first three is 4 + n / 1000, half of the last cost
    absolute = np.polyfit(SIZES, costs, 1)
    found = relative_errors(fit(SIZES, costs), SIZES, costs)
    assert np.square(found).sum() < np.square(np.polyval(absolute, SIZES) / costs - 1).sum()
    assert held_out_error(SIZES, costs) == pytest.approx(-0.5)


def test_neither_part_of_a_cost_is_below_nothing():
    assert fit([1, 2, 3], [3.0, 2.0, 1.0]).each == 0
    assert fit([1, 2, 3], [1.0, 4.0, 9.0]).fixed == 0
    assert fit([1, 10], [5.0, 5.0]) == Line(5.0, 0.0)


def test_the_largest_size_is_held_out_wherever_it_stands():
    assert held_out_error([100, 1, 10], [1001.0, 11.0, 101.0]) == pytest.approx(0, abs=1e-9)
    assert held_out_error([1, 10, 100], [1.0, 100.0, 10_000.0]) < -0.9


def test_what_no_line_can_be_laid_through_is_refused():
    with pytest.raises(ValueError, match=r"two different sizes; there are \[5\]"):
        fit([5, 5], [1.0, 2.0])
    with pytest.raises(ValueError, match="not above 0"):
        fit([1, 2], [0.0, 1.0])
