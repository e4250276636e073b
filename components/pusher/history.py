"""The history of a serving directory, `history.jsonl`: a row a push, also of versions that are gone by now."""

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from models.files import write_whole

FILE_NAME = "history.jsonl"

# Key of a row: group and figure of evaluation.json it is taken from, the group "" for figures of the whole.
_FIGURES = {
    "kid": ("", "kid"),
    "fid": ("", "fid"),
    "label_agreement": ("", "label_agreement"),
    "worst_label_agreement_ratio": ("worst", "label_agreement_ratio"),
    "mean_kid_relative": ("mean", "kid_relative"),
    "tail_kid_relative": ("tail", "kid_relative"),
}


def figures(evaluation: Mapping[str, Any] | None) -> dict[str, float | None]:
    """The figures of a row, from evaluation.json; None where it, or one of them, is not known."""
    document = evaluation or {}
    groups = {"": document, **(document.get("groups") or {})}
    return {key: _finite(groups.get(group, {}).get(name)) for key, (group, name) in _FIGURES.items()}


def _finite(value: Any) -> float | None:
    """A number, if it is one that JSON knows."""
    try:
        return value if isfinite(value) else None
    except (TypeError, OverflowError):
        return None


def rows(base: Path) -> list[dict[str, Any]]:
    """The rows below a serving directory, oldest first: `version`, `time` (ISO 8601, UTC), `generator`, and figures.

    Lines that are none, in a file that somebody has edited, are left out; figures that are no finite numbers are None.
    """
    return [
        {key: _finite(value) if key in _FIGURES else value for key, value in row.items()} for row, _ in _lines(base)
    ]


def append(base: Path, row: Mapping[str, Any]) -> None:
    """Adds a row; the file is whole at any moment.

    Args:
      base: the serving directory, which exists.
      row: see `rows`.

    Raises:
      OSError: if the file cannot be written; it stays as it was.
    """
    _write(base, [*(line for _, line in _lines(base)), json.dumps(row, allow_nan=False)])


def forget(base: Path, versions: set[int]) -> None:
    """Takes out the rows of versions that were never there, of pushes that did not get to their end."""
    lines = _lines(base)
    kept = [line for row, line in lines if row["version"] not in versions]
    if len(kept) < len(lines):
        _write(base, kept)


def _write(base: Path, lines: list[str]) -> None:
    write_whole(base / FILE_NAME, "".join(f"{line}\n" for line in lines))


def _lines(base: Path) -> list[tuple[dict[str, Any], str]]:
    path = base / FILE_NAME
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line, parse_constant=lambda _: None)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("version"), int):
            found.append((row, line))
    return found
