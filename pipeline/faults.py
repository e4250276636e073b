"""From what was raised in a node to the one sentence that a person reads."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from models.errors import UserError

# Raised with a message that says it all: by us, and by training whose losses are no longer numbers.
_SELF_EXPLAINING = (UserError, FloatingPointError)
# As the operating system, and thereby Python, TensorFlow and Beam, says it; and as SQLite does.
_DISK_FULL = re.compile(rf"{os.strerror(errno.ENOSPC)}|{os.strerror(errno.EDQUOT)}|database or disk is full", re.I)


def explain(failure: BaseException, root: Path) -> str:
    """One line for a failed run.

    Args:
      failure: what was raised; a `NodeFailed` names its node.
      root: of the run.

    Returns:
      The message of the fault where it explains itself, what to do about a full disk, or else kind and first line of
      what was raised.
    """
    node_id = getattr(failure, "node_id", None)
    prefix = f"{node_id}: " if node_id else ""
    causes = list(_causes(failure))
    for cause in causes:
        if isinstance(cause, _SELF_EXPLAINING):
            return f"{prefix}{cause}"
    if any(_DISK_FULL.search(str(cause)) for cause in causes):
        free = shutil.disk_usage(root).free / 2**20
        return (
            f"{prefix}the disk that holds {root} is full ({free:.0f} MiB free now); make room (`tailgan clean` "
            "removes what older runs made), and the same command goes on: what completed is kept"
        )
    raised = failure.__cause__ or causes[-1]
    first_line = str(raised).strip().partition("\n")[0]
    return f"{prefix}{type(raised).__name__}: {first_line}"


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    """What was raised, then what caused it, and so on."""
    while failure is not None:
        yield failure
        failure = failure.__cause__ or (None if failure.__suppress_context__ else failure.__context__)
