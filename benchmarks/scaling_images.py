"""A folder of as many images as wanted, no two alike, to measure with.

They are made of scikit-learn's digits, each turned, stretched, colored and covered with noise of its own. Digits are
the classes, of very unequal size.
"""

import itertools
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 32
CLASSES = 10
RATIO = 20.0  # images of the largest class for each of the smallest
_BLOCK = 500  # images that are made at once
_NOISE = 6.0  # standard deviation in grey levels


def class_counts(images: int) -> list[int]:
    """How many of so many images each class has: an exponential long tail, whose rest goes to the first class.

    >>> class_counts(1000)
    [299, 210, 150, 108, 77, 55, 39, 28, 20, 14]
    """
    shares = RATIO ** (-np.arange(CLASSES) / (CLASSES - 1))
    counts = np.floor(images * shares / shares.sum()).astype(int)
    counts[0] += images - counts.sum()
    return counts.tolist()


def block(label: int, number: int) -> np.ndarray:
    """uint8 [500, 32, 32, 3], images of a class; equal arguments give equal images, and no others do."""
    random = np.random.default_rng((label, number))
    digits = load_digits()
    sources = digits.images[digits.target == label] / digits.images.max()
    padded = np.pad(sources.astype(np.float32), ((0, 0), (1, 1), (1, 1)))
    ink = _warped(padded[random.integers(len(padded), size=_BLOCK)], random)[..., None]
    paper, pen = random.uniform((0, 130), (110, 255), (_BLOCK, 3, 2)).astype(np.float32).transpose(2, 0, 1)
    images = paper[:, None, None] * (1 - ink) + pen[:, None, None] * ink
    images += _NOISE * random.standard_normal(images.shape, np.float32)
    return np.clip(np.round(images), 0, 255).astype(np.uint8)


def _warped(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """float32 [n, s, s] -> [n, 32, 32], each under an affine map of its own."""
    n, side = len(images), images.shape[1]
    angle, shear = random.uniform(-0.3, 0.3, n), random.uniform(-0.2, 0.2, n)
    stretch, shift = random.uniform(0.85, 1.15, (n, 2, 1)), random.uniform(-0.1, 0.1, (n, 2, 1))
    turn = np.stack([np.cos(angle), np.sin(angle) + shear, -np.sin(angle), np.cos(angle)], axis=1).reshape(n, 2, 2)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2, indexing="ij")).reshape(2, -1)
    places = (((turn * stretch) @ grid + shift + 1) / 2 * (side - 1)).clip(0, side - 1.001)
    corner = places.astype(int)
    (y, x), (down, right) = corner.transpose(1, 0, 2), (places - corner).transpose(1, 0, 2)
    rows = np.arange(n)[:, None]
    upper, lower = ((1 - right) * images[rows, y + d, x] + right * images[rows, y + d, x + 1] for d in (0, 1))
    return ((1 - down) * upper + down * lower).reshape(n, SIDE, SIDE).astype(np.float32)


def make(root: Path, images: int) -> None:
    """Writes so many PNGs to `root/<digit>/`; those of a smaller number are among those of a larger one."""
    jobs = []
    for label, count in enumerate(class_counts(images)):
        (root / str(label)).mkdir(parents=True, exist_ok=True)
        starts = range(0, count, _BLOCK)
        jobs += [(root / str(label), label, start, min(_BLOCK, count - start)) for start in starts]
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(_write, *zip(*jobs, strict=True)):
            pass


def _write(folder: Path, label: int, start: int, count: int) -> None:
    for place, image in enumerate(itertools.islice(block(label, start // _BLOCK), count)):
        Image.fromarray(image).save(folder / f"{start + place:07d}.png", compress_level=1)
