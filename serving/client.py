"""A client of a served generator, over gRPC or REST, of the local endpoint and of TensorFlow Serving alike.

Over REST it imports no TensorFlow; over gRPC it must, whose messages hold TensorFlow's.
"""

import itertools
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import numpy as np

from serving.errors import ServingError, invalid

DEFAULT_MODEL = "generator"
PORTS = {"grpc": 8500, "http": 8501, "https": 443}
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between attempts, at most
METADATA_SECONDS = 10.0
# Data types as metadata names them.
DTYPES: dict[str, type] = {
    "DT_BOOL": np.bool_, "DT_STRING": np.object_, "DT_HALF": np.float16, "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64, "DT_INT8": np.int8, "DT_INT16": np.int16, "DT_INT32": np.int32, "DT_INT64": np.int64,
    "DT_UINT8": np.uint8, "DT_UINT16": np.uint16, "DT_UINT32": np.uint32, "DT_UINT64": np.uint64,
}  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True)
class Tensor:
    """What a signature takes or gives.

    Attributes:
      dtype: `object` for strings; None if numpy has no such type.
      shape: None where any size goes, or any shape.
    """

    dtype: np.dtype | None
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """Tensors by alias."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


class Transport(Protocol):
    """One attempt of each call; a ServingError tells that it failed."""

    def signatures(self, model: str, seconds: float) -> dict[str, Signature]:
        """Signatures of a model, by name."""

    def predict(
        self, model: str, name: str, signature: Signature, inputs: Mapping[str, np.ndarray], seconds: float
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature."""

    def close(self) -> None:
        """Frees the connection."""


class Client:
    """Calls one model. For one thread at a time.

    Attributes:
      url: where it asks.
      model: name of the model.

    For example:

        with Client("http://localhost:8501") as client:
            pngs = client.generate(["frayed"] * 8, range(8))
    """

    def __init__(self, url: str, deadline: float = 60.0):
        """Connects to nothing yet.

        Args:
          url: `grpc://host:port`, `http://host:port` or `https://host:port`, with TensorFlow Serving's ports where
            none is given; a path names the model (`http://host:8501/generator`, which is the default).
          deadline: seconds that a call of `predict` may take, attempts and pauses together.

        Raises:
          ServingError: if it is no such URL.
        """
        scheme, host, port, self.model = _parts(url)
        self.url = url
        self._deadline = deadline
        self._signatures: dict[str, Signature] | None = None
        # Clients that were refused together must not come again together: so this is not seeded.
        self._random = random.Random()
        self._transport: Transport
        if scheme == "grpc":
            from serving.client_grpc import Grpc  # TensorFlow is loaded here

            self._transport = Grpc(f"{host}:{port}")
        else:
            from serving.client_rest import Rest

            self._transport = Rest(scheme, host, port)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the connection."""
        self._transport.close()

    def signatures(self) -> dict[str, Signature]:
        """Signatures of the model, by name; asked once.

        Raises:
          ServingError: if the model is not served, or nobody answers within ten seconds.
        """
        if self._signatures is None:
            self._signatures = self._attempts(
                lambda seconds: self._transport.signatures(self.model, seconds), METADATA_SECONDS
            )
        return self._signatures

    def predict(
        self, inputs: Mapping[str, Any], signature: str = "serving_default", deadline: float | None = None
    ) -> dict[str, np.ndarray]:
        """Calls a signature. A server that is unavailable is asked again, until the deadline.

        Args:
          inputs: {alias: array, or what makes one}; strings are str or bytes.
          signature: its name.
          deadline: seconds for all attempts; the client's own if not given.

        Returns:
          {alias: array}, with the signature's data types; strings are arrays of bytes objects.

        Raises:
          ServingError: with the gRPC code of the refusal: INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE (still, at the
            deadline), DEADLINE_EXCEEDED ...
        """
        known = self.signatures()
        if signature not in known:
            raise invalid(f"{self.model} has no signature {signature}: there are {', '.join(sorted(known))}")
        wanted = known[signature]
        if inputs.keys() != wanted.inputs.keys():
            raise invalid(f"{signature} takes {', '.join(sorted(wanted.inputs))}: got {', '.join(sorted(inputs))}")
        types = {alias: kind.dtype for side in (wanted.inputs, wanted.outputs) for alias, kind in side.items()}
        if strange := [alias for alias, dtype in types.items() if dtype is None]:
            raise ServingError("UNIMPLEMENTED", f"{signature}: numpy has no type for {', '.join(strange)}")
        arrays = {alias: _converted(alias, value, types[alias]) for alias, value in inputs.items()}
        return self._attempts(
            lambda seconds: self._transport.predict(self.model, signature, wanted, arrays, seconds),
            self._deadline if deadline is None else deadline,
        )

    def generate(
        self,
        labels: Sequence[int] | Sequence[str] | np.ndarray,
        seeds: Sequence[int] | np.ndarray,
        batch_size: int = 64,
    ) -> list[bytes]:
        """PNG files; equal arguments give equal bytes, from one server.

        Args:
          labels: [n], indices of classes, or their names (which takes the signature `by_name`).
          seeds: [n], any int64.
          batch_size: rows of a request at most; a server with batching refuses more than its `max_batch_size`.

        Raises:
          ServingError: as `predict`; and if a class is not known, or there are not as many seeds as labels.
        """
        if len(labels) != len(seeds):
            raise invalid(f"{len(labels)} labels, but {len(seeds)} seeds")
        by_name = len(labels) > 0 and isinstance(labels[0], str)
        signature, alias = ("by_name", "name") if by_name else ("serving_default", "label")
        pngs: list[bytes] = []
        for start in range(0, len(labels), batch_size):
            rows = slice(start, start + batch_size)
            answer = self.predict({alias: labels[rows], "seed": seeds[rows]}, signature)
            faults = [status.decode() for status in answer["status"] if status != b"ok"]
            if faults:
                raise invalid(faults[0])
            pngs += answer["image_bytes"].tolist()
        return pngs

    def count_classes(self) -> int:
        """Number of classes: the protocol does not tell it, so labels are tried, by doubling and bisection.

        Raises:
          ServingError: also if the model takes any label for known.
        """

        def known(label: int) -> bool:
            return self.predict({"label": [label], "seed": [0]})["status"].tolist() == [b"ok"]

        above = next((2**power for power in range(64) if not known(2**power - 1)), None)  # label above - 1 is unknown
        if above is None:
            raise ServingError("FAILED_PRECONDITION", "the model takes any label, so its classes cannot be counted")
        below = above // 2
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if known(middle - 1) else (below, middle)
        return below

    def _attempts(self, attempt: Callable[[float], T], seconds: float) -> T:
        """Tries until it succeeds, fails for good, or the time is up.

        Pauses grow exponentially, with full jitter (M. Brooker, Exponential Backoff and Jitter, AWS 2015). A call may
        be repeated, for equal questions have equal answers.
        """
        deadline = time.monotonic() + seconds
        refusal: ServingError | None = None
        for turn in itertools.count():
            try:
                return attempt(max(0.001, deadline - time.monotonic()))
            except ServingError as error:
                late = error.code == "DEADLINE_EXCEEDED" and refusal is not None  # after refusals, these tell more
                if error.code == "UNAVAILABLE":
                    refusal = error
                elif not late:
                    raise
                pause = self._random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**turn))
                if late or pause >= deadline - time.monotonic():
                    assert refusal is not None
                    told = f"unavailable, at {turn + 1} attempts within {seconds:g} s: {refusal.message}"
                    raise ServingError("UNAVAILABLE", told) from None
            time.sleep(pause)
        raise AssertionError("unreachable")


def tensor(dtype: str, sizes: Iterable[int] | None) -> Tensor:
    """A tensor as metadata describe it: with the name of its type, and -1 where any size goes."""
    shape = None if sizes is None else tuple(None if size < 0 else size for size in sizes)
    return Tensor(np.dtype(DTYPES[dtype]) if dtype in DTYPES else None, shape)


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and model of a URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise invalid(f"{url}: {error}") from None
    host, model = parts.hostname, parts.path.strip("/")
    if parts.scheme not in PORTS or not host or "/" in model or parts.query or parts.fragment or parts.username:
        raise invalid(f"{url}: not an endpoint; allowed are {', '.join(f'{s}://HOST[:PORT][/MODEL]' for s in PORTS)}")
    host = f"[{host}]" if ":" in host else host
    return parts.scheme, host, PORTS[parts.scheme] if port is None else port, model or DEFAULT_MODEL


def _converted(alias: str, value: Any, dtype: np.dtype | None) -> np.ndarray:
    """An array of that type, if no value changes beyond rounding."""
    given = np.asarray(value)
    if dtype == np.dtype(object):
        if not all(isinstance(text, str | bytes) for text in given.ravel().tolist()):
            raise invalid(f"{alias}: strings expected")
        return np.vectorize(lambda text: text.encode() if isinstance(text, str) else text, otypes=[object])(given)
    if not given.size:
        return given.astype(dtype)
    both_whole = given.dtype.kind in "iu" and np.dtype(dtype).kind in "iu"
    if both_whole or np.can_cast(given.dtype, dtype, "same_kind"):
        converted = given.astype(dtype)
        if not both_whole or np.array_equal(converted, given):
            return converted
    raise invalid(f"{alias}: {given.dtype} values that are no {dtype}")
