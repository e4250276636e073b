"""What REST and gRPC have in common: a request is taken to a version of a model, checked, and run."""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial

import numpy as np

from serving.batching import Batching, OneByOne
from serving.errors import ServingError, invalid
from serving.metrics import Metrics
from serving.model import Signature, checked_inputs, checked_outputs
from serving.version import Version
from serving.versions import Versions


class Predictor:
    """Runs requests on loaded versions."""

    def __init__(self, versions: Versions, runner: OneByOne | Batching, metrics: Metrics, max_rows: int):
        self.versions = versions
        self.metrics = metrics
        self.max_rows = max_rows
        self._runner = runner
        self._running = 0
        self._ended: list[asyncio.Future] = []  # who waits for what has ended and is not told yet
        self._lock = threading.Lock()

    async def run(
        self,
        name: str,
        version: Version,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        output_filter: Sequence[str] = (),
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature: {alias: array}.

        Args:
          name: of the model.
          version: one that the caller has taken.
          signature: of that version.
          inputs: {alias: array}.
          output_filter: aliases of the outputs wanted; none means all.

        Raises:
          ServingError: if the inputs or the filter do not fit, or the model refuses, or too many requests wait.
        """
        checked_inputs(signature, inputs)
        rows = max((len(array) for array in inputs.values() if array.ndim), default=0)
        if rows > self.max_rows:
            raise invalid(f"{rows} rows in one request: at most {self.max_rows} (--max_rows)")
        aliases = checked_outputs(signature, output_filter)
        model = version.model
        assert model is not None, "a version that was taken is loaded"

        def run(batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            start = time.perf_counter()
            outputs = model.run(signature, batch, aliases)
            self.metrics.runtime_latency.observe(time.perf_counter() - start, name, "Predict", "TF1")
            return outputs

        # The caller may give up while the model still runs: so the version is held for the run itself.
        future: Future = self._runner.submit((signature, aliases), run, inputs)
        self.versions.hold(version)
        with self._lock:
            self._running += 1
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        future.add_done_callback(partial(self._done, version, loop, ended))
        try:
            await ended
        except asyncio.CancelledError:
            future.cancel()  # it is not run if it still waits
            raise
        return dict(zip(aliases, future.result(), strict=True))

    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return self._running == 0

    def _done(self, version: Version, loop: asyncio.AbstractEventLoop, ended: asyncio.Future, _: Future) -> None:
        with self._lock:
            self._running -= 1
            self._ended.append(ended)
            first = len(self._ended) == 1
        self.versions.release(version)
        if first:  # a batch ends as many requests at once as it has: the loop is woken once for all of them
            loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            told, self._ended = self._ended, []
        for ended in told:
            if not ended.done():
                ended.set_result(None)


def refused_examples(signature: Signature, verb: str) -> ServingError:
    """What TensorFlow Serving says to `classify` or `regress` on a signature that takes no examples."""
    if len(signature.inputs) != 1:
        return invalid("Expected one input Tensor.")
    several = "one or two output Tensors" if verb == "classify" else "one output Tensor"
    if len(signature.outputs) > (2 if verb == "classify" else 1):
        return invalid(f"Expected {several}, found {len(signature.outputs)}")
    return invalid("The signature takes no tf.Example: ask for predict")
