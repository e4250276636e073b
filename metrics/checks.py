"""What every metric asks of its input, so that a fault is named once and never comes out as a NaN."""

import numpy as np

# Cubes of inner products of such values still fit in a float64, also summed over all pairs.
LARGEST = 1e48
# Class probabilities come from float32 softmax layers.
PROBABILITY_TOLERANCE = 1e-3


def features(array: np.ndarray, name: str = "features", at_least: int = 2) -> np.ndarray:
    """Returns `array` as a C-contiguous array [n, d] of float32 or float64, without a copy where it is one already.

    float32 stays what it is, to be widened a block at a time by the metrics, which compute in float64.

    Args:
      array: [n, d] real numbers of any dtype, one row an image.
      name: what error messages call it.
      at_least: rows that the metric takes.

    Raises:
      ValueError: not two-dimensional, not numbers, fewer than `at_least` rows, no columns, NaN or infinite values
        (their number is named), or values beyond 1e48.
    """
    values = np.asarray(array)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"`{name}` holds {values.dtype}; allowed: real numbers")
    if values.ndim != 2:
        raise ValueError(f"`{name}` has shape {values.shape}; allowed: two dimensions [n, d]")
    if values.shape[1] == 0:
        raise ValueError(f"`{name}` has no columns")
    if len(values) < at_least:
        raise ValueError(f"`{name}` has {len(values)} rows; at least {at_least} are needed")
    values = np.ascontiguousarray(values, dtype=np.float32 if values.dtype == np.float32 else np.float64)
    if not _bounded(values):
        nans, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        if nans or infinite:
            raise ValueError(f"`{name}` has {nans} NaN and {infinite} infinite values; allowed: finite numbers")
        raise ValueError(f"`{name}` has values beyond {LARGEST:g}, which no distance can be computed of")
    return values


def _bounded(values: np.ndarray) -> bool:
    """Whether all is within LARGEST; NaN is not. Takes no memory."""
    return values.size == 0 or bool(values.max() <= LARGEST and values.min() >= -LARGEST)


def pair(
    real: np.ndarray, fake: np.ndarray, names: tuple[str, str] = ("real", "fake"), at_least: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """`features` of both, which must have equally many columns.

    Raises:
      ValueError: as `features`, or the numbers of columns differ.
    """
    a, b = features(real, names[0], at_least), features(fake, names[1], at_least)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"`{names[0]}` has {a.shape[1]} columns and `{names[1]}` {b.shape[1]}; they must be equal")
    return a, b


def probabilities(array: np.ndarray, name: str = "probabilities") -> np.ndarray:
    """Returns class probabilities [n, K] as float64.

    Raises:
      ValueError: as `features`, negative values, or rows that do not sum to 1 (within 1e-3).
    """
    values = features(array, name, at_least=1).astype(np.float64, copy=False)
    if values.min() < 0:
        raise ValueError(f"`{name}` has {int((values < 0).sum())} negative values; allowed: 0 to 1")
    wrong = int((np.abs(values.sum(axis=1) - 1) > PROBABILITY_TOLERANCE).sum())
    if wrong:
        raise ValueError(f"`{name}` has {wrong} rows of {len(values)} that do not sum to 1; are they logits?")
    return values


def labels(array: np.ndarray, classes: int, name: str = "labels") -> np.ndarray:
    """Returns class labels as int64 [n].

    Raises:
      ValueError: not one-dimensional, not integers, or outside 0..classes-1 (their number is named).
    """
    values = np.asarray(array)
    if values.ndim != 1:
        raise ValueError(f"`{name}` has shape {values.shape}; allowed: one dimension [n]")
    if values.size and values.dtype.kind not in "iu":
        raise ValueError(f"`{name}` holds {values.dtype}; allowed: integers")
    outside = int(((values < 0) | (values >= classes)).sum())
    if outside:
        raise ValueError(f"`{name}` has {outside} values outside 0..{classes - 1}")
    return values.astype(np.int64)


def counts(array: np.ndarray, n: int, name: str) -> np.ndarray:
    """Returns how often resamples hold each of n rows as float64 [R, n].

    Raises:
      ValueError: another shape; counts below 0, or NaN; a resample without rows.
    """
    values = np.asarray(array, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != n:
        raise ValueError(f"`{name}` has shape {values.shape}; allowed: [R, {n}], a column for each row")
    if not (values >= 0).all() or not (values.sum(axis=1) > 0).all():
        raise ValueError(f"`{name}` has counts below 0, or resamples without rows")
    return values


def fraction(value: float, name: str) -> None:
    """Raises ValueError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise ValueError(f"`{name}` is {value}; allowed: between 0 and 1, both excluded")
