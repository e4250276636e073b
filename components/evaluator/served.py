"""What serves now: the highest complete version below a TF Serving base path."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Served:
    """A version of a model and the fingerprint of its generator."""

    version: int
    path: str
    fingerprint: str


def fingerprint(model_dir: Path) -> str:
    """Identity of an exported generator: the one written by its export, or of a foreign model, of its files."""
    metadata = model_dir / "assets.extra" / "tailgan.json"
    if metadata.is_file():
        return json.loads(metadata.read_text(encoding="utf-8"))["fingerprint"]
    digest = hashlib.sha256()
    for path in sorted(p for p in model_dir.rglob("*") if p.is_file()):
        digest.update(path.relative_to(model_dir).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def what_serves(base_path: str) -> Served | None:
    """The version that TF Serving's default policy would serve from `base_path`; None while there is none.

    A version without a `saved_model.pb` is none: whoever copies a model file by file copies that one last.
    """
    versions = {
        int(child.name): child
        for child in (Path(base_path).iterdir() if Path(base_path).is_dir() else ())
        if child.name.isdecimal() and (child / "saved_model.pb").is_file()
    }
    if not versions:
        return None
    newest = max(versions)
    return Served(newest, str(versions[newest]), fingerprint(versions[newest]))
