"""What serves now, and what served best: complete versions below a TF Serving base path."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import versions

# Beside a SavedModel: what the Pusher puts there.
EVALUATION = "assets.extra/evaluation.json"


@dataclass(frozen=True)
class Served:
    """A version of a model.

    Attributes:
      version: its number.
      path: of its directory.
      fingerprint: of its generator.
      files: hash of the files, so that nothing that was found out before they changed is taken from a cache.
    """

    version: int
    path: str
    fingerprint: str
    files: str


def fingerprint(model_dir: Path) -> str:
    """Identity of an exported generator: the one written by its export; where that cannot be read, that of its files.

    It is what the model says of itself, so a damaged model may have that of a whole one.
    """
    written = versions.about(model_dir).get("fingerprint")
    return written if isinstance(written, str) else _hash(model_dir)


def _hash(model_dir: Path) -> str:
    """Hex digest of all files of a model; one that cannot be read counts as what hinders it."""
    digest = hashlib.sha256()
    for path in sorted(p for p in model_dir.rglob("*") if p.is_file()):
        try:
            content = path.read_bytes()
        except OSError as error:
            content = str(error).encode()
        digest.update(path.relative_to(model_dir).as_posix().encode() + b"\0" + content)
    return digest.hexdigest()


def what_serves(base_path: str) -> Served | None:
    """The version that TF Serving's default policy would serve from `base_path`; None while there is none."""
    there = versions.complete(base_path)
    return _served(there, max(there)) if there else None


def best_served(base_path: str) -> Served | None:
    """Of the versions that are still there, the one that was judged best when it was pushed.

    That is the lowest mean of `kid_relative` over the classes; of equal ones the newest. Only versions that make the
    same classes as the newest judged one count. None where no version's evaluation tells it.
    """
    there = versions.complete(base_path)
    found = {version: evaluation for version, path in there.items() if (evaluation := _evaluation(path))}
    if not found:
        return None
    classes = found[max(found)][0]
    figures = {version: figure for version, (names, figure) in found.items() if names == classes}
    return _served(there, min(figures, key=lambda version: (figures[version], -version)))


def _served(there: dict[int, Path], version: int) -> Served:
    path = there[version]
    return Served(version, str(path), fingerprint(path), _hash(path))


def _evaluation(model_dir: Path) -> tuple[set[str], float] | None:
    """Class names of a pushed version and the mean of `kid_relative`; None where that is not known."""
    try:
        document: dict[str, Any] = json.loads((model_dir / EVALUATION).read_text(encoding="utf-8"))
        return set(document["per_class"]), float(document["groups"]["mean"]["kid_relative"])
    except (OSError, ValueError, KeyError, TypeError):  # pushed before there were such evaluations, or by hand
        return None
