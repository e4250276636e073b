"""From what was raised in a node to the one sentence that a person reads."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

from models.errors import UserError

# Raised with a message that says it all: by us, and by training whose losses are no longer numbers.
_SELF_EXPLAINING = (UserError, FloatingPointError)
# As the operating system, and thereby Python, TensorFlow and Beam, says it; and as SQLite does.
_DISK_FULL = re.compile(rf"{os.strerror(errno.ENOSPC)}|{os.strerror(errno.EDQUOT)}|database or disk is full", re.I)

# What gRPC tells of a server stands before the end of its message.
_REMOTE = re.compile(r'^\s*details = "(.+)"$', re.MULTILINE)

# SQLite rolls back by itself where it could not write, and ML Metadata tells of the commit that came after.
_ROLLED_BACK = "cannot commit - no transaction is active"
_NEXT_TO_NOTHING = 2**20  # bytes


def explain(failure: BaseException, root: Path) -> str:
    """One line for a failed run.

    Args:
      failure: what was raised; a `NodeFailed` names its node.
      root: of the run.

    Returns:
      The message of the fault where it explains itself, what to do about a full disk, or else kind and first line of
      what was raised; of a traceback that came as text, as Beam's workers and job servers send it, the last line.
    """
    node_id = getattr(failure, "node_id", None)
    prefix = f"{node_id}: " if node_id else ""
    causes = list(_causes(failure))
    for cause in causes:
        if isinstance(cause, _SELF_EXPLAINING):
            return f"{prefix}{cause}"
    rolled_back = any(_ROLLED_BACK in str(cause) for cause in causes)
    if any(_DISK_FULL.search(str(cause)) for cause in causes) or (
        rolled_back and shutil.disk_usage(root).free < _NEXT_TO_NOTHING
    ):
        return prefix + _full(causes, root)
    raised = failure.__cause__ or causes[-1]
    lines = str(raised).strip().splitlines() or [""]
    if "Traceback (most recent call last)" in str(raised):
        return prefix + (_REMOTE.findall(str(raised)) or lines)[-1].strip()
    return f"{prefix}{type(raised).__name__}: {lines[0]}"


def _full(causes: list[BaseException], root: Path) -> str:
    """Which disk is full, and what to do about it."""
    named = [
        os.fsdecode(cause.filename) for cause in filter(_is_full, causes) if isinstance(cause.filename, str | bytes)
    ]
    # A write to an open file does not say to which, and what filled the disk may have been removed by now.
    places = [_existing(Path(name)) for name in named[:1]] or [root, Path(tempfile.gettempdir())]
    place = min(places, key=lambda path: shutil.disk_usage(path).free)
    is_root = _device(place) == _device(root)
    free = shutil.disk_usage(place).free / 2**20
    room = "make room (`tailgan clean` removes what older runs made)" if is_root else "make room there"
    return (
        f"the disk that holds {root if is_root else place} is full ({free:.0f} MiB free now); "
        f"{room}, and the same command goes on: what completed is kept"
    )


def _is_full(cause: BaseException) -> TypeGuard[OSError]:
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def _device(path: Path) -> int:
    return path.stat().st_dev


def _existing(path: Path) -> Path:
    """A path, or the nearest folder above it that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    """What was raised, then what caused it, and so on."""
    while failure is not None:
        yield failure
        failure = failure.__cause__ or (None if failure.__suppress_context__ else failure.__context__)
