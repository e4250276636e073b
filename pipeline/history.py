"""The versions below a serving directory: those that are there, and those that were."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.evaluator.constants import EVALUATION_FILE
from components.evaluator.served import fingerprint, what_serves
from components.pusher import history


def versions(serving_dir: Path) -> list[dict[str, Any]]:
    """All versions, oldest first.

    Returns:
      A row of the history each (see `components.pusher.history`) with `state`: "serving", "kept" (there, but a newer
      one serves) or "removed". A version without a row, pushed by an earlier version of this project or by hand, has
      the figures of its evaluation where that lies beside it, else None; its `time` is None.
    """
    served = what_serves(str(serving_dir))
    there = {int(path.name): path for path in serving_dir.glob("*") if path.name.isdecimal()}
    found = {row["version"]: {**_unknown(row["version"]), **row} for row in history.rows(serving_dir)}
    for version, path in there.items():
        if version not in found:
            found[version] = {**_unknown(version), "generator": fingerprint(path), **_own_figures(path)}
    for version, row in found.items():
        is_served = served is not None and version == served.version
        row["state"] = "serving" if is_served else "kept" if version in there else "removed"
    return [found[version] for version in sorted(found)]


def day(version: dict[str, Any]) -> str:
    """When a version was pushed, to the minute; "" where nobody has written it down."""
    try:
        return datetime.fromisoformat(version["time"]).astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    except (TypeError, ValueError):
        return ""


def _unknown(version: int) -> dict[str, Any]:
    return {"version": version, "time": None, "generator": None, **history.figures(None)}


def _own_figures(model_dir: Path) -> dict[str, float | None]:
    path = model_dir / "assets.extra" / EVALUATION_FILE
    try:
        return history.figures(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):
        return history.figures(None)
