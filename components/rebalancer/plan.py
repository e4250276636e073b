"""Which images are repeated, and how often. Numbers only: no image is touched here."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from models.dataset import UNLABELLED


def rank(seed: int, id: bytes) -> int:
    """A number (uint64) that orders images by chance, but the same in every run.

    It depends on the image alone, so it does not matter which worker sees the image, or when, or what lies beside it.
    """
    return int.from_bytes(hashlib.blake2b(id, digest_size=8, key=str(seed).encode()).digest(), "big")


def copies(shards: Iterable[tuple[np.ndarray, np.ndarray]], target: Sequence[int]) -> list[np.ndarray]:
    """How often each image is emitted, so that every class reaches its target exactly.

    An image of a class of n images is emitted target // n times, and those of the target % n smallest ranks once more:
    a class above its target is thinned without replacement, one below it is repeated evenly. Images without a label are
    emitted once.

    >>> labels, ranks = np.array([0, 0, 0, 1]), np.array([7, 3, 5, 1], np.uint64)
    >>> copies([(labels, ranks)], target=[2, 3])
    [array([0, 1, 1, 3], dtype=uint32)]

    Args:
      shards: (labels int [n_i], ranks uint64 [n_i]) of the images of each shard.
      target: examples of each class, K of them.

    Returns:
      uint32 [n_i] for each shard.

    Raises:
      ValueError: if a class with a positive target has no image, or an image's label is not in -1..K-1.
    """
    shards = list(shards)
    labels = np.concatenate([labels for labels, _ in shards])
    ranks = np.concatenate([ranks for _, ranks in shards])
    if labels.size and not UNLABELLED <= labels.min() <= labels.max() < len(target):
        raise ValueError(f"labels {labels.min()} to {labels.max()} do not fit {len(target)} classes")
    result = np.where(labels == UNLABELLED, 1, 0).astype(np.uint32)
    for label, wanted in enumerate(target):
        members = np.flatnonzero(labels == label)
        if not members.size and wanted:
            raise ValueError(f"label {label} has 0 images, but {wanted} examples are wanted")
        if members.size:
            base, more = divmod(wanted, members.size)
            result[members] = base
            # A stable sort, so that equal ranks (which equal ids have) are told apart by their place.
            result[members[np.argsort(ranks[members], kind="stable")[:more]]] += 1
    return np.split(result, np.cumsum([len(labels) for labels, _ in shards])[:-1])
