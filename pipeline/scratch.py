"""Temporary files of a run, which libraries leave behind: AutoGraph of every function that it converts, for one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "tmp"


@contextmanager
def temporary_files(root: Path) -> Iterator[None]:
    """Has this process and its children put temporary files below `root`, and removes them at the end.

    What a killed run left is removed first, so call it with the root locked.

    Raises:
      OSError: if the directory cannot be made.
    """
    folder = root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    environment, python = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = python
        if environment is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = environment
        shutil.rmtree(folder, ignore_errors=True)
