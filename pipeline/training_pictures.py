"""What the page shows of the training of the GAN, besides figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.options import MonitorOptions
from pipeline import curves, results
from pipeline.pictures import reduced, strip
from pipeline.record import RunRecord

MAX_LOOKS = 6  # sample grids shown
MAX_DISAGREEMENTS = 60
_GRID_SIDE = 480  # pixels at most


def collect(record: RunRecord, classes: Sequence[str]) -> dict[str, Any]:
    """What there is of a run, each empty where it has none.

    Args:
      record: of the run.
      classes: names, by label.

    Returns:
      `curves`: SVGs. `progress`: [{step, picture}]. `interpolation`: [{name, picture}]. `truncation`: {psi: [...],
      rows: [{name, pictures}]}, a picture for each psi. `disagreements`: [{picture, id, label, predicted,
      probability}]. Pictures are data URIs.
    """
    run_dir = record.output("GAN", "model_run")
    bounds = MonitorOptions.model_validate(record.config.get("gan", {}).get("monitor", {}))
    rows = results.history(record)
    return {
        "curves": curves.draw(rows, curves.panels(bounds.overfitting_ceiling, bounds.diversity_floor)) if rows else [],
        "progress": _progress(run_dir) if run_dir else [],
        **_showcase(run_dir, classes),
        "disagreements": _disagreements(record, classes),
    }


def _progress(run_dir: Path) -> list[dict[str, Any]]:
    """The first sample grid, the last, and some between."""
    paths = sorted((run_dir / "samples").glob("step-*.png"))
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(MAX_LOOKS, len(paths))).round().astype(int))
    return [{"step": int(paths[i].stem.partition("-")[2]), "picture": reduced(paths[i], _GRID_SIDE)} for i in chosen]


def _showcase(run_dir: Path | None, classes: Sequence[str]) -> dict[str, Any]:
    path = run_dir / "showcase.npz" if run_dir else None
    if path is None or not path.is_file():
        return {"interpolation": [], "truncation": {"psi": [], "rows": []}}
    with np.load(path) as arrays:
        names = [classes[label] for label in arrays["labels"]]
        between, scaled = arrays["interpolation"], arrays["truncation"]
        return {
            "interpolation": [{"name": n, "picture": strip(images)} for n, images in zip(names, between, strict=True)],
            "truncation": {
                "psi": arrays["psi"].tolist(),
                "rows": [
                    {"name": name, "pictures": [strip(images) for images in of_class]}
                    for name, of_class in zip(names, scaled, strict=True)
                ],
            },
        }


def _disagreements(record: RunRecord, classes: Sequence[str]) -> list[dict[str, Any]]:
    found = results.disagreements(record)
    if found is None:
        return []
    return [
        {
            "picture": strip(found["images"][i : i + 1]),
            "id": found["ids"][i].decode(errors="replace"),
            "label": classes[found["labels"][i]],
            "predicted": classes[found["predicted"][i]],
            "probability": float(found["probability"][i]),
        }
        for i in range(min(len(found["labels"]), MAX_DISAGREEMENTS))
    ]
