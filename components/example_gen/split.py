"""Which image goes into which split. Numbers only: no image is touched here.

An image is known by the hash of its pixels, and split by a hash of the object that it shows (its *unit*): its group,
or itself where it has none. Nothing depends on the order or the number of the images, so that an image that is in
train stays there when others are added. One exception: a unit that gains its first image of a further class can
become one of that class's `min_eval_per_class`.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from components.example_gen.options import DataOptions
from components.example_gen.sources.base import RawImage
from models.errors import UserError

# 37 bytes an image.
ROW = np.dtype(
    [
        ("content", np.uint64, 2),  # hash of the pixels
        ("unit", np.uint64),  # seeded hash of the group, or of the content: identity and rank of the unit
        ("thin", np.uint64),  # another seeded hash of the content: rank in the long tail
        ("label", np.int32),
        ("given", np.int8),  # the source's own split: TRAIN, EVAL or NONE
    ]
)
NONE, TRAIN, EVAL, DUPLICATE, THINNED = -1, 0, 1, 2, 3


@dataclass(frozen=True)
class Plan:
    """What becomes of n images.

    Attributes:
      assignment: int8 [n], TRAIN, EVAL, DUPLICATE or THINNED.
      original: int64 [n], for a duplicate the index of the image that is kept in its place, else the image's own.
    """

    assignment: np.ndarray
    original: np.ndarray


def content_hash(pixels: np.ndarray) -> bytes:
    """16 bytes that stand for the pixels, uint8 [H, W, C]; equal pixels have equal hashes."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16, person=b"content").digest()


def row(raw: RawImage, content: bytes, seed: int) -> tuple:
    """A `ROW`: what the split needs to know of an image."""
    unit = content if raw.group is None else b"group " + raw.group.encode(errors="surrogateescape")
    given = NONE if raw.split is None else {"train": TRAIN, "eval": EVAL}[raw.split]
    halves = (int.from_bytes(content[:8], "big"), int.from_bytes(content[8:], "big"))
    return halves, _rank(unit, seed, b"split"), _rank(content, seed, b"thin"), raw.label, given


def _rank(data: bytes, seed: int, purpose: bytes) -> int:
    digest = hashlib.blake2b(data, digest_size=8, key=str(seed).encode(), person=purpose).digest()
    return int.from_bytes(digest, "big")


def plan(rows: np.ndarray, classes: tuple[str, ...], options: DataOptions) -> Plan:
    """Drops duplicates, splits, then thins the train split to the long tail.

    Args:
      rows: ROW [n].
      classes: names of the classes, by label.
      options: fractions and counts.

    Raises:
      UserError: if a class is left without an image in eval, or with too few in train.
    """
    _, identity = np.unique(rows["content"], axis=0, return_inverse=True)
    identity = identity.reshape(-1)  # numpy 2.0 alone gives it a second axis
    given = bool((rows["given"] != NONE).any())
    is_eval = rows["given"] == EVAL if given else _own_eval(rows, identity, len(classes), options)
    original = _originals(rows, identity, is_eval, prefer_eval=given)
    assignment = np.where(is_eval, EVAL, TRAIN).astype(np.int8)
    assignment[original != np.arange(len(rows))] = DUPLICATE
    _check(rows["label"], assignment, classes, given, options)
    if options.long_tail is not None:
        _thin(rows, assignment, len(classes), options.long_tail.imbalance_ratio)
    return Plan(assignment, original)


def long_tail_counts(largest: int, ratio: float, classes: int) -> list[int]:
    """Images of each class of an exponential long tail, n_i = int(n_max * ratio ** (-i / (K - 1))), at least 1.

    >>> long_tail_counts(1000, 10, 3)
    [1000, 316, 100]
    """
    return [max(1, int(largest * ratio ** (-i / max(classes - 1, 1)))) for i in range(classes)]


def _own_eval(rows: np.ndarray, identity: np.ndarray, classes: int, options: DataOptions) -> np.ndarray:
    """bool [n]: units below the fraction, and of each class the lowest units that hold enough different images."""
    is_eval = rows["unit"] < np.uint64(options.eval_fraction * 2**64)
    chosen = []
    for label in range(classes):
        members = np.flatnonzero(rows["label"] == label)
        members = members[np.argsort(rows["unit"][members], kind="stable")]
        units = rows["unit"][members]
        is_new = np.zeros(len(members), np.int64)
        is_new[np.unique(identity[members], return_index=True)[1]] = 1
        # Different images before each: a unit is taken if these are too few when it begins.
        before = np.cumsum(is_new) - is_new
        chosen.append(units[before < options.min_eval_per_class])
    return is_eval | np.isin(rows["unit"], np.concatenate(chosen))


def _originals(rows: np.ndarray, identity: np.ndarray, is_eval: np.ndarray, prefer_eval: bool) -> np.ndarray:
    """int64 [n]: index of the one image that is kept of those with equal pixels.

    Where the source has splits, the copy in eval is kept, so that eval is what others evaluate on. Otherwise the one
    in train is: a copy that turns up in another group must not move an image from train to eval.
    """
    order = np.lexsort((np.arange(len(rows)), rows["unit"], rows["label"], is_eval != prefer_eval, identity))
    _, first = np.unique(identity[order], return_index=True)
    return order[first][identity]


def _check(
    labels: np.ndarray, assignment: np.ndarray, classes: tuple[str, ...], given: bool, options: DataOptions
) -> None:
    """Every class needs an image to train on, and one to be judged by."""
    counts = {s: np.bincount(labels[assignment == s], minlength=len(classes)).tolist() for s in (TRAIN, EVAL)}
    faults = []
    for name, train, held_out in zip(classes, counts[TRAIN], counts[EVAL], strict=True):
        if not train + held_out:
            faults.append(f"class `{name}` has 0 images that can be read and are not copies of others")
        elif not train and given:
            faults.append(f"class `{name}` has 0 training images ({held_out} in the source's eval split)")
        elif not train:
            faults.append(
                f"class `{name}` has 0 training images: all of its {held_out} went to the eval split, which takes at "
                f"least {options.min_eval_per_class} of each class (`data.min_eval_per_class`), and whole groups"
            )
        elif train < options.min_train_per_class:
            faults.append(
                f"class `{name}` has {train} training {'image' if train == 1 else 'images'}, fewer than "
                f"`data.min_train_per_class` = {options.min_train_per_class}"
            )
        elif not held_out:
            faults.append(f"class `{name}` has 0 images in the eval split ({train} in train)")
    if faults:
        raise UserError("\n".join(faults))


def _thin(rows: np.ndarray, assignment: np.ndarray, classes: int, ratio: float) -> None:
    """Marks the train images that the long tail has no room for; those of the lowest ranks stay."""
    members = [np.flatnonzero((rows["label"] == label) & (assignment == TRAIN)) for label in range(classes)]
    wanted = long_tail_counts(max(map(len, members)), ratio, classes)
    for indices, count in zip(members, wanted, strict=True):
        assignment[indices[np.argsort(rows["thin"][indices], kind="stable")[count:]]] = THINNED
