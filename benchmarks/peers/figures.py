"""A figure as one side computes it: `python figures.py NAME REAL FAKE`, of two .npy files of features.

Prints a line once all is loaded; then, for each line of standard input, computes the figure once and prints JSON:
`seconds`, `cpu` (seconds of all its threads), `values`, and `peak`, the most memory in MiB that the process has had.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

# What `kid_subsets` and `kid_subset_size` of torch-fidelity are by default, and `nearest_k` in prdc's README.
SUBSETS, SIZE, NEAREST = 100, 1000, 5
RESAMPLES = 1000


def tailgan_fid(real: np.ndarray, fake: np.ndarray) -> Callable[[], Sequence[float]]:
    """From the features to the distance."""
    from metrics.frechet import frechet_distance

    return lambda: [frechet_distance(real, fake)]


def tailgan_kid(real: np.ndarray, fake: np.ndarray) -> Callable[[], Sequence[float]]:
    """All of the data."""
    from metrics.kernel import kernel_distance

    return lambda: [kernel_distance(real, fake)]


def tailgan_subsets(real: np.ndarray, fake: np.ndarray) -> Callable[[], Sequence[float]]:
    """The draws of torch-fidelity."""
    from metrics.kernel import subset_kernel_distance

    return lambda: subset_kernel_distance(real, fake, SUBSETS, SIZE)


def tailgan_prdc(real: np.ndarray, fake: np.ndarray) -> Callable[[], Sequence[float]]:
    """Precision, recall, density and coverage."""
    from metrics.prdc import prdc

    def run() -> Sequence[float]:
        result = prdc(real, fake, NEAREST)
        return [result.precision, result.recall, result.density, result.coverage]

    return run


def tailgan_intervals(real: np.ndarray, fake: np.ndarray) -> Callable[[], Sequence[float]]:
    """Mean limits of KID, and of KID over that between a class and the next; real and fake are [classes, n, d]."""
    from metrics.kernel import cross_draws, within_draws
    from metrics.resampling import percentile_interval, resample_counts

    def interval(one: np.ndarray, two: np.ndarray, next_class: np.ndarray, seed: int) -> list[float]:
        random, n = np.random.default_rng(seed), len(one)
        of_one, of_two, of_next = (resample_counts(n, RESAMPLES, random) for _ in range(3))
        own = within_draws(one, of_one)
        kid = own + within_draws(two, of_two) - 2 * cross_draws(one, two, of_one, of_two)
        scale = own + within_draws(next_class, of_next) - 2 * cross_draws(one, next_class, of_one, of_next)
        return [*percentile_interval(kid, n, 0.95), *percentile_interval(kid / scale, n, 0.95)]

    def run() -> Sequence[float]:
        shifted = np.roll(real, 1, axis=0)
        limits = [interval(*sets, seed) for seed, sets in enumerate(zip(real, fake, shifted, strict=True))]
        return np.mean(limits, axis=0).tolist()

    return run


def torch_fidelity_fid(real: np.ndarray, fake: np.ndarray) -> Callable[[], Sequence[float]]:
    """Features to statistics to distance."""
    import torch
    from torch_fidelity import metric_fid as fid

    tensors = torch.from_numpy(real), torch.from_numpy(fake)

    def run() -> Sequence[float]:
        statistics = [fid.fid_features_to_statistics(tensor) for tensor in tensors]
        return [fid.fid_statistics_to_metric(*statistics, verbose=False)[fid.KEY_METRIC_FID]]

    return run


def torch_fidelity_kid(real: np.ndarray, fake: np.ndarray) -> Callable[[], Sequence[float]]:
    """All of the data: one subset of all rows."""
    return lambda: _torch_fidelity_subsets(real, fake, 1, len(real))[:1]


def torch_fidelity_subsets(real: np.ndarray, fake: np.ndarray) -> Callable[[], Sequence[float]]:
    """Its default."""
    return lambda: _torch_fidelity_subsets(real, fake, SUBSETS, SIZE)


def _torch_fidelity_subsets(real: np.ndarray, fake: np.ndarray, subsets: int, size: int) -> Sequence[float]:
    import torch
    from torch_fidelity import metric_kid as kid

    result = kid.kid_features_to_metric(
        torch.from_numpy(real), torch.from_numpy(fake), kid_subsets=subsets, kid_subset_size=size, verbose=False
    )
    return [result[kid.KEY_METRIC_KID_MEAN], result[kid.KEY_METRIC_KID_STD]]


def prdc_prdc(real: np.ndarray, fake: np.ndarray) -> Callable[[], Sequence[float]]:
    """The authors' package."""
    from prdc import compute_prdc

    def run() -> Sequence[float]:
        result = compute_prdc(real, fake, NEAREST)
        return [float(result[name]) for name in ("precision", "recall", "density", "coverage")]

    return run


def peak() -> float:
    """MiB; `getrusage` would count what the process had before it became this program."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Computes as often as it is told."""
    name, *paths = sys.argv[1:]
    run = globals()[name](*map(np.load, paths))
    answers, sys.stdout = sys.stdout, sys.stderr  # prdc prints.
    print("{}", file=answers, flush=True)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        values = list(run())
        took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        print(json.dumps({**took, "values": values, "peak": peak()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
