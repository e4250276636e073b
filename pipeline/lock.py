"""One run at a time on a root."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.config import ConfigError

FILE_NAME = ".lock"


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the lock of a root; the kernel frees it when the process ends, however it ends.

    Raises:
      ConfigError: if another process holds it; its pid is named.
    """
    with open(root / FILE_NAME, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(
                f"{root}: another run is at work here (pid {file.read().strip() or 'unknown'}); "
                "wait for it, or give this one a --root of its own"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
