"""Running requests one by one and as batches."""

import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest

from serving.batching import Batching, OneByOne
from serving.config import BatchingParameters
from serving.errors import ServingError
from serving.metrics import Metrics


class Model:
    """Doubles what it is given, refuses what is negative, and remembers the sizes of its batches.

    With `gate` closed, a run waits.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, inputs):
        self.sizes.append(len(inputs["x"]))
        assert self.gate.wait(10)
        if (inputs["x"] < 0).any():
            raise ServingError("INVALID_ARGUMENT", "negative")
        return [2 * inputs["x"]]


def asked(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.float32)}


def values(future: Future) -> list:
    return future.result(10)[0].tolist()


@pytest.fixture
def batching():
    made: list[Batching] = []

    def make(**parameters) -> Batching:
        waiting = parameters.pop("max_waiting", 1000)
        made.append(Batching(BatchingParameters(**{"num_batch_threads": 1, **parameters}), Metrics(), waiting))
        return made[-1]

    yield make
    for one in made:
        one.close()


def busy(runner: Batching | OneByOne, model: Model) -> Future:
    """Closes the gate and occupies the one thread."""
    model.gate.clear()
    before = len(model.sizes)
    future = runner.submit("blocker", model, asked(0))
    while len(model.sizes) == before:
        time.sleep(0.001)
    return future


def test_requests_that_wait_are_run_together(batching):
    model, runner = Model(), batching(max_batch_size=8)
    busy(runner, model)
    futures = [runner.submit("key", model, asked(i, i + 0.5)) for i in range(4)]
    model.gate.set()
    assert [values(future) for future in futures] == [[2 * i, 2 * i + 1] for i in range(4)]
    assert model.sizes == [1, 8]


def test_a_batch_has_a_largest_size(batching):
    model, runner = Model(), batching(max_batch_size=3)
    busy(runner, model)
    futures = [runner.submit("key", model, asked(i, i)) for i in range(2)]
    model.gate.set()
    assert [values(future) for future in futures] == [[0, 0], [2, 2]]
    assert model.sizes == [1, 2, 2]
    with pytest.raises(ServingError, match="Task size 4 is larger than maximum input batch size 3"):
        runner.submit("key", model, asked(1, 2, 3, 4))


def test_a_batch_waits_for_others_and_no_longer(batching):
    model, runner = Model(), batching(max_batch_size=2, batch_timeout_micros=200_000)
    start = time.monotonic()
    assert values(runner.submit("key", model, asked(1))) == [2]
    assert 0.19 < time.monotonic() - start < 5
    start = time.monotonic()
    futures = [runner.submit("key", model, asked(i)) for i in range(2)]
    assert [values(future) for future in futures] == [[0], [2]]
    assert time.monotonic() - start < 0.19, "a full batch waits for nobody"


def test_what_comes_during_a_run_is_gathered_though_a_thread_is_free(batching):
    model, runner = Model(), batching(num_batch_threads=2)
    model.gate.clear()
    futures = [runner.submit("key", model, asked(0))]
    while not model.sizes:
        time.sleep(0.001)
    for i in range(1, 5):
        futures.append(runner.submit("key", model, asked(i)))
        time.sleep(0.02)
    assert model.sizes == [1]
    model.gate.set()
    assert [values(future) for future in futures] == [[2 * i] for i in range(5)]
    assert model.sizes == [1, 4]


def test_a_full_batch_and_one_of_another_key_need_not_wait_for_a_run(batching):
    model, runner = Model(), batching(num_batch_threads=3, max_batch_size=2)
    model.gate.clear()
    futures = [runner.submit(key, model, asked(*rows)) for key, rows in (("a", [1]), ("b", [2]), ("a", [3, 4]))]
    deadline = time.monotonic() + 10
    while len(model.sizes) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert sorted(model.sizes) == [1, 1, 2]
    model.gate.set()
    assert [values(future) for future in futures] == [[2], [4], [6, 8]]


def test_a_batch_waits_for_runs_of_its_own_key_alone(batching):
    blocked, model = Model(), Model()
    runner = batching(num_batch_threads=2)
    model.gate.clear()
    first = runner.submit("a", model, asked(1))
    while not model.sizes:
        time.sleep(0.001)
    runner.submit("b", blocked, asked(0)).result(10)  # the other thread has something to do, and then waits
    blocked.gate.clear()
    waiting = [runner.submit("a", model, asked(2)), runner.submit("b", blocked, asked(0))]
    while len(blocked.sizes) < 2:
        time.sleep(0.001)
    third = runner.submit("b", blocked, asked(5))
    model.gate.set()
    assert [values(first), values(waiting[0])] == [[2], [4]]
    blocked.gate.set()
    assert [values(waiting[1]), values(third)] == [[0], [10]]


def test_other_keys_and_shapes_are_other_batches(batching):
    model, runner = Model(), batching()
    busy(runner, model)
    futures = [
        runner.submit("a", model, asked(1)),
        runner.submit("b", model, asked(2)),
        runner.submit("a", model, {"x": np.ones((1, 2), np.float32)}),
        runner.submit("a", model, asked(3)),
    ]
    model.gate.set()
    assert [values(future) for future in futures] == [[2], [4], [[2, 2]], [6]]
    assert sorted(model.sizes) == [1, 1, 1, 2]


def test_a_bad_row_fails_its_own_request_alone(batching):
    model, runner = Model(), batching()
    busy(runner, model)
    futures = [runner.submit("key", model, asked(value)) for value in (1, -1, 3)]
    model.gate.set()
    assert values(futures[0]) == [2]
    assert values(futures[2]) == [6]
    with pytest.raises(ServingError, match="negative"):
        futures[1].result(10)


def test_keys_take_turns(batching):
    model, runner = Model(), batching(max_batch_size=1)
    busy(runner, model)
    order = []

    def run_of(key):
        return lambda inputs: [order.append(key) or inputs["x"]]

    futures = [runner.submit(key, run_of(key), asked(0)) for key in ("a", "a", "a", "b")]
    model.gate.set()
    for future in futures:
        future.result(10)
    assert order == ["a", "b", "a", "a"]


def test_a_full_queue_refuses(batching):
    model, runner = Model(), batching(max_batch_size=1, max_enqueued_batches=2)
    busy(runner, model)
    futures = [runner.submit("key", model, asked(i)) for i in range(2)]
    with pytest.raises(ServingError, match="queue to which this task was submitted is full") as caught:
        runner.submit("key", model, asked(1))
    assert caught.value.code == "UNAVAILABLE"
    model.gate.set()
    assert [values(future) for future in futures] == [[0], [2]]


def test_many_queues_have_a_bound_together(batching):
    model, runner = Model(), batching(max_enqueued_batches=2, max_waiting=3)
    busy(runner, model)
    futures = [runner.submit("key", model, {"x": np.ones((1, size), np.float32)}) for size in (1, 2, 3)]
    for size in (4, 5):
        with pytest.raises(ServingError, match="queue to which this task was submitted is full"):
            runner.submit("key", model, {"x": np.ones((1, size), np.float32)})
    model.gate.set()
    assert [values(future) for future in futures] == [[[2] * size] for size in (1, 2, 3)]
    assert values(runner.submit("key", model, asked(3))) == [6], "there is room again"


def test_what_took_too_long_is_not_run_again(batching):
    model, runner = Model(), batching()
    busy(runner, model)
    sizes = []

    def late(inputs):
        sizes.append(len(inputs["x"]))
        raise ServingError("DEADLINE_EXCEEDED", "Timed out")

    futures = [runner.submit("late", late, asked(i)) for i in range(10)]
    model.gate.set()
    for future in futures:
        with pytest.raises(ServingError, match="Timed out"):
            future.result(10)
    assert sizes == [10]


def test_who_gave_up_is_not_run(batching):
    model, runner = Model(), batching(max_batch_size=4)
    busy(runner, model)
    futures = [runner.submit("key", model, asked(i)) for i in range(3)]
    assert futures[1].cancel()
    model.gate.set()
    assert [values(futures[0]), values(futures[2])] == [[0], [4]]
    assert model.sizes == [1, 2]


def test_batches_are_padded_to_what_is_allowed(batching):
    model, runner = Model(), batching(max_batch_size=8, allowed_batch_sizes=(4, 8))
    assert values(runner.submit("key", model, asked(1))) == [2]
    assert values(runner.submit("key", model, asked(1, 2, 3, 4, 5))) == [2, 4, 6, 8, 10]
    assert values(runner.submit("key", model, asked())) == []
    assert model.sizes == [4, 8, 0]


def test_what_cannot_be_batched_is_refused(batching):
    runner = batching()
    with pytest.raises(ServingError, match="at least one dimension"):
        runner.submit("key", Model(), {"x": np.array(1)})
    with pytest.raises(ServingError, match="equal 0th-dimension size"):
        runner.submit("key", Model(), {"x": np.ones(1), "y": np.ones(2)})
    with pytest.raises(ServingError, match="has 0 dimensions"):
        runner.submit("key", lambda inputs: [np.array(1)], asked(1)).result(10)
    with pytest.raises(ServingError, match="does not equal the sum"):
        runner.submit("key", lambda inputs: [np.ones(3)], asked(1)).result(10)


def test_one_by_one_has_a_bound_too():
    model, runner = Model(), OneByOne(threads=1, max_waiting=1)
    first = busy(runner, model)
    second = runner.submit("key", model, asked(2))
    with pytest.raises(ServingError, match="full"):
        runner.submit("key", model, asked(3))
    model.gate.set()
    assert [values(first), values(second)] == [[0], [4]]
    assert values(runner.submit("key", model, asked(3))) == [6], "there is room again"
    runner.close()
