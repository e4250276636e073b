"""Files that are whole or not there, whenever the process is killed or the power fails; and locks between processes."""

import errno
import fcntl
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = ".lock"

# What network and user-space file systems say when asked to flush a directory: they cannot, or need not.
_NOT_FOR_DIRECTORIES = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES, errno.EISDIR)

log = logging.getLogger("tailgan")


def write_whole(path: Path, content: str | bytes, flush: bool = True) -> None:
    """Writes a file under a temporary name, flushes it to the disk, and renames it; an older file stays till then.

    Args:
      path: of the file; its folder exists.
      content: text (written as UTF-8) or bytes.
      flush: without it, files are whole if the process is killed, but not if the power fails; many are written faster.

    Raises:
      OSError: if it cannot be written; nothing is left of it then.
    """
    # No pid: in containers that share a volume, processes have the same ones.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        if flush:
            move_whole(temporary, path)
        else:
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, which is there; waits while another process has it, on whatever machine.

    The kernel frees it when the process ends, however it ends. The file stays: whoever waits has it open.

    Raises:
      OSError: if it cannot be written.
    """
    with (folder / LOCK_FILE).open("ab") as file:
        if not _take(file.fileno()):
            log.info("%s: another process is at work here; waiting for it", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process has the lock of a folder."""
    try:
        with (folder / LOCK_FILE).open("r+b") as file:
            return not _take(file.fileno())
    except FileNotFoundError:  # nobody has ever taken it
        return False


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def move_whole(source: Path, target: Path) -> None:
    """Renames a file or a folder once all of it is on the disk. Both names lie on one file system."""
    for path in (source, *source.rglob("*")) if source.is_dir() else (source,):
        _flush(path)
    source.replace(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in _NOT_FOR_DIRECTORIES):
            raise
