"""One run at a time on a root."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pipeline.config import ConfigError

FILE_NAME = ".lock"


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the lock of a root; the kernel frees it when the process ends, however it ends.

    Raises:
      ConfigError: if another process holds it; its pid is named.
    """
    with open(root / FILE_NAME, "a+", encoding="utf-8") as file:
        if not _take_soon(file):
            raise ConfigError(
                f"{root}: another run is at work here (pid {_pid(file) or 'unknown'}); "
                "wait for it, or give this one a --root of its own"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def holder(root: Path) -> int | None:
    """Pid of the process that is at work on a root; None if none is."""
    try:
        with open(root / FILE_NAME, encoding="utf-8") as file:
            return None if _take(file, fcntl.LOCK_SH) else _pid(file)
    except OSError:
        return None


def _take_soon(file: TextIO) -> bool:
    """Takes the lock; `holder`, which has to take it to look, may have it for an instant."""
    for _ in range(20):
        if _take(file, fcntl.LOCK_EX):
            return True
        time.sleep(0.01)
    return False


def _take(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(file: TextIO) -> int | None:
    file.seek(0)
    text = file.read().strip()
    return int(text) if text.isdecimal() else None
