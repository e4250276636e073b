"""The directory of a run, looked at before anything is done in it."""

import itertools
import json
import logging
import os
from pathlib import Path

from models.files import write_whole
from pipeline import doctor
from pipeline.config import ConfigError
from pipeline.record import RunRecord
from pipeline.version import version

FILE_NAME = "root.json"
METADATA_STORE = "metadata.db"
ARTIFACTS = "artifacts"

# Raised whenever an older version could not use, or would misread, what this one writes below a root.
FORMAT = 1

log = logging.getLogger("tailgan")


def make(root: Path) -> None:
    """Makes the directory where there is none.

    Raises:
      ConfigError: if it cannot be made or written.
    """
    if wild := sorted(set("[]*?") & set(str(root))):
        raise ConfigError(f"{root}: TFX takes {' '.join(wild)} in a path for a pattern; --root names another directory")
    try:
        (root / "logs").mkdir(parents=True, exist_ok=True)
        probe = root / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)  # another container may have our pid
    except OSError as error:
        raise ConfigError(f"{root}: cannot be written: {error.strerror}; --root names another directory") from None


def check(root: Path) -> None:
    """Makes sure that this version understands what is there, and makes it ready; call it with the root locked.

    Raises:
      ConfigError: see `check_readable`.
    """
    made = check_readable(root)
    store = root / METADATA_STORE
    if not (store.exists() and store.stat().st_size):
        set_aside_artifacts(root)
    if made["format"] < FORMAT:
        _migrate(root)
        _mark(root)


def check_readable(root: Path) -> dict:
    """Looks at a root and changes nothing.

    Returns:
      `format` and `tailgan` of the version that made it.

    Raises:
      ConfigError: if a newer version made the root, or its metadata store is damaged; with the way out.
    """
    made = known(root)
    # TFX's own words on a damaged store are a page, and come in the middle of a run.
    store = doctor.store(root)
    if store.state != "ok":
        raise ConfigError(f"{store.found}; {store.do}")
    return made


def check_format(root: Path) -> None:
    """Makes sure that this version understands a root whose metadata store is elsewhere, and marks it as its own.

    Raises:
      ConfigError: if a newer version made the root.
    """
    if known(root)["format"] < FORMAT:
        _mark(root)


def _mark(root: Path) -> None:
    write_whole(root / FILE_NAME, json.dumps({"format": FORMAT, "tailgan": version()}))


def known(root: Path) -> dict:
    """What `_made_by` returns, if this version knows that format."""
    made = _made_by(root)
    if made["format"] > FORMAT:
        raise ConfigError(
            f"{root}: made by tailgan {made['tailgan']} in format {made['format']}; this is tailgan "
            f"{version()}, which knows formats up to {FORMAT}: upgrade it, or give the run a --root of its own"
        )
    return made


def _made_by(root: Path) -> dict:
    """`format` and `tailgan` of the version that made a root: format 0 where nothing says so."""
    path = root / FILE_NAME
    if not path.is_file():
        return {"format": 0}
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        return {"format": int(made["format"]), "tailgan": str(made["tailgan"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: damaged; remove it if this tailgan made the root, and run again") from None


def _migrate(root: Path) -> None:
    """From format 0, whose record of a run may not be readable: all else is found by the metadata store."""
    try:
        RunRecord.load(root)
    except ConfigError:
        (root / "run.json").replace(root / "run.json.old")


def set_aside_artifacts(root: Path) -> None:
    """Renames artifacts of which the metadata store knows nothing.

    A new store counts from 1 again, and what it counts names the folders: old files would mix with new.
    """
    artifacts = root / ARTIFACTS
    if artifacts.is_dir():
        free = next(path for n in itertools.count(1) if not (path := root / f"{ARTIFACTS}.old-{n}").exists())
        artifacts.rename(free)
        log.warning("no metadata store knows the artifacts that were here; they are in %s now", free.name)
