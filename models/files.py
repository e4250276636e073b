"""Files that are whole or not there, whenever the process is killed or the power fails."""

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file under a temporary name, flushes it to the disk, and renames it; an older file stays till then.

    Args:
      path: of the file; its folder exists.
      content: text (written as UTF-8) or bytes.

    Raises:
      OSError: if it cannot be written; nothing is left of it then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        move_whole(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def move_whole(source: Path, target: Path) -> None:
    """Renames a file or a folder once all of it is on the disk. Both names lie on one file system."""
    for path in (source, *source.rglob("*")) if source.is_dir() else (source,):
        _flush(path)
    source.replace(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
