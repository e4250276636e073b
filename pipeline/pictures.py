"""Images as data URIs for a page."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

SHOWN_HEIGHT = 40  # pixels of an image in a strip, about
GAP = 3


def data_uri(picture: Image.Image) -> str:
    """A picture as a PNG data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def strip(images: np.ndarray) -> str:
    """uint8 [n, H, W, C] side by side, enlarged by a whole factor where small; "" for none."""
    if not len(images):
        return ""
    n, height, width, _ = images.shape
    factor = max(1, round(SHOWN_HEIGHT / height))
    size = (width * factor, height * factor)
    picture = Image.new("RGBA", (n * (size[0] + GAP) - GAP, size[1]))  # gaps are transparent
    for i, image in enumerate(images):
        tile = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        picture.paste(tile.resize(size, Image.Resampling.NEAREST), (i * (size[0] + GAP), 0))
    return data_uri(picture)


def reduced(path: Path, side: int) -> str:
    """A picture from a file, made smaller where a side is longer than `side` pixels."""
    with Image.open(path) as picture:
        picture.thumbnail((side, side))
        return data_uri(picture)
