"""What was found out about real images, kept from one evaluation to the next."""

import hashlib
import io
import json
import logging
import os
import zipfile
from pathlib import Path

import numpy as np

from models.files import write_whole

FOLDER = "features"

log = logging.getLogger("tailgan")


class Cache:
    """Files of arrays by key, `<directory>/features/<key>.npz`. All of it may be removed at any time."""

    def __init__(self, directory: str | os.PathLike):
        """Takes the directory; it is made with the first file."""
        self._folder = Path(directory) / FOLDER

    def path(self, key: str) -> Path:
        """File of a key, whether it is there or not."""
        return self._folder / f"{key}.npz"

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays of a key; None where there are none, or their file is damaged, which is removed."""
        path = self.path(key)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = dict(arrays)
            os.utime(path)  # the time of its last use, by which `tailgan clean` goes
            return found
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
            log.warning("%s is damaged and made anew (%s)", path, error)
            path.unlink(missing_ok=True)
            return None

    def save(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        """Keeps arrays under a key; the file is there whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_whole(self.path(key), buffer.getvalue())


def key(**parts: str | int) -> str:
    """A key from all that decides the arrays, by name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
