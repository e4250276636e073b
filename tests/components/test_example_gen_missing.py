"""Missing pixels: which they are, and that they do not show in those that are there."""

import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from components.example_gen.images import BadImage, ingest
from components.example_gen.options import DataOptions

RAMP = np.arange(1, 257, 4, dtype=np.uint8).reshape(8, 8)
HOLE = np.zeros((8, 8), bool)
HOLE[2:4, 3:6] = True


def taken_in(image, missing, size=8, channels=1, kind="PNG", **rest):
    """Pixels and mask as they are stored."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    options = DataOptions(image_size=size, channels=channels, missing_pixels=missing, **rest)
    found = ingest(buffer.getvalue(), options)
    stored = np.asarray(Image.open(io.BytesIO(found.png)))
    assert np.array_equal(stored.reshape(found.pixels.shape), found.pixels)
    assert found.mask.dtype == np.uint8 and set(np.unique(found.mask)) <= {0, 255}
    return found.pixels[..., 0] if channels == 1 else found.pixels, found.mask[..., 0]


def with_alpha(grey, alpha):
    return Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_pixels_are_missing_and_black(mode):
    image = with_alpha(RAMP, np.where(HOLE, 0, 255).astype(np.uint8)).convert(mode)
    pixels, mask = taken_in(image, "transparent")
    assert np.array_equal(mask, np.where(HOLE, 0, 255)) and np.array_equal(pixels, np.where(HOLE, 0, RAMP))


def test_half_transparent_pixels_keep_their_color_and_clearer_ones_are_missing():
    alpha = np.full((8, 8), 127, np.uint8)
    alpha[0] = 128
    pixels, mask = taken_in(with_alpha(RAMP, alpha), "transparent")
    assert (mask[0] == 255).all() and not mask[1:].any() and np.array_equal(pixels[0], RAMP[0])


@pytest.mark.parametrize(
    ("values", "kind", "sentinel"),
    [(RAMP, "PNG", 7), (RAMP.astype(np.uint16) * 257, "PNG", 65535), (RAMP.astype(np.int32) * 257, "TIFF", -9999)],
    ids=["8 bits", "16 bits", "32 bits"],
)
def test_a_value_of_the_file_is_missing(values, kind, sentinel):
    pixels, mask = taken_in(Image.fromarray(np.where(HOLE, sentinel, values).astype(values.dtype)), sentinel, kind=kind)
    assert np.array_equal(mask, np.where(HOLE, 0, 255)) and np.array_equal(pixels, np.where(HOLE, 0, RAMP))


@pytest.mark.parametrize("with_hole", [False, True])
def test_where_a_color_is_what_is_missing_transparent_pixels_are_black_as_ever(with_hole):
    pixels = np.full((8, 8, 4), 200, np.uint8)
    pixels[..., 3] = 255
    pixels[0, 0, 3] = 0
    if with_hole:
        pixels[HOLE] = (255, 0, 255, 255)
    found, mask = taken_in(Image.fromarray(pixels), (255, 0, 255), channels=3)
    assert found[0, 0].tolist() == [0, 0, 0] and mask[0, 0] == 255 and (mask == 0).sum() == with_hole * HOLE.sum()
    assert found[7, 7].tolist() == [200, 200, 200]


def test_a_color_is_missing_where_all_of_it_is_there():
    colors = np.stack([RAMP, RAMP, RAMP], axis=2)
    colors[HOLE] = (255, 0, 255)
    colors[0, 0] = (255, 0, 254)
    pixels, mask = taken_in(Image.fromarray(colors), (255, 0, 255), channels=3)
    assert np.array_equal(mask, np.where(HOLE, 0, 255)) and np.array_equal(pixels, colors * ~HOLE[..., None])
    assert taken_in(Image.fromarray(colors), 255, channels=3)[1].all()


@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
@pytest.mark.parametrize("sentinel", [0, 255])
def test_nothing_of_the_missing_pixels_bleeds_into_the_others(how, sentinel):
    values = np.full((48, 64), 100, np.uint8)
    values[np.random.default_rng(0).random((48, 64)) < 0.4] = sentinel
    values[:24, 16:40] = sentinel
    pixels, mask = taken_in(Image.fromarray(values), sentinel, size=12, resize=how)
    inner = slice(1, 10) if how == "pad" else slice(None)
    assert 0.1 < (mask == 0).mean() < 0.5
    assert set(np.unique(pixels[inner][mask[inner] == 255])) <= {100} | ({0} if how == "pad" else set())
    assert not pixels[mask == 0].any()


def test_a_pixel_is_missing_where_less_than_half_of_it_is_there():
    values = np.full((32, 32), 50, np.uint8)
    for row, absent in enumerate((1, 2, 3)):
        values[8 * row : 8 * row + 8, : 8 * absent] = 0
    _, mask = taken_in(Image.fromarray(values), 0, size=4)
    assert mask[0].tolist() == [0, 255, 255, 255] and mask[1].tolist() == [0, 0, 255, 255]


def test_an_image_without_missing_pixels_comes_in_as_ever():
    image = Image.fromarray(np.random.default_rng(0).integers(1, 256, (20, 30, 3), np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    plain = ingest(buffer.getvalue(), DataOptions(image_size=8, channels=3))
    pixels, mask = taken_in(image, "transparent", channels=3)
    assert np.array_equal(pixels, plain.pixels) and (mask == 255).all() and plain.mask is None


def test_an_image_of_which_nothing_is_there_is_refused():
    with pytest.raises(BadImage, match="all of its pixels are missing"):
        taken_in(Image.new("L", (8, 8), 3), 3)


def test_pixels_of_a_source_have_sentinels_too():
    found = ingest(np.where(HOLE, 0, RAMP).astype(np.uint8), DataOptions(missing_pixels=0))
    assert np.array_equal(found.mask[..., 0], np.where(HOLE, 0, 255))


@pytest.mark.parametrize("wrong", ["opaque", 1.5, True, [1, 2], [0, 0, 256]])
def test_other_sentinels_are_refused(wrong):
    with pytest.raises(ValidationError):
        DataOptions(missing_pixels=wrong)
