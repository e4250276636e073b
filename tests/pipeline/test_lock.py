"""A root belongs to one run at a time, and a dead run holds nothing."""

import os
import signal
import subprocess
import sys

import pytest

from pipeline.config import ConfigError
from pipeline.lock import locked

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
