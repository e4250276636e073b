"""`tailgan status` tells a run that goes on from one that was broken off, and says so in text and JSON alike."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.lock import locked
from pipeline.record import NodeRecord, RunRecord

HOME = Path(__file__).parent.parent.parent
GONE = 2**22 + 1  # no pid is so high


def status(root: Path, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "status", "--root", str(root), *args],
        capture_output=True, text=True, cwd=HOME,
    )  # fmt: skip


def write_record(root: Path, pid: int, outcome: str) -> None:
    RunRecord(
        run_id="now", pid=pid, started="today", serving_dir="", config={}, outcome=outcome,
        nodes={"GAN": NodeRecord(state="running")},
    ).save(root)  # fmt: skip


@pytest.mark.parametrize(
    ("lives", "outcome", "is_locked", "told", "is_starting"),
    [
        (True, "running", True, "running", False),
        (False, "running", False, "broken_off", False),
        (False, "running", True, "broken_off", True),  # another run loads TensorFlow and has no record yet
        (False, "not_blessed", True, "not_blessed", True),
        (True, "pushed", True, "pushed", False),  # it writes its report
        (False, "pushed", False, "pushed", False),
    ],
)
def test_text_and_json_agree(tmp_path, lives, outcome, is_locked, told, is_starting):
    write_record(tmp_path, os.getpid() if lives else GONE, outcome)
    if is_locked:
        with locked(tmp_path):
            text, answer = status(tmp_path), status(tmp_path, "--json")
    else:
        text, answer = status(tmp_path), status(tmp_path, "--json")
    first, *lines = text.stdout.splitlines()
    assert text.returncode == 0 and first.startswith(f"{tmp_path}: {told.replace('_', ' ')}")
    assert ("goes on from there" in first) == (told == "broken_off" and not is_starting)
    starting = f"a run is starting here, or `tailgan clean` is at work (pid {os.getpid()})"
    assert (lines[0] == starting) == is_starting and lines[-1] == "  running   GAN"
    found = json.loads(answer.stdout)
    assert found["outcome"] == told and found["at_work"] == (os.getpid() if is_locked else None)


def test_the_first_run_of_a_root_is_told_before_it_has_a_record(tmp_path):
    with locked(tmp_path):
        result = status(tmp_path)
    assert result.returncode == 2
    assert (
        f"no run here yet; a run is starting here, or `tailgan clean` is at work (pid {os.getpid()})" in result.stderr
    )
