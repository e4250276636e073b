"""What a person reads of a fault in a node."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from pipeline import faults

BEAM = """Error received from SDK harness for instruction 2: Traceback (most recent call last):
  File "sdk_worker.py", line 311, in _execute
    response = task()
ValueError: no such column: weight
"""
JOB_SERVER = """Pipeline job-1 failed in state FAILED: Error running pipeline.
Traceback (most recent call last):
  File "worker_handlers.py", line 623, in start_worker
    response = stub.StartWorker(
grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:
	status = StatusCode.UNAVAILABLE
	details = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1"
	debug_error_string = "UNAVAILABLE"
>
"""
Usage = namedtuple("Usage", "total used free")


def caused(message: str, cause: BaseException) -> RuntimeError:
    error = RuntimeError(message)
    error.__cause__ = cause
    return error


def no_room(name: str | None = None) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


@pytest.fixture
def free(monkeypatch):
    """Free MiB by folder, the nearest of which counts; each is a file system of its own."""
    found: dict[str, float] = {}

    def at(path) -> str:
        return next(str(p) for p in (Path(path), *Path(path).parents) if str(p) in found)

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, found[at(path)] * 2**20))
    monkeypatch.setattr(faults, "_device", at)
    return found


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError(), "ValueError: "),
        (RuntimeError(BEAM), "ValueError: no such column: weight"),
        (RuntimeError(JOB_SERVER), "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1"),
        (RuntimeError("Traceback (most recent call last):\n  File x\nKeyError: 'y'"), "KeyError: 'y'"),
    ],
)
def test_one_line_says_what_was_raised(tmp_path, raised, told):
    assert faults.explain(caused("the node", raised), tmp_path) == told


def test_a_full_disk_of_the_root_is_told_with_the_way_out(tmp_path, free):
    free.update({"/": 100_000, str(tmp_path): 3})
    for error in (no_room(), no_room(str(tmp_path / "gone" / "file")), RuntimeError("database or disk is full")):
        told = faults.explain(caused("the node", error), tmp_path)
        assert told.startswith(f"the disk that holds {tmp_path} is full (3 MiB free now); make room (`tailgan clean`")


def test_a_metadata_store_that_rolled_back_on_a_full_disk_is_no_riddle(tmp_path, free):
    error = RuntimeError("Error when executing query: cannot commit - no transaction is active query: COMMIT;")
    free.update({"/": 100_000, str(tmp_path): 0.5})
    assert faults.explain(caused("the node", error), tmp_path).startswith(f"the disk that holds {tmp_path} is full")
    free[str(tmp_path)] = 500
    assert "cannot commit" in faults.explain(caused("the node", error), tmp_path)


def test_another_full_disk_is_not_taken_for_that_of_the_root(tmp_path, free, monkeypatch):
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    other.mkdir()
    free.update({str(root): 3, str(other): 1})
    told = f"the disk that holds {other} is full (1 MiB free now); make room there, "
    assert faults.explain(no_room(str(other / "gone" / "file")), root).startswith(told)
    monkeypatch.setattr("tempfile.tempdir", str(other))
    assert faults.explain(no_room(), root).startswith(told)
    free[str(root)] = 0
    assert faults.explain(no_room(), root).startswith(f"the disk that holds {root} is full (0 MiB")
