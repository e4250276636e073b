"""What a generator must do in a server: checks, each a figure that must not be above its limit."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from components.serving_validator.asking import Columns, Malformed, Signature
from components.serving_validator.calls import Grpc, Interface, Refused, Rest
from components.serving_validator.options import BATCH_SIZES, ValidationOptions
from models.signatures import OK, SERVING_DEFAULT

GREY_LEVEL = 1.0  # between requests of unequal length, sums are added up in another order
HALF_A_LEVEL = 0.501  # of rounding, and what float32 adds
ALONE = 8  # rows of a large request that are asked for by themselves as well
TIMED = {1: 40, 64: 20}  # requests
LOWEST_SEED = -(2**63)

Figure = tuple[float, str]  # a value, and words for one that is above its limit


@dataclass(frozen=True)
class Check:
    """One figure and its limit.

    Attributes:
      name: what was looked at.
      where: signature and interface, or "".
      value: the figure; None where there is none, for the reason given.
      limit: what it must not be above; None where anything goes.
      unit: of both.
      reason: why it does not pass; "" if it does.
    """

    name: str
    where: str
    value: float | None
    limit: float | None
    unit: str = ""
    reason: str = ""


def check(name: str, where: str, limit: float | None, unit: str, measure: Callable[[], Figure]) -> Check:
    """Takes a figure; where the server refuses to give it, it does not pass."""
    try:
        value, words = measure()
    except (Refused, Malformed) as error:
        return Check(name, where, None, limit, unit, str(error))
    return Check(name, where, value, limit, unit, "" if limit is None or value <= limit else words)


def of_signatures(grpc: Grpc, metadata: Mapping[str, Any]) -> Check:
    """Whether the server has all signatures that the generator's own metadata name, each with its inputs."""

    def measure() -> Figure:
        served = grpc.signatures()
        promised = {name: set(inputs) for name, inputs in metadata["signatures"].items()}
        wrong = sorted(name for name, inputs in promised.items() if served.get(name) != inputs)
        return len(wrong), f"not there, or with other inputs: {', '.join(wrong)}"

    return check("signatures other than promised", "", 0, "", measure)


def of_signature(signature: Signature, grpc: Grpc, rest: Rest) -> Iterator[Check]:
    """All checks of one signature but its time."""
    for interface in (grpc, rest):
        where = f"{signature.name}, {interface.name}"
        yield check("faulty rows", where, 0, "", partial(_every_class, signature, interface))
        yield check("faulty rows beside a bad one", where, 0, "", partial(_bad_row, signature, interface))
    where = signature.name
    yield check("rows that differ when asked again", where, 0, "", partial(_repeated, signature, grpc, grpc))
    yield check("rows that differ between gRPC and REST", where, 0, "", partial(_repeated, signature, grpc, rest))
    yield check(
        "change of a row that is asked alone", where, GREY_LEVEL, "grey levels", partial(_alone, signature, grpc)
    )


def _every_class(signature: Signature, interface: Interface) -> Figure:
    """In large requests, and the first by itself."""
    large = [signature.labels() + start for start in range(0, signature.classes, signature.rows)]
    faults = []
    for labels in [np.zeros(1, int), *large]:
        asked = signature.question(labels % signature.classes, LOWEST_SEED)
        faults += signature.read(interface.predict(signature.name, asked), [OK] * len(labels)).faults
    return len(faults), next(iter(faults), "")


def _bad_row(signature: Signature, interface: Interface) -> Figure:
    """A row of no class in the middle of good ones."""
    labels = signature.labels()[:5]
    bad = len(labels) // 2
    labels[bad] = signature.classes
    wanted = [signature.unknown() if row == bad else OK for row in range(len(labels))]
    faults = signature.read(interface.predict(signature.name, signature.question(labels)), wanted).faults
    return len(faults), next(iter(faults), "")


def _repeated(signature: Signature, first: Interface, second: Interface) -> Figure:
    asked = signature.question(signature.labels())
    one, other = (interface.predict(signature.name, asked) for interface in (first, second))
    if one.keys() != other.keys():
        raise Malformed(f"outputs {', '.join(sorted(one))}, and then {', '.join(sorted(other))}")
    rows = {row for alias in one for row in _unequal(one[alias], other[alias])}
    return len(rows), f"{len(rows)} of {signature.rows} rows"


def _unequal(one: np.ndarray, other: np.ndarray) -> list[int]:
    """Rows that are not equal to the last bit."""
    if one.shape != other.shape:
        return list(range(max(len(one), len(other))))
    other = other.astype(one.dtype)  # JSON has no float32, but what it writes of one reads as the same
    return [row for row in range(len(one)) if not np.array_equal(one[row], other[row])]


def _alone(signature: Signature, interface: Interface) -> Figure:
    """Rows of a large request, each by itself."""
    asked = signature.question(signature.labels())
    answer = interface.predict(signature.name, asked)
    together = _images(signature, answer)
    worst = 0.0
    for row in range(0, signature.rows, max(1, signature.rows // ALONE)):
        own = interface.predict(signature.name, {alias: column[row : row + 1] for alias, column in asked.items()})
        if "tries" in own and own["tries"][0] != answer["tries"][row]:
            continue  # a grey level may decide which candidate is the first to pass the filter
        worst = max(worst, float(np.abs(_images(signature, own)[0] - together[row]).max()))
    return worst, f"{worst:.4g} grey levels"


def _images(signature: Signature, answer: Columns) -> np.ndarray:
    read = signature.read(answer, [OK] * len(answer["status"]) if "status" in answer else [])
    if read.faults:
        raise Malformed(read.faults[0])
    return read.images


def of_array(metadata: Mapping[str, Any], grpc: Grpc) -> Check:
    """Whether `array` gives the very images that `serving_default` gives as PNG files."""

    def measure() -> Figure:
        array, default = Signature("array", metadata), Signature(SERVING_DEFAULT, metadata)
        asked = array.question(array.labels())
        exact, rounded = (_images(s, grpc.predict(s.name, asked)) for s in (array, default))
        worst = float(np.abs(exact - rounded).max())
        return worst, f"{worst:.4g} grey levels"

    return check("difference from the PNG file", "array", HALF_A_LEVEL, "grey levels", measure)


def of_time(signature: Signature, interface: Interface, options: ValidationOptions) -> Iterator[Check]:
    """Milliseconds from question to answer, of requests for 1 and for 64 images."""
    where = f"{signature.name}, {interface.name}"
    for size in BATCH_SIZES:
        limit = options.max_latency_ms.get(size)
        took: list[float] = []
        measure = partial(_slowest, signature, interface, size, took)
        images = f"{size} image{'s' if size > 1 else ''}"
        yield check(f"p95 of a request for {images}", where, limit, "ms", measure)
        if took:
            yield Check(f"p50 of a request for {images}", where, float(np.median(took)), None, "ms")


def _slowest(signature: Signature, interface: Interface, size: int, took: list[float]) -> Figure:
    """The 95th percentile; `took` is filled with the time of each request."""
    for request in range(TIMED[size]):
        labels = (request + np.arange(size)) % signature.classes
        asked = signature.question(labels, first_seed=request * size)
        start = time.perf_counter()
        interface.predict(signature.name, asked)
        took.append(1000 * (time.perf_counter() - start))
    slow = float(np.percentile(took, 95))
    return slow, f"{slow:.4g} ms, above `serving.validation.max_latency_ms`"


def of_memory(peak: int | None, options: ValidationOptions) -> Check:
    """Whether the server's memory, in bytes, stayed within bounds."""
    name, limit = "memory at its peak", options.max_memory_mb
    if peak is None:
        reason = (
            "" if limit is None else "it cannot be read here; `serving.validation.max_memory_mb: null` does without"
        )
        return Check(name, "server", None, limit, "MiB", reason)
    value = peak / 2**20
    return check(
        name, "server", limit, "MiB", lambda: (value, f"{value:.0f} MiB, above `serving.validation.max_memory_mb`")
    )
