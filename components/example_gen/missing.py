"""Which pixels of an image are missing, and resizing that keeps them apart from those that are there."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from components.example_gen.options import MissingPixels


def coverage(image: Image.Image, missing: MissingPixels) -> np.ndarray | None:
    """How far each pixel is there, float32 [h, w] in [0, 1]; None where all are there whole.

    Args:
      image: as it was decoded, in its own mode and with its own values.
      missing: `transparent`: the opacity; one value: 0 where all channels have it; a color: 0 where it is.
    """
    if missing == "transparent":
        if not image.has_transparency_data or image.mode.startswith("I"):
            return None
        there = np.asarray(image.convert("RGBA").getchannel("A"), np.float32) / 255
    elif image.mode in ("L", "F") or image.mode.startswith("I"):
        there = (~_equal(np.asarray(image)[..., None], missing)).astype(np.float32)
    else:
        there = (~_equal(np.asarray(image.convert("RGB")), missing)).astype(np.float32)
    return None if there.min() == 1 else there


def _equal(values: np.ndarray, wanted: MissingPixels) -> np.ndarray:
    """bool [h, w], whether each of [h, w, channels] is so."""
    return np.all(values == np.asarray(wanted), axis=2)


def without(image: Image.Image, there: np.ndarray, missing: MissingPixels) -> Image.Image:
    """The image with 0 in place of missing values that need not be those of an image.

    Where `missing` is `transparent`, it is opaque: how far a color counts is then in `there`.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(np.where(there > 0, np.asarray(image), 0).astype(np.asarray(image).dtype))
    return image.convert("RGBA").convert("RGB") if missing == "transparent" else image


def resize(
    image: Image.Image, there: np.ndarray, resampled: Callable[[Image.Image, int], Image.Image]
) -> tuple[np.ndarray, np.ndarray]:
    """Resizes what is there alone: the colors weighted by `there` over the weights, resampled both by one filter.

    Args:
      image: mode L or RGB.
      there: float32 [h, w], see `coverage`.
      resampled: an image of mode F and the value around it where it is padded -> the image in its new size.

    Returns:
      Pixels uint8 [H, W, C], 0 where they are missing, and the mask uint8 [H, W, 1]: 0 where less than half of the
      new pixel is there, by the weights of the filter, and 255 elsewhere.
    """
    values = np.atleast_3d(np.asarray(image, np.float32))
    weight = np.asarray(resampled(Image.fromarray(there), 1))
    colors = [np.asarray(resampled(Image.fromarray(channel * there), 0)) for channel in np.moveaxis(values, 2, 0)]
    is_there = (weight >= 0.5)[..., None]
    pixels = np.stack(colors, axis=2) / np.maximum(weight, 0.5)[..., None]
    pixels = np.rint(np.clip(pixels, 0, 255)) * is_there
    return pixels.astype(np.uint8), is_there.astype(np.uint8) * 255
