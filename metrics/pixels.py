"""Features without a network: principal components of the pixels. They see shape and tone, not meaning."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from metrics import checks

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

COMPONENTS = 64
# Longer sides are reduced to this, with antialiasing, to bound memory.
MAX_SIDE = 64
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def read_folder(folder: Path) -> np.ndarray:
    """All images below a folder, in the order of their paths.

    Returns:
      [n, H, W, C] uint8, sides at most 64 pixels; C is 1 for grey images, 3 for all others.

    Raises:
      ValueError: fewer than two images; a file that cannot be read; images of different sizes or channels.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(paths) < 2:
        raise ValueError(f"{folder} has {len(paths)} images ({', '.join(SUFFIXES)}); at least 2 are needed")
    first_size, first = _read(paths[0])
    images = np.empty((len(paths), *first.shape), np.uint8)
    for index, path in enumerate(paths):
        size, image = _read(path)
        if size != first_size:
            raise ValueError(f"{path} is {_name(size)} and {paths[0]} {_name(first_size)}; all must be of one kind")
        images[index] = image
    return images


def _read(path: Path) -> tuple[tuple[int, int, int], np.ndarray]:
    """The size (H, W, C) of an image file, and its pixels, reduced to MAX_SIDE."""
    # Pillow is wanted for folders only.
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert("L" if file.mode in ("1", "L", "LA") else "RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error
    size = (image.height, image.width, len(image.getbands()))
    pixels = _thumbnail(image)
    return size, pixels.reshape(*pixels.shape[:2], -1)


def _thumbnail(image: "PillowImage") -> np.ndarray:
    """uint8 [h, w] or [h, w, 3] of an image in mode L or RGB, reduced to MAX_SIDE in place."""
    from PIL import Image

    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
    return np.asarray(image)


def _name(size: tuple[int, ...]) -> str:
    """Size (H, W, C) in words."""
    return f"{size[1]} x {size[0]} pixels in {'grey' if size[2] == 1 else 'colour'}"


@dataclass(frozen=True)
class Axes:
    """Principal axes of the pixels of some images.

    Attributes:
      shape: (H, W, C) of the images.
      mean: [H * W * C] float64, in units of the full range of a pixel.
      directions: [H * W * C, k] float64, orthonormal, those of the largest variance first.
    """

    shape: tuple[int, ...]
    mean: np.ndarray
    directions: np.ndarray

    def apply(self, images: np.ndarray) -> np.ndarray:
        """[n, k] float64 of uint8 [n, H, W, C], in units of the full range of a pixel.

        Raises:
          ValueError: if the images are of another shape, such as grey against colour.
        """
        if images.shape[1:] != self.shape:
            raise ValueError(
                f"real images are {_name(self.shape)} and generated ones {_name(images.shape[1:])}; "
                "both must be of one kind"
            )
        return (images.reshape(len(images), -1) / 255 - self.mean) @ self.directions


def fit(images: np.ndarray, components: int = COMPONENTS) -> Axes:
    """The principal axes of images.

    Args:
      images: [n, H, W, C] uint8, n >= 2.
      components: at most so many; never more than n - 1 or than pixels. Images that differ in nothing have one.

    Raises:
      ValueError: fewer than two images.
    """
    flat = checks.features(images.reshape(len(images), -1), "real images").astype(np.float64, copy=False) / 255
    mean = flat.mean(axis=0)
    flat -= mean
    return Axes(images.shape[1:], mean, _principal_axes(flat, min(components, len(flat) - 1, flat.shape[1])))


def reduced(images: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, C] with sides of at most 64 pixels, reduced with antialiasing; as they are where they fit."""
    if max(images.shape[1:3]) <= MAX_SIDE:
        return images
    from PIL import Image

    small = [_thumbnail(Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)) for image in images]
    return np.stack(small).reshape(len(images), *small[0].shape[:2], images.shape[3])


def pixel_features(real: np.ndarray, fake: np.ndarray, components: int = COMPONENTS) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of images, found on the real ones, so that figures of different fakes can be compared.

    Args:
      real: [n, H, W, C] uint8, n >= 2.
      fake: [m, H, W, C] uint8.
      components: as of `fit`.

    Returns:
      ([n, k] float64, [m, k] float64); images that differ in nothing have one component, of zeros.

    Raises:
      ValueError: shapes differ; fewer than two real images.
    """
    axes = fit(real, components)
    return axes.apply(real), axes.apply(fake)


def _principal_axes(centred: np.ndarray, kept: int) -> np.ndarray:
    """[D, k] orthonormal axes of the largest variance of centred rows [n, D], by the smaller of the Gram matrices."""
    n, pixels = centred.shape
    gram = centred.T @ centred if pixels <= n else centred @ centred.T
    values, vectors = eigh(gram, subset_by_index=(len(gram) - kept, len(gram) - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    if pixels <= n:
        return vectors
    real = values > values[0] * n * np.finfo(np.float64).eps
    real[0] = True
    return centred.T @ vectors[:, real] / np.sqrt(np.maximum(values[real], np.finfo(np.float64).tiny))
