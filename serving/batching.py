"""Running requests: one by one, or several as one batch.

Both have a bound on what waits, and refuse with TensorFlow Serving's words when it is reached. A request whose caller
has given up is dropped before it is run.
"""

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

import numpy as np

from serving.config import BatchingParameters
from serving.errors import ServingError, invalid
from serving.metrics import Metrics

FULL = "The batch scheduling queue to which this task was submitted is full"
# {alias: input} to the outputs, in a fixed order.
Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]


class OneByOne:
    """Every request is a run of its own, on one of a few threads."""

    def __init__(self, threads: int, max_waiting: int):
        self._queue: SimpleQueue[tuple[Run, Mapping[str, np.ndarray], Future] | None] = SimpleQueue()
        self._room = threading.Semaphore(threads + max_waiting)
        self._threads = [threading.Thread(target=self._work, name=f"run-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, key: object, run: Run, inputs: Mapping[str, np.ndarray]) -> Future:
        """A future of the outputs; `key` is for batches.

        Raises:
          ServingError: if too many wait.
        """
        if not self._room.acquire(blocking=False):
            raise ServingError("UNAVAILABLE", FULL)
        future: Future = Future()
        self._queue.put((run, inputs, future))
        return future

    def close(self) -> None:
        """Ends the threads; nothing is asked any more."""
        for _ in self._threads:
            self._queue.put(None)

    def _work(self) -> None:
        while (asked := self._queue.get()) is not None:
            run, inputs, future = asked
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(run(inputs))
                except Exception as error:
                    future.set_exception(error)
            self._room.release()


@dataclass
class _Task:
    inputs: Mapping[str, np.ndarray]
    rows: int
    future: Future
    since: float = field(default_factory=time.monotonic)


@dataclass
class _Batch:
    run: Run
    tasks: list[_Task]
    rows: int


class Batching:
    """Requests of one model, signature and shape that come together are run together.

    A batch is run, as soon as one of the threads is free, when it is full, or when its first request has waited for
    `batch_timeout_micros` and no other batch of its kind is being run. What comes during a run is so gathered, as
    Nagle's algorithm (RFC 896) gathers small packets: clients with a row each make few large runs, not many small ones.
    Unlike TensorFlow Serving, a batch that fails is run again request by request, so that a bad row fails its own
    request alone; but one that took too long is not, for its requests would take longer still.
    """

    def __init__(self, parameters: BatchingParameters, metrics: Metrics, max_waiting: int):
        """Starts the threads; `max_waiting` bounds the batches of all queues, of which there is one for every shape."""
        self._parameters = parameters
        self._max_waiting = max_waiting
        self._waiting = 0
        self._metrics = metrics
        self._queues: OrderedDict[object, deque[_Batch]] = OrderedDict()  # the queue that waits longest comes first
        self._running: Counter[object] = Counter()  # batches of each queue that are being run
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True)
            for i in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, key: object, run: Run, inputs: Mapping[str, np.ndarray]) -> Future:
        """A future of the outputs.

        Args:
          key: requests of equal keys and shapes may be run together, through the `run` of any of them.
          run: runs a batch.
          inputs: {alias: array}, all of the same length.

        Raises:
          ServingError: if they cannot be batched, or too many wait.
        """
        if any(array.ndim == 0 for array in inputs.values()):
            raise invalid("Batching Run() input tensors must have at least one dimension")
        if len({len(array) for array in inputs.values()}) > 1:
            raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
        rows = len(next(iter(inputs.values())))
        limit = self._parameters.max_batch_size
        if rows > limit:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {limit}")
        shapes = tuple((alias, array.shape[1:], array.dtype.str) for alias, array in sorted(inputs.items()))
        task = _Task(inputs, rows, Future())
        with self._changed:
            queue = self._queues.setdefault((key, shapes), deque())
            if queue and queue[-1].rows + rows <= limit:
                queue[-1].tasks.append(task)
                queue[-1].rows += rows
            elif len(queue) < self._parameters.max_enqueued_batches and self._waiting < self._max_waiting:
                queue.append(_Batch(run, [task], rows))
                self._waiting += 1
            else:
                if not queue:
                    del self._queues[key, shapes]
                raise ServingError("UNAVAILABLE", FULL)
            self._changed.notify()
        return task.future

    def close(self) -> None:
        """Ends the threads; what waits is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (found := self._next()) is not None:
            key, batch = found
            self._run(batch)
            with self._changed:
                self._running[key] -= 1
                if not self._running[key]:
                    del self._running[key]

    def _next(self) -> tuple[object, _Batch] | None:
        """Waits for a batch that is due, and its key; None when closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                soonest = None
                for key, queue in self._queues.items():
                    first = queue[0]
                    due = first.tasks[0].since + self._parameters.batch_timeout_micros / 1e6
                    full = len(queue) > 1 or first.rows >= self._parameters.max_batch_size
                    if full or (due <= now and key not in self._running):
                        queue.popleft()
                        self._waiting -= 1
                        del self._queues[key]
                        if queue:
                            self._queues[key] = queue  # at the end: other queues come first
                        self._running[key] += 1
                        return key, first
                    if key not in self._running:
                        soonest = due if soonest is None else min(soonest, due)
                self._changed.wait(None if soonest is None else soonest - now)
        return None

    def _run(self, batch: _Batch) -> None:
        tasks = [task for task in batch.tasks if task.future.set_running_or_notify_cancel()]
        now = time.monotonic()
        for task in tasks:
            self._metrics.queuing_latency.observe(now - task.since)
        try:
            for task, outputs in zip(tasks, self._outputs(batch.run, tasks), strict=True):
                task.future.set_result(outputs)
        except Exception as error:
            if len(tasks) == 1 or (isinstance(error, ServingError) and error.code == "DEADLINE_EXCEEDED"):
                for task in tasks:
                    task.future.set_exception(error)
                return
            for task in tasks:
                try:
                    task.future.set_result(self._outputs(batch.run, [task])[0])
                except Exception as own:
                    task.future.set_exception(own)

    def _outputs(self, run: Run, tasks: list[_Task]) -> list[list[np.ndarray]]:
        """The outputs of each task, by one run."""
        if not tasks:
            return []
        rows = sum(task.rows for task in tasks)
        padded = min((size for size in self._parameters.allowed_batch_sizes if size >= rows), default=rows)
        inputs = {
            alias: np.concatenate(
                [task.inputs[alias] for task in tasks] + [tasks[0].inputs[alias][:1]] * (padded - rows if rows else 0)
            )
            for alias in tasks[0].inputs
        }
        outputs = run(inputs)
        size = padded if rows else 0
        for output in outputs:
            if output.ndim == 0:
                raise invalid("Batched output tensor has 0 dimensions")
            if len(output) != size:
                raise invalid(
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                    "input tensors"
                )
        ends = np.cumsum([task.rows for task in tasks])
        return [
            [output[end - task.rows : end] for output in outputs]
            for task, end in zip(tasks, ends.tolist(), strict=True)
        ]
