"""From an image as it is found to the pixels that are trained on, and the PNG that holds them."""

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from components.example_gen import missing
from components.example_gen.options import DataOptions

# Kinds of files that are opened. Those that run other programs (EPS) or have no signature (TGA) are not among them.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR_TYPES = {1: 0, 3: 2}  # channels -> grey, RGB

# Pillow's own limit is a constant; `max_pixels` of the configuration takes its place.
Image.MAX_IMAGE_PIXELS = None


class BadImage(Exception):
    """An image that cannot be used; the message says why."""


class Ingested(NamedTuple):
    """An image of the size and the channels of the configuration.

    Attributes:
      pixels: uint8 [H, W, C].
      png: the PNG that holds them: the given bytes where they are such a PNG already.
      mask: uint8 [H, W, 1], 0 where a pixel is missing, which is 0 in `pixels`, and 255 elsewhere; None unless the
        configuration says which pixels are missing.
    """

    pixels: np.ndarray
    png: bytes
    mask: np.ndarray | None


def ingest(data: bytes | np.ndarray, options: DataOptions) -> Ingested:
    """Brings one image to the size and the channels of the configuration.

    Transparent pixels are laid over black unless they are missing, EXIF orientation is applied, 16-bit values are
    scaled to 8 bits, of an animation the first frame is taken. Colour profiles are not applied.

    Args:
      data: an encoded image of one of `FORMATS`, or its pixels as uint8 [h, w].
      options: size, channels, way of resizing and the limit in pixels.

    Raises:
      BadImage: if the image cannot be read whole, is larger than `max_pixels`, or all of it is missing.
    """
    height, width = options.image_size
    mask = None if options.missing_pixels is None else np.full((height, width, 1), 255, np.uint8)
    kept = data if isinstance(data, bytes) and is_plain_png(data, height, width, options.channels) else None
    try:
        if isinstance(data, bytes):
            image = _open(data, ("PNG",) if kept else FORMATS, options.max_pixels)
        else:
            image = Image.fromarray(data)
        if not kept:
            image = _upright(image)
        there = None if options.missing_pixels is None else missing.coverage(image, options.missing_pixels)
        mode = "L" if options.channels == 1 else "RGB"
        if there is not None and options.missing_pixels is not None:
            kept = None
            whole = _flatten(missing.without(image, there, options.missing_pixels)).convert(mode)
            pixels, mask = missing.resize(
                whole, there, lambda plane, around: _resize(plane, (width, height), options.resize, around)
            )
            if not mask.any():
                raise BadImage("all of its pixels are missing")
        else:
            if not kept:
                image = _resize(_flatten(image), (width, height), options.resize).convert(mode)
            pixels = np.asarray(image).reshape(height, width, options.channels)
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("decoding takes more memory than max_pixels allows for") from None
    except UnidentifiedImageError:
        raise BadImage(f"no image of a known kind ({', '.join(FORMATS)})") from None
    # A decoder that is fed with garbage fails in many ways (OSError, SyntaxError, struct.error, ValueError, ...); for
    # the one file that it is fed with, each of them means the same.
    except Exception as error:
        raise BadImage(str(error) or type(error).__name__) from error
    return Ingested(pixels, kept or encode_png(pixels), mask)


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG of uint8 [H, W, 1 or 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def is_plain_png(data: bytes, height: int, width: int, channels: int) -> bool:
    """Whether the bytes are a PNG of this size, 8 bits deep, grey or RGB, with nothing in it but intact pixel data.

    Such a PNG can be kept as it is: there is no palette, transparency, orientation or interlacing to see to, and the
    checksums hold and the pixels are complete, without which Pillow may read a file, but TensorFlow does not.
    """
    header = struct.pack(">IIBBBBB", width, height, 8, _PNG_COLOUR_TYPES[channels], 0, 0, 0)
    if not data.startswith(_PNG_SIGNATURE) or data[16:29] != header:
        return False
    position, kinds, packed = len(_PNG_SIGNATURE), [], []
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        kinds.append(data[position + 4 : position + 8])
        if kinds[-1] == b"IDAT":
            packed.append(data[position + 8 : end])
        position = end + 4
    if position != len(data) or kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or set(kinds[1:-1]) != {b"IDAT"}:
        return False
    return _inflates_to(b"".join(packed), height * (1 + width * channels))


def _inflates_to(packed: bytes, size: int) -> bool:
    """Whether this is a zlib stream of so many bytes, whole and with nothing behind it."""
    stream = zlib.decompressobj()
    try:
        return len(stream.decompress(packed, size + 1)) == size and stream.eof and not stream.unused_data
    except zlib.error:
        return False


def _open(data: bytes, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    """Decodes, once the header has shown that the size is within the limit."""
    if not data:
        raise BadImage("an empty file")
    image = Image.open(io.BytesIO(data), formats=formats)
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width} x {height} pixels are more than max_pixels = {max_pixels}")
    image.load()
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Turned and mirrored as its EXIF data say."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Broken EXIF data are no reason to lose a picture.
        return image


def _flatten(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB: 8 bits, opaque."""
    if image.mode.startswith("I"):
        return Image.fromarray(_scale(np.asarray(image), 65535))
    if image.mode == "F":
        return Image.fromarray(_scale(np.asarray(image), 1))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _scale(values: np.ndarray, white: int) -> np.ndarray:
    """Values 0..white as uint8, rounded.

    Raises:
      BadImage: if a value lies outside. What white is must not be guessed image by image.
    """
    low, high = values.min(), values.max()
    if not 0 <= low <= high <= white:
        raise BadImage(f"{values.dtype} values from {low:g} to {high:g}; 0 to {white} can be read")
    return np.rint(values * (255 / white)).astype(np.uint8)


def _resize(image: Image.Image, size: tuple[int, int], how: str, around: int = 0) -> Image.Image:
    """Resampled once, by a bicubic filter as wide as the reduction, so that nothing aliases."""
    if image.size == size:
        return image
    (width, height), (old_width, old_height) = size, image.size
    filter_ = Image.Resampling.BICUBIC
    if how == "squash":
        return image.resize(size, filter_)
    if how == "crop":
        scale = min(old_width / width, old_height / height)
        left, top = (old_width - width * scale) / 2, (old_height - height * scale) / 2
        box = (max(left, 0), max(top, 0), min(left + width * scale, old_width), min(top + height * scale, old_height))
        return image.resize(size, filter_, box=box)
    scale = min(width / old_width, height / old_height)
    inner = (max(1, round(old_width * scale)), max(1, round(old_height * scale)))
    padded = Image.new(image.mode, size, around)
    padded.paste(image.resize(inner, filter_), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded
