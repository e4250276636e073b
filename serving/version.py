"""One version of a model, as it comes and goes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.model import Model

State = Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]


@dataclass
class Version:
    """A version of a model, and how far it is.

    Attributes:
      error: why it could not be loaded, if it could not.
      model: while it is AVAILABLE or UNLOADING.
      users: requests that use it.
      contents: what its directory held at the last look.
      failures: times that loading these contents failed.
      next_attempt: when to try again, by the monotonic clock.
    """

    number: int
    path: Path
    state: State = "START"
    error: ServingError | None = None
    model: "Model | None" = None
    users: int = 0
    contents: tuple | None = None
    failures: int = 0
    next_attempt: float = 0.0


def contents_of(directory: Path) -> tuple:
    """Names, sizes and times of all files below a directory."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            try:
                stat = os.stat(path)
            except OSError:  # it has just gone
                continue
            found.append((path, stat.st_size, stat.st_mtime_ns))
    return tuple(sorted(found))
