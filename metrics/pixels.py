"""Features without a network: principal components of the pixels. They see shape and tone, not meaning."""

from pathlib import Path

import numpy as np

from metrics import checks

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
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
    return size, np.asarray(image).reshape(image.height, image.width, -1)


def _name(size: tuple[int, ...]) -> str:
    """Size (H, W, C) in words."""
    return f"{size[1]} x {size[0]} pixels in {'grey' if size[2] == 1 else 'colour'}"


def pixel_features(real: np.ndarray, fake: np.ndarray, components: int = COMPONENTS) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of images, found on the real ones, so that figures of different fakes can be compared.

    Args:
      real: [n, H, W, C] uint8, n >= 2.
      fake: [m, H, W, C] uint8.
      components: at most so many; never more than n - 1 or than pixels.

    Returns:
      ([n, k] float64, [m, k] float64), in units of the full range of a pixel. Images that differ in nothing have one
      component, of zeros.

    Raises:
      ValueError: shapes differ, such as grey against colour; fewer than two real images.
    """
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            f"real images are {_name(real.shape[1:])} and generated ones {_name(fake.shape[1:])}; "
            "both must be of one kind"
        )
    flat = checks.features(real.reshape(len(real), -1), "real images").astype(np.float64, copy=False) / 255
    mean = flat.mean(axis=0)
    flat -= mean
    kept = min(components, len(flat) - 1, flat.shape[1])
    axes = _principal_axes(flat, kept)
    return flat @ axes, (fake.reshape(len(fake), -1) / 255 - mean) @ axes


def _principal_axes(centred: np.ndarray, kept: int) -> np.ndarray:
    """[D, k] orthonormal axes of the largest variance of centred rows [n, D], by the smaller of the Gram matrices."""
    n, pixels = centred.shape
    if pixels <= n:
        return np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :kept]
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values, vectors = values[::-1][:kept], vectors[:, ::-1][:, :kept]
    real = values > values[0] * n * np.finfo(np.float64).eps
    real[0] = True
    return centred.T @ vectors[:, real] / np.sqrt(np.maximum(values[real], np.finfo(np.float64).tiny))
