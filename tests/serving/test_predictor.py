"""Requests on their way to a version of a model."""

import asyncio
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from serving.batching import OneByOne
from serving.config import ModelConfig
from serving.errors import ServingError
from serving.metrics import Metrics
from serving.model import Signature, checked_outputs
from serving.predictor import Predictor
from serving.versions import Versions

SIGNATURE = Signature(inputs={"x": "x:0"}, outputs={"y": "y:0", "z": "z:0"}, dtypes={"x": "int64"})


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


@pytest.fixture
def predictor(tmp_path, gate):
    """On a model `m` that waits for the gate, and then tells which outputs were asked for."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()

    ran = []

    def run(signature, inputs, outputs):
        ran.append(outputs)
        assert gate.wait(10)
        return [np.array([alias]) for alias in outputs]

    def load(path):
        return SimpleNamespace(run=run, warm_up=lambda path: 0.0, close=lambda: None)

    metrics = Metrics()
    versions = Versions({"m": ModelConfig("m", tmp_path)}, metrics, poll_seconds=1, retries=0, retry_seconds=0)
    for _ in range(2):
        versions.look(load)
    runner = OneByOne(threads=1, max_waiting=10)
    made = Predictor(versions, runner, metrics, max_rows=3)
    made.ran = ran
    yield made
    runner.close()


async def asked(predictor, values=(1,), output_filter=()) -> dict:
    with predictor.versions.use("m") as version:
        return await predictor.run("m", version, SIGNATURE, {"x": np.array(values, np.int64)}, output_filter)


def test_all_outputs_or_those_of_the_filter(predictor, gate):
    gate.set()
    assert asyncio.run(asked(predictor)) == {"y": ["y"], "z": ["z"]}
    assert asyncio.run(asked(predictor, output_filter=["z"])) == {"z": ["z"]}


def test_outputs_come_in_one_order_however_they_are_asked_for():
    assert checked_outputs(SIGNATURE, ["z", "y"]) == checked_outputs(SIGNATURE, ["y", "z"]) == ("y", "z")


def test_too_many_rows_are_refused(predictor, gate):
    gate.set()
    asyncio.run(asked(predictor, (1, 2, 3)))
    with pytest.raises(ServingError, match="4 rows in one request: at most 3"):
        asyncio.run(asked(predictor, (1, 2, 3, 4)))


def test_a_run_keeps_its_version_though_its_caller_has_given_up(predictor, gate):
    async def give_up():
        task = asyncio.create_task(asked(predictor))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    version = predictor.versions.take("m")
    predictor.versions.release(version)
    assert version.users == 1
    assert not predictor.idle()
    gate.set()
    deadline = time.monotonic() + 10
    while version.users and time.monotonic() < deadline:
        time.sleep(0.01)
    assert version.users == 0
    assert predictor.idle()


def test_who_gives_up_while_waiting_is_not_run_and_the_others_are_told(predictor, gate):
    async def three():
        tasks = [asyncio.create_task(asked(predictor, output_filter=[alias])) for alias in "yzy"]
        await asyncio.sleep(0.1)
        tasks[1].cancel()
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = asyncio.run(three())
    assert first == third == {"y": ["y"]}
    assert isinstance(second, asyncio.CancelledError)
    assert predictor.ran == [("y",), ("y",)]


def test_requests_that_end_together_wake_the_loop_once(predictor, gate):
    async def many() -> int:
        loop = asyncio.get_running_loop()
        wakes = []
        call, loop.call_soon_threadsafe = loop.call_soon_threadsafe, lambda *args: wakes.append(args)
        tasks = [asyncio.create_task(asked(predictor)) for _ in range(8)]
        await asyncio.sleep(0.1)
        gate.set()
        while not predictor.idle():
            await asyncio.sleep(0.01)
        assert len(wakes) == 1
        call(*wakes[0])
        return len(await asyncio.wait_for(asyncio.gather(*tasks), 10))

    assert asyncio.run(many()) == 8
