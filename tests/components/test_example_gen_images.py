"""Images of every kind come in upright, opaque, 8 bits deep and of one size, or are refused with a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.example_gen.images import BadImage, encode_png, ingest, is_plain_png
from components.example_gen.options import DataOptions

RAMP = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)


def options(size=8, channels=1, **rest):
    return DataOptions(image_size=size, channels=channels, **rest)


def encode(image, kind="PNG", **how):
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def pixels(image, kind="PNG", *, channels=1, **how):
    """Pixels [8, 8] or [8, 8, 3] after ingest of a Pillow image."""
    found, png, _ = ingest(encode(image, kind, **how), options(channels=channels))
    assert np.array_equal(tf.io.decode_png(png).numpy(), found)
    return found[:, :, 0] if channels == 1 else found


def rgb(red, green, blue):
    """RGB whose channels are three arrays."""
    return Image.fromarray(np.stack([red, green, blue], axis=2))


COLOUR = rgb(RAMP, RAMP[::-1], RAMP.T)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_images_stay_as_they_are(channels):
    found = pixels(Image.fromarray(RAMP), channels=channels)
    assert np.array_equal(found if channels == 1 else found[:, :, 2], RAMP)


def test_colours_stay_as_they_are_or_become_luma():
    assert np.array_equal(pixels(COLOUR, channels=3), np.asarray(COLOUR))
    luma = np.asarray(COLOUR) @ [0.299, 0.587, 0.114]
    assert np.abs(pixels(COLOUR) - luma).max() <= 1


def test_a_palette_is_looked_up():
    image = COLOUR.quantize(16)
    assert np.array_equal(pixels(image, channels=3), np.asarray(image.convert("RGB")))


def test_one_bit_images_are_black_and_white():
    assert set(np.unique(pixels(Image.fromarray(RAMP).convert("1")))) == {0, 255}


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    red = pixels(image, "TIFF", channels=3)
    assert red[..., 0].min() == 255 and red[..., 1:].max() == 0


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_transparent_pixels_are_laid_over_black(mode):
    image = Image.fromarray(np.full((8, 8), 200, np.uint8)).convert("RGB" if mode == "RGBA" else "L")
    alpha = np.repeat(np.array([[0, 255, 51, 102] * 2], np.uint8), 8, axis=0)
    if mode == "PA":
        image = Image.new("P", (8, 8), 1)
        image.putpalette([0, 0, 0, 200, 200, 200])
        image.info["transparency"] = bytes([255, 51])
        assert np.unique(pixels(image)).tolist() == [40]
        return
    image.putalpha(Image.fromarray(alpha))
    assert pixels(image)[0].tolist() == [0, 200, 40, 80, 0, 200, 40, 80]


def test_a_transparent_colour_of_an_opaque_mode_is_black():
    image = Image.fromarray(np.where(RAMP > 100, 250, 90).astype(np.uint8))
    assert set(np.unique(pixels(image, transparency=250))) == {0, 90}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(kind):
    deep = (RAMP.astype(np.uint16) * 257) + 100
    deep[0, 0], deep[0, 1] = 0, 65535
    found = pixels(Image.fromarray(deep), kind)
    assert np.abs(found.astype(int)[1:] - RAMP[1:]).max() <= 1 and found[0, :2].tolist() == [0, 255]


def test_big_endian_sixteen_bits_are_read_as_such():
    found = pixels(Image.frombytes("I;16B", (8, 8), (RAMP.astype(">u2") * 257).tobytes()), "TIFF")
    assert np.array_equal(found, RAMP)


def test_thirty_two_bits_and_floats_are_read_where_white_is_known():
    assert np.array_equal(pixels(Image.fromarray(RAMP.astype(np.int32) * 257), "TIFF"), RAMP)
    assert np.array_equal(pixels(Image.fromarray((RAMP / 255).astype(np.float32)), "TIFF"), RAMP)
    for values in (RAMP.astype(np.float32), np.full((8, 8), np.nan, np.float32), RAMP.astype(np.int32) * 1000):
        with pytest.raises(BadImage, match=r"values from .*can be read"):
            pixels(Image.fromarray(values), "TIFF")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    undo = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: np.transpose, 6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](RAMP)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(pixels(stored, exif=exif), RAMP)
    assert np.abs(pixels(stored, "JPEG", exif=exif, quality=100).astype(int) - RAMP).max() < 12


def test_broken_exif_data_cost_no_picture():
    data = encode(Image.fromarray(RAMP), "JPEG", exif=b"Exif\0\0garbage that is no TIFF header", quality=100)
    assert ingest(data, options())[0].shape == (8, 8, 1)


@pytest.mark.parametrize(("kind", "how"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_of_an_animation_the_first_frame_is_taken(kind, how):
    first, second = Image.new("L", (8, 8), 10), Image.new("L", (8, 8), 250)
    assert np.unique(pixels(first, kind, save_all=True, append_images=[second], **how)).tolist() == [10]


@pytest.mark.parametrize("kind", ["BMP", "PPM", "TIFF", "GIF"])
def test_other_kinds_of_files_are_read(kind):
    assert np.array_equal(pixels(Image.fromarray(RAMP), kind), RAMP)


WIDE = Image.fromarray(np.repeat(np.array([[0] * 20 + [200] * 40 + [0] * 20], np.uint8), 40, axis=0))  # 80 x 40


def test_crop_cuts_the_centre():
    found = ingest(encode(WIDE), options(resize="crop"))[0][:, :, 0]
    assert (found[:, 2:6] == 200).all() and found.min() > 170  # the filter reaches a little beyond the cut


def test_pad_adds_black_above_and_below():
    found = ingest(encode(WIDE), options(resize="pad"))[0][:, :, 0]
    assert not found[:2].any() and not found[6:].any() and found[3, 3] > 190 and found[3, 0] < 10


def test_squash_distorts():
    found = ingest(encode(WIDE), options(resize="squash"))[0][:, :, 0]
    assert (found == found[0]).all() and found[0, 0] < 10 and found[0, 4] > 190


@pytest.mark.parametrize("how", ["crop", "pad", "squash"])
@pytest.mark.parametrize("side", [(1, 1), (1, 300), (300, 1), (7, 9), (9, 7)])
def test_any_size_comes_to_the_size_asked_for(how, side):
    found, png, _ = ingest(encode(Image.new("RGB", side, (9, 9, 9))), options((8, 12), 3, resize=how))
    assert found.shape == (8, 12, 3) and found.max() == 9
    assert Image.open(io.BytesIO(png)).size == (12, 8)


def test_a_fine_pattern_does_not_alias():
    checks = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    found = ingest(encode(checks), options())[0]
    assert found.min() >= 118 and found.max() <= 137


def test_bytes_that_are_right_already_are_kept():
    for image, channels in ((Image.fromarray(RAMP), 1), (COLOUR, 3)):
        for data in (encode(image, compress_level=1), tf.io.encode_png(np.atleast_3d(np.asarray(image))).numpy()):
            assert ingest(data, options(channels=channels))[1] == data
    data = encode(Image.fromarray(RAMP))
    assert ingest(data, options(channels=3))[1] != data and ingest(data, options(size=4))[1] != data


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_png_with_more_in_it_than_pixels_is_written_anew():
    data = encode(Image.fromarray(RAMP))
    assert is_plain_png(data, 8, 8, 1)
    end = chunk(b"IEND", b"")
    assert data.endswith(end)
    text = data.removesuffix(end) + chunk(b"tEXt", b"Secret\0of the owner") + end
    found, png, _ = ingest(text, options())
    assert np.array_equal(found[:, :, 0], RAMP) and b"Secret" not in png
    for other in (data + b"x", data.removesuffix(end), data[:-20], text, b"", data[:30]):
        assert not is_plain_png(other, 8, 8, 1)


def test_a_flipped_bit_is_not_kept():
    data = encode(Image.fromarray(RAMP))
    for position in range(8, len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        assert not is_plain_png(flipped, 8, 8, 1)


@pytest.mark.parametrize("damage", ["a wrong sum", "cut", "too long", "something behind it", "too short"])
def test_a_png_whose_pixels_are_not_whole_is_written_anew_or_refused(damage):
    rows = b"".join(b"\0" + row.tobytes() for row in RAMP)
    packed = zlib.compress(rows)
    packed = {
        "a wrong sum": packed[:-1] + bytes([packed[-1] ^ 1]),
        "cut": packed[:-3],
        "too long": zlib.compress(rows + b"\0more"),
        "something behind it": packed + b"more",
        "too short": zlib.compress(rows[:-1]),
    }[damage]
    end = chunk(b"IEND", b"")
    data = encode(Image.fromarray(RAMP))[:33] + chunk(b"IDAT", packed) + end
    assert not is_plain_png(data, 8, 8, 1)
    try:
        png = ingest(data, options())[1]
    except BadImage:
        return
    assert np.array_equal(tf.io.decode_png(png).numpy()[:, :, 0], RAMP)


def test_pixels_come_in_as_they_are():
    found, png, _ = ingest(RAMP, options())
    assert np.array_equal(found[:, :, 0], RAMP) and np.array_equal(encode_png(found), png)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"a text that is named .png", "no image of a known kind"),
        (encode(COLOUR)[:60], "truncated"),
        (encode(COLOUR.resize((64, 64)), "JPEG")[:400], "truncated"),
        (encode(COLOUR.resize((64, 64)), "JPEG", quality=100)[:-500], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "no image of a known kind"),
    ],
    ids=["empty", "text", "cut PNG", "JPEG cut in its header", "JPEG cut in its data", "EPS"],
)
def test_a_broken_file_is_refused_with_a_reason(data, reason):
    with pytest.raises(BadImage, match=f"(?i){reason}"):
        ingest(data, options())


def test_a_bomb_is_refused_before_it_is_decoded():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(BadImage, match="100000 x 100000 pixels are more than max_pixels = 50000000"):
        ingest(bomb, options())
    with pytest.raises(BadImage, match="more than max_pixels = 63"):
        ingest(encode(Image.fromarray(RAMP)), options(max_pixels=63))
    ingest(encode(Image.fromarray(RAMP)), options(max_pixels=64))
