"""Versions of a generator below a TF Serving base path, and what their export says of them. Needs no TensorFlow."""

import json
from pathlib import Path
from typing import Any

# Beside a SavedModel; TensorFlow Serving leaves `assets.extra` alone, but for the warm-up.
METADATA_FILE = "assets.extra/tailgan.json"


def complete(base_path: str | Path) -> dict[int, Path]:
    """Directories of the complete versions, by number.

    One without a `saved_model.pb` is none: whoever copies a model file by file copies that one last.
    """
    base = Path(base_path)
    return {
        int(child.name): child
        for child in (base.iterdir() if base.is_dir() else ())
        if child.name.isdecimal() and (child / "saved_model.pb").is_file()
    }


def about(model_dir: Path) -> dict[str, Any]:
    """What an exported generator says of itself; nothing where that cannot be read, as of a foreign model."""
    try:
        written = json.loads((model_dir / METADATA_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}


def training(model_dir: Path) -> str | None:
    """Name of the directory of checkpoints of the training that a generator came from; None where it is not told."""
    found = about(model_dir).get("training")
    name = found.get("directory") if isinstance(found, dict) else None
    return name if isinstance(name, str) and name.isalnum() else None
