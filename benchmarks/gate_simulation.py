"""How often the gate errs: `python benchmarks/gate_simulation.py [--images 10 30 100 1000] [--repetitions 2000]`.

Ten Gaussian classes in 64 dimensions stand for features, with as few as 14 and as many as 140 training images; the
judge takes an image for the class with the nearest mean; pixels are Gaussian too. Each repetition draws new real,
training and generated images and runs the whole gate on them: `evaluate` with the default rules, and the comparison
with a served version. Generators are perfect, or have one fault in their rarest class; what serves is perfect, save for
"at the margin". Two faults change distances alone, since they move features where the judge does not look: "at the
rule", with a true relative KID of just what `worst.kid_relative` allows, beside a served version as bad; and "at the
margin", worse than what serves by just the margin of `kid_relative`, and far from what the rule forbids.

Printed for n held-out images a class: how often the gate blesses; how often it says that something is wrong ("fail");
how often it blocks just because it cannot tell; of that, 95 % Wilson limits of what matters. Of a perfect generator
"fail" is the false block, and the upper limit of its rate should be at most 5 %; of one that is worse than the rules
allow "blessed" is the false blessing, which at the rule and at the margin should be at most 2.5 %. Then, in how many
repetitions the interval of KID holds the true KID.

200 bootstrap resamples in place of 1000, to save time. Two processes, with one thread each. One repetition takes .4 s
of a core at 10 images and 4 s at 1000, where fewer of them do (`--repetitions-1000`).
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial

sys.path.pop(0)  # this folder, whose metrics.py is another

import numpy as np
from threadpoolctl import threadpool_limits

from components.evaluator.comparison import Other
from components.evaluator.evaluation import evaluate
from components.evaluator.options import GateOptions
from components.evaluator.resampled import Resampled
from components.evaluator.views import Known, View
from metrics.agreement import wilson_interval
from metrics.kernel import kernel_distance

CLASSES, DIMENSIONS, PIXELS = 10, 64, 32
GAP = 0.5  # standard deviation of the coordinates of class means; the nearest two are about 5 deviations apart
TRAIN = (14, 18, 23, 30, 39, 50, 65, 84, 108, 140)
OPTIONS = GateOptions(resamples=200)
RAREST = 0
SHIFTS = (0.1, 0.3, 0.6, 1.0)
COVERED = (0.0, 0.3, 1.0)
AT_RULE, AT_MARGIN = 0.3, OPTIONS.not_worse["kid_relative"]  # of `worst.kid_relative` in the default rules
# What the judge does not see: the true relative KID of the candidate, and that of what serves.
UNSEEN = {"at the rule": (AT_RULE, AT_RULE), "at the margin": (0.05 + AT_MARGIN, 0.05)}
PERFECT = "perfect"
FAULTS = (
    *(f"kid_relative {size:g}" for size in SHIFTS), *UNSEEN, "copies", "half copies", "one image", "never made",
)  # fmt: skip
NAMES = tuple(map(str, range(CLASSES)))
MANY = 3000


@cache
def means() -> tuple[np.ndarray, np.ndarray, int]:
    """Of the classes in features and in pixels, and the class nearest to the rarest one."""
    random = np.random.default_rng(0)
    features = GAP * random.normal(size=(CLASSES, DIMENSIONS))
    distances = np.linalg.norm(features - features[RAREST], axis=1)
    return features, random.normal(size=(CLASSES, PIXELS)), int(np.argsort(distances)[1])


@cache
def ways() -> tuple[np.ndarray, np.ndarray]:
    """From the rarest class to the nearest one, and as far at right angles to all means, where the judge is blind."""
    features, _, near = means()
    way = features[near] - features[RAREST]
    blind = np.linalg.svd(features)[2][-1]
    return way, blind * np.linalg.norm(way)


@cache
def shift(size: float, unseen: bool = False) -> float:
    """How far along its way the rarest class must be moved for a true relative KID of that size.

    The noise of the two samples is one, so that what is left of it is far below any interval.
    """
    centre, way = means()[0][RAREST], ways()[unseen]
    noise = centre + np.random.default_rng(1).normal(size=(2, MANY, DIMENSIONS))
    null = kernel_distance(*noise)
    unit = kernel_distance(noise[0], noise[1] + ways()[0]) - null
    low, high = 0.0, 2.0
    while high - low > 0.001:
        middle = (low + high) / 2
        less = (kernel_distance(noise[0], noise[1] + middle * way) - null) / unit < size
        low, high = (middle, high) if less else (low, middle)
    return (low + high) / 2


def images(counts: np.ndarray, random: np.random.Generator, moved: np.ndarray | float = 0.0) -> View:
    """Images of each class; the rarest one's features moved by that much."""
    features, pixels, _ = means()
    labels = np.repeat(np.arange(CLASSES), counts)
    centres = features.copy()
    centres[RAREST] += moved
    x = centres[labels] + random.normal(size=(len(labels), DIMENSIONS))
    y = pixels[labels] + random.normal(size=(len(labels), PIXELS))
    return View(labels, x.astype(np.float32), judged(x), y.astype(np.float32))


def judged(x: np.ndarray) -> np.ndarray:
    """Class probabilities by Bayes's rule, of features [n, d]."""
    features = means()[0]
    logits = x @ features.T - (features**2).sum(axis=1) / 2
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def generated(fault: str, counts: np.ndarray, known: Known, random: np.random.Generator) -> View:
    """Images of a generator with that fault, or of a perfect one."""
    if fault.startswith("kid_relative"):
        return images(counts, random, shift(float(fault.split()[1])) * ways()[0])
    if fault in UNSEEN:
        return images(counts, random, shift(UNSEEN[fault][0], unseen=True) * ways()[1])
    view = images(counts, random)
    own = view.labels == RAREST
    if fault in ("copies", "half copies"):
        copies = known.of_class(RAREST).pixels
        own &= (fault == "copies") | (np.arange(len(own)) % 2 == 0)
        view.pixels[own] = copies[random.integers(len(copies), size=own.sum())]
    elif fault == "one image":
        for part in (view.features, view.probabilities, view.pixels):
            part[own] = part[own][0]
    elif fault == "never made":
        instead = images(np.where(np.arange(CLASSES) == means()[2], counts[RAREST], 0), random)
        view.features[own], view.probabilities[own] = instead.features, instead.probabilities
    return view


def outcome(n: int, fault: str, seed: int) -> str:
    """What the gate says in one repetition: "blessed", "fail" or "cannot tell"."""
    random = np.random.default_rng((n, seed))
    training = images(np.array(TRAIN), random)
    known = Known(training.labels, training.pixels)
    counts = np.full(CLASSES, max(OPTIONS.samples_per_class, n))
    worse = shift(UNSEEN[fault][1], unseen=True) * ways()[1] if fault in UNSEEN else 0.0
    real, served = images(np.full(CLASSES, n), random), images(counts, random, worse)
    made = generated(fault, counts, known, random)
    document = evaluate(real, made, known, NAMES, OPTIONS, [Other("serving", 1, served)])
    outcomes = {row["outcome"] for part in ("rules", "compared") for row in document[part]}
    if "fail" in outcomes:
        return "fail"
    return "blessed" if document["blessed"] else "cannot tell"


def table(generators: list[str], repetitions: dict[int, int], faulty: int, pool: ProcessPoolExecutor) -> Iterator[str]:
    """A row for each kind of generator and number of held-out images."""
    yield "| generator | n | repetitions | blessed | fail | cannot tell | blessed, 95 % | fail, 95 % | seconds |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for generator in generators:
        for n, most in repetitions.items():
            count, start = most if generator == PERFECT else min(faulty, most), time.monotonic()
            found = Counter(pool.map(partial(outcome, n, generator), range(count), chunksize=5))
            parts = (f"{found[key] / count:.3f}" for key in ("blessed", "fail", "cannot tell"))
            limits = (wilson_interval(found[key], count) for key in ("blessed", "fail"))
            ends = (f"{low:.3f} to {high:.3f}" for low, high in limits)
            cells = [generator, str(n), str(count), *parts, *ends, f"{time.monotonic() - start:.0f}"]
            yield f"| {' | '.join(cells)} |"


def interval_holds(n: int, size: float, seed: int) -> bool:
    """Whether the interval of KID of n real against 500 generated images of the rarest class holds the true KID."""
    random = np.random.default_rng((n, seed))
    centre, moved = means()[0][RAREST], shift(size) * ways()[0] if size else 0.0
    real = centre + random.normal(size=(n, DIMENSIONS))
    made = centre + moved + random.normal(size=(OPTIONS.samples_per_class, DIMENSIONS))
    drawn = Resampled(real, OPTIONS.resamples, (seed, 0)).distance(Resampled(made, OPTIONS.resamples, (seed, 1)))
    assert drawn is not None
    estimate = drawn.estimate()
    assert estimate.lo is not None and estimate.hi is not None
    return estimate.lo <= true_kid(size) <= estimate.hi


@cache
def true_kid(size: float) -> float:
    """KID of the shift, where the two samples share their noise: what is left of it is far below any interval."""
    if not size:
        return 0.0
    noise = means()[0][RAREST] + np.random.default_rng(2).normal(size=(2, MANY, DIMENSIONS))
    moved = noise[1] + shift(size) * ways()[0]
    return kernel_distance(noise[0], moved) - kernel_distance(noise[0], noise[1])


def coverage(repetitions: int, pool: ProcessPoolExecutor) -> Iterator[str]:
    """In how many repetitions the interval holds the truth."""
    yield "\n| n | relative KID | repetitions | interval holds the true KID |\n|---|---|---|---|"
    for n in (10, 20, 50):
        for size in COVERED:
            held = sum(pool.map(partial(interval_holds, n, size), range(repetitions), chunksize=20))
            yield f"| {n} | {size:g} | {repetitions} | {held / repetitions:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10, 30, 100, 1000], help="held-out ones of a class")
    parser.add_argument("--repetitions", type=int, default=2000, help="of the perfect generator (default: 2000)")
    parser.add_argument("--repetitions-1000", type=int, default=100, help="of it at 1000 images (default: 100)")
    parser.add_argument("--faulty", type=int, default=200, help="of each faulty generator, at most (default: 200)")
    parser.add_argument(
        "--generators", nargs="+", choices=[PERFECT, *FAULTS], default=[PERFECT, *FAULTS], metavar="NAME"
    )
    options = parser.parse_args()
    repetitions = {n: options.repetitions if n < 1000 else options.repetitions_1000 for n in options.images}
    start = time.monotonic()
    # These are kept, and known to the processes that are forked here.
    for size in {*SHIFTS, *COVERED}:
        true_kid(size)
        shift(size)
    for sizes in UNSEEN.values():
        for size in sizes:
            shift(size, unseen=True)
    with ProcessPoolExecutor(2, initializer=threadpool_limits, initargs=(1,)) as pool:
        for line in table(options.generators, repetitions, options.faulty, pool):
            print(line, flush=True)
        for line in coverage(options.repetitions, pool):
            print(line, flush=True)
    print(f"\n{(time.monotonic() - start) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
