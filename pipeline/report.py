"""`report.html`: the result of a run on one self-contained page, and the same in a few lines of text."""

import io
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape

from components.evaluator.constants import SAMPLES_FILE
from models.files import write_whole
from pipeline import results, training_pictures
from pipeline.pictures import strip
from pipeline.record import RunRecord

FILE_NAME = "report.html"
MAX_CLASSES_SHOWN = 100


def write(root: Path) -> Path:
    """Renders `<root>/report.html` from the newest run; whole or not at all."""
    path = root / FILE_NAME
    write_whole(path, render(root))
    return path


def render(root: Path) -> str:
    """The page, as text."""
    record = results.finished_run(root)
    collected = results.collect(root)
    rows = _rows(collected["per_class"], _samples(record))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _code
    page = resources.files("pipeline").joinpath("templates", "report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(page).render(
        name=record.config["name"],
        record=record,
        result=collected,
        rows=rows[:MAX_CLASSES_SHOWN],
        hidden=max(0, len(rows) - MAX_CLASSES_SHOWN),
        largest=max(max(row["train_real"], row["train_rebalanced"]) for row in rows),
        seen=training_pictures.collect(record, list(collected["per_class"])),
        config=json.dumps(record.config, indent=2),
    )


def _code(text: str) -> Markup:
    """Escapes a text and sets what stands between back-ticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _samples(record: RunRecord) -> dict[str, np.ndarray]:
    path = record.output("Evaluator", "evaluation")
    assert path is not None
    with np.load(path / SAMPLES_FILE) as arrays:
        return dict(arrays)


def _rows(per_class: dict[str, dict[str, Any]], samples: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """One row a class, rarest first, with its images as data URIs."""
    rows = [
        {
            "name": name,
            **figures,
            "real": strip(samples["real"][label][: samples["real_count"][label]]),
            "generated": strip(samples["generated"][label]),
        }
        for label, (name, figures) in enumerate(per_class.items())
    ]
    return sorted(rows, key=lambda row: row["train_real"])


def summary(collected: dict[str, Any]) -> str:
    """The result in plain text, for a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    buffer = io.StringIO()
    out = Console(file=buffer, width=100, highlight=False)
    out.print(f"verdict: {collected['verdict'].replace('_', ' ')}", markup=False)
    for reason in collected["reasons"]:
        out.print(f"  - {reason}", markup=False)
    for warning in collected["training"]["warnings"]:
        out.print(f"training: {warning}", markup=False)
    whole = ("fid", "kid", "inception_score", "label_agreement")
    out.print("  ".join(f"{name} {_number(collected[name])}" for name in whole))
    null = collected["null"]
    out.print(
        f"at n = {null['n']}: FID {_number(null['model_fid'])} (real against real {_number(null['fid'])}), "
        f"KID {_number(null['model_kid'])} (real against real {_number(null['kid'])})\n"
    )
    columns = ("train_real", "train_rebalanced", "eval_real", "kid", "null_kid", "label_agreement", "judge_recall")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for name, row in sorted(collected["per_class"].items(), key=lambda item: item[1]["train_real"]):
        table.add_row(escape(name), *(_number(row[column]) for column in columns))
    out.print(table)
    return buffer.getvalue().rstrip()


def _number(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
