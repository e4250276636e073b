"""A root belongs to one run at a time, and a dead run holds nothing."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from pipeline.config import ConfigError
from pipeline.lock import holder, locked

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_with_the_pid_of_the_first_and_let_in_when_that_is_dead(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=rf"pid {holder.pid}\)"), locked(tmp_path):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_the_lock_is_free_again_after_use(tmp_path):
    for _ in range(2):
        with locked(tmp_path):
            pass


def test_who_only_looks_keeps_no_run_out(tmp_path):
    with open(tmp_path / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.05, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        with locked(tmp_path):
            assert holder(tmp_path) == os.getpid()


def test_two_who_look_at_once_do_not_take_each_other_for_a_run(tmp_path):
    with locked(tmp_path):
        pass
    with open(tmp_path / ".lock") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert holder(tmp_path) is None
