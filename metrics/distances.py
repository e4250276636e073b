"""Euclidean distances between rows, a tile at a time, so that memory stays flat in the number of rows.

Squared distances are |x|^2 + |y|^2 - 2 x.y, which a matrix product gives fast. Their absolute error is about
1e-16 |x|^2; so rows are moved to the middle first, which leaves distances as they are.
"""

from collections.abc import Iterator

import numpy as np

# Rows of a tile (8 MiB for a tile of distances), and the numbers that its rows of features may hold.
_MAX_ROWS = 1024
_MAX_NUMBERS = 2**23


def tiles(rows: int, columns: int) -> Iterator[slice]:
    """Slices that cover `rows` rows of an array of `columns` columns."""
    step = max(1, min(_MAX_ROWS, _MAX_NUMBERS // columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


class Points:
    """Rows of an array, given out as float64 tiles around a centre, with their squared lengths.

    The array itself is kept as it is, so that float32 features are never held twice.
    """

    def __init__(self, array: np.ndarray, centre: np.ndarray):
        """Args: array [n, d] of any float dtype; centre [d] float64, one for all sets that are compared."""
        self._array, self._centre = array, centre
        self.tiles = list(tiles(*array.shape))
        self._norms = np.concatenate([np.einsum("ij,ij->i", t, t) for t in map(self.tile, self.tiles)])

    def __len__(self) -> int:
        return len(self._array)

    def some(self, indices: np.ndarray) -> "Points":
        """Those with these indices."""
        return Points(self._array[indices], self._centre)

    def tile(self, rows: slice) -> np.ndarray:
        """Rows of a slice, [b, d] float64."""
        return self._array[rows] - self._centre

    def differences(self, rows: slice, others: "Points", indices: np.ndarray) -> np.ndarray:
        """[b, d] float64, rows of this less as many rows of others."""
        return np.subtract(self._array[rows], others._array[indices], dtype=np.float64)

    def squared_distances(self, rows: slice, others: "Points", columns: slice) -> np.ndarray:
        """[b, c] float64 squared distances of rows of this to rows of others; never negative."""
        # The factor -2 goes into the smaller array.
        result = (self.tile(rows) * -2) @ others.tile(columns).T
        result += self._norms[rows, None]
        result += others._norms[columns]
        return np.maximum(result, 0, out=result)


def points(*arrays: np.ndarray) -> list[Points]:
    """The arrays [n_i, d] as points around the mean of the first."""
    centre = arrays[0].mean(axis=0, dtype=np.float64)
    return [Points(array, centre) for array in arrays]


def nearest(queries: Points, references: Points) -> tuple[np.ndarray, np.ndarray]:
    """Of each query [n], the distance to the nearest of the references, and its index; both [n]."""
    found, index = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
    for rows in queries.tiles:
        for columns in references.tiles:
            block = queries.squared_distances(rows, references, columns)
            best = block.argmin(axis=1)
            values = block[np.arange(len(best)), best]
            closer = values < found[rows]
            found[rows] = np.where(closer, values, found[rows])
            index[rows] = np.where(closer, best + columns.start, index[rows])
        # Once more by differences: copies must read 0, and equal distances equal, without rounding errors.
        found[rows] = np.linalg.norm(queries.differences(rows, references, index[rows]), axis=1)
    return found, index


def nearest_other_squared(x: Points, indices: np.ndarray) -> np.ndarray:
    """[m] squared distance of some of the points, by index [m], to the nearest other one; there are two at least."""
    some = x.some(indices)
    closest = np.full(len(some), np.inf)
    for rows in some.tiles:
        own = indices[rows]
        for columns in x.tiles:
            block = some.squared_distances(rows, x, columns)
            here = np.flatnonzero((own >= columns.start) & (own < columns.stop))
            block[here, own[here] - columns.start] = np.inf
            closest[rows] = np.minimum(closest[rows], block.min(axis=1))
    return closest


def kth_nearest_squared(x: Points, k: int) -> np.ndarray:
    """[n] squared distance of each point to its k-th nearest other point; k from 1 to n - 1.

    Only the tiles on and above the diagonal are computed; each serves its rows and, transposed, its columns.
    """
    closest = np.full((len(x), k), np.inf)
    for first, rows in enumerate(x.tiles):
        for columns in x.tiles[first:]:
            block = x.squared_distances(rows, x, columns)
            if columns is rows:
                np.fill_diagonal(block, np.inf)
            else:
                _keep_smallest(closest[columns], block.T)
            _keep_smallest(closest[rows], block)
    return closest.max(axis=1)


def _keep_smallest(closest: np.ndarray, candidates: np.ndarray) -> None:
    """Puts into closest [n, k] the k smallest of each row of it and of candidates [n, m]."""
    k = closest.shape[1]
    if candidates.shape[1] > k:
        candidates = np.partition(candidates, k - 1, axis=1)[:, :k]
    both = np.concatenate([closest, candidates], axis=1)
    closest[:] = np.partition(both, k - 1, axis=1)[:, :k]
