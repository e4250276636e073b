"""Pictures of what a generator makes: fixed samples of each class, ways between two of them, and truncation."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from models.data import Examples, TrainingData, to_uint8
from models.missing import fill

SHOWCASE_FILE = "showcase.npz"
TRUNCATIONS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
AT_ONCE = 256  # images in one call of a network
_OF_A_STREAM, _OF_A_CLASS = 65_536, 64  # looked through, and kept

_SHOWN_CLASSES, _SHOWN_STEPS, _SHOWN_Z = 5, 9, 3  # of the showcase


def rarest_first(counts: Sequence[int], at_most: int) -> list[int]:
    """Labels of the classes that have images, those of fewest first.

    >>> rarest_first([5, 0, 2, 9], at_most=2)
    [2, 0]
    """
    return [label for label in sorted(range(len(counts)), key=counts.__getitem__) if counts[label]][:at_most]


def at_hand(data: TrainingData, seed: int) -> Examples:
    """Examples to look at, with missing pixels filled in: those in memory, or of a stream the first of each class.

    Args:
      data: what is trained on.
      seed: of the order of a stream.
    """
    if isinstance(data, Examples):
        if data.masks is None:
            return data
        parts = [fill(data.images[part], data.masks[part]).numpy() for part in in_parts(data.count)]
        return dataclasses.replace(data, images=np.concatenate(parts), masks=None)
    size = min(data.count, AT_ONCE)
    taken: Counter[int] = Counter()
    images, labels = [], []
    for batch in data.batches(size, seed).take(min(data.count, _OF_A_STREAM) // size):
        of_batch = to_uint8(batch["image"])
        pixels = (fill(of_batch, batch["mask"]) if "mask" in batch else of_batch).numpy()
        for image, label in zip(pixels, batch["label"].numpy().tolist(), strict=True):
            if taken[label] < _OF_A_CLASS:
                taken[label] += 1
                images.append(image)
                labels.append(label)
    return Examples(np.stack(images), np.array(labels), np.ones(len(labels), np.float32), np.full(len(labels), b""))


def different_images(examples: Examples, label: int, at_most: int, seed: int) -> np.ndarray:
    """Images of a class, uint8 [n, H, W, C], drawn without copies of one another; n is `at_most` where there are."""
    rows = np.flatnonzero(examples.labels == label)
    different: dict[bytes, int] = {}
    for row in np.random.default_rng([seed, label]).permutation(rows):
        different.setdefault(examples.images[row].tobytes(), row)
        if len(different) == at_most:
            break
    return examples.images[list(different.values())]


def latents(count: int, size: int, seed: int) -> np.ndarray:
    """z ~ N(0, 1), float32 [count, size]; more of them begin with the same."""
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def in_parts(count: int) -> Iterator[slice]:
    """Slices of at most `AT_ONCE` rows that make up `count`."""
    return (slice(start, start + AT_ONCE) for start in range(0, count, AT_ONCE))


def grid(images: np.ndarray) -> np.ndarray:
    """[rows, columns, H, W, C] -> one image [rows * H, columns * W, C]."""
    rows, columns, height, width, channels = images.shape
    return images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def spherical(first: np.ndarray, last: np.ndarray, steps: int) -> np.ndarray:
    """Points on the great circle from one z to another, float32 [steps, d], their lengths in even steps too.

    In many dimensions N(0, 1) lies near a sphere, which a straight line would leave (White 2016, "Sampling generative
    networks", section 2.1).
    """
    lengths = np.linalg.norm(first), np.linalg.norm(last)
    angle = np.arccos(np.clip(np.dot(first / lengths[0], last / lengths[1]), -1, 1))
    t = np.linspace(0, 1, steps)[:, None]
    if np.sin(angle) < 1e-6:  # one direction, or opposite ones, between which there is no one circle
        return ((1 - t) * first + t * last).astype(np.float32)
    directions = (np.sin((1 - t) * angle) * first / lengths[0] + np.sin(t * angle) * last / lengths[1]) / np.sin(angle)
    return (((1 - t) * lengths[0] + t * lengths[1]) * directions).astype(np.float32)


def write_showcase(generator: keras.Model, counts: Sequence[int], directory: Path, seed: int) -> None:
    """Writes `showcase.npz`: what lies between two z, and what becomes of z as it is scaled.

    It holds `labels` [r], the classes of fewest images; `interpolation` uint8 [r, steps, H, W, C] from one z to
    another; `psi` [p]; and `truncation` uint8 [r, p, n, H, W, C], made from psi z for the same n z throughout.

    Args:
      generator: as `models.networks.build_networks` makes it.
      counts: different training images of each class.
      directory: where to.
      seed: of the z.
    """
    labels = rarest_first(counts, _SHOWN_CLASSES)
    z = latents(_SHOWN_Z, generator.inputs[0].shape[1], seed)
    between = spherical(z[0], z[1], _SHOWN_STEPS)
    scaled = np.concatenate([np.float32(psi) * z for psi in TRUNCATIONS])

    def images_of(vectors: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        z, label = np.tile(vectors, (len(labels), 1)), np.repeat(labels, len(vectors))
        images = to_uint8(generator([z, label], training=False)).numpy()
        return images.reshape(len(labels), *shape, *images.shape[1:])

    np.savez(
        directory / SHOWCASE_FILE,
        labels=np.array(labels),
        interpolation=images_of(between, (_SHOWN_STEPS,)),
        psi=np.array(TRUNCATIONS),
        truncation=images_of(scaled, (len(TRUNCATIONS), _SHOWN_Z)),
    )
