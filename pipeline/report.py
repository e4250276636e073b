"""`report.html`: the result of a run on one self-contained page, and the same in a few lines of text."""

import io
import json
import re
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape

from components.evaluator.constants import SAMPLES_FILE
from components.evaluator.markdown import UNKNOWN, estimate, number
from models.files import write_whole
from pipeline import bars, findings, history, results, serving_validation, training_pictures
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
    samples = _samples(record)
    classes, served = collected["per_class"], collected["serving_validation"]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = _code
    environment.globals.update(number=_shown, estimate=estimate, day=history.day, **_WORDS)
    return environment.get_template("report.html.j2").render(
        record=record,
        result=collected,
        headline=findings.headline(collected),
        rows=_rows(classes, samples),
        hidden=max(0, len(classes) - MAX_CLASSES_SHOWN),
        largest=max(max(row["train_real"], row["train_rebalanced"]) for row in classes.values()),
        has_nearest="nearest" in samples,
        worst_compared=findings.worst_comparisons(collected["compared"]),
        trend=_trend(collected["versions"]),
        served_words=served and serving_validation.told(served),
        served_rows=serving_validation.rows(served) if served else [],
        seen=training_pictures.collect(record, list(classes)),
        config=json.dumps(record.config, indent=2),
    )


_WORDS = {
    "outcomes": findings.OUTCOMES,
    "figures": findings.FIGURES,
    "figure_of": findings.figure,
    "compared_with": findings.compared_with,
}


def _shown(value: float | int | None, digits: int = 3) -> Markup | str:
    return Markup(f'<span class="none">{UNKNOWN}</span>') if value is None else number(value, digits)


def _code(text: str) -> Markup:
    """Escapes a text and sets what stands between back-ticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _samples(record: RunRecord) -> dict[str, np.ndarray]:
    path = record.output("Evaluator", "evaluation")
    assert path is not None
    with np.load(path / SAMPLES_FILE) as arrays:
        return dict(arrays)


def _rows(per_class: dict[str, dict[str, Any]], samples: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """One row a class, the rarest ones, with their images as data URIs and their figures drawn."""
    labels = {name: label for label, name in enumerate(per_class)}
    axes = {name: _limits(per_class, name) for name in findings.FIGURES}
    rows: list[dict[str, Any]] = []
    for name, row in findings.rarest_first(per_class)[:MAX_CLASSES_SHOWN]:
        label = labels[name]
        drawn = [
            (
                bars.whisker(row[figure], (row["intervals"] or {}).get(figure), axes[figure], as_real),
                findings.figure(row, figure, digits=2),
            )
            for figure, (_, as_real) in findings.FIGURES.items()
        ]
        rows.append(
            {
                "name": name,
                **row,
                "real": strip(samples["real"][label][: samples["real_count"][label]]),
                "generated": strip(samples["generated"][label]),
                "nearest": strip(samples["nearest"][label]) if "nearest" in samples else "",
                "drawn": drawn,
                "remarks": findings.remarks(name, row),
            }
        )
    return rows


def _limits(per_class: dict[str, dict[str, Any]], figure: str) -> tuple[float, float]:
    """Ends of the axis on which a figure of all classes is drawn."""
    ends = [0.0, findings.FIGURES[figure][1]]
    for row in per_class.values():
        interval = (row["intervals"] or {}).get(figure) or ()
        ends += [end for end in (row[figure], *interval) if end is not None]
    return min(ends), max(ends) if max(ends) > min(ends) else min(ends) + 1


def _trend(versions: list[dict[str, Any]]) -> Markup | None:
    """The versions' mean relative KID; None where there are no two to compare."""
    points = [
        (str(row["version"]), row["mean_kid_relative"], row["state"])
        for row in versions
        if row["mean_kid_relative"] is not None
    ]
    if len(points) < 2:
        return None
    told = ", ".join(f"{value:.3f} of {name} ({state})" for name, value, state in points)
    return bars.trend(points, f"Mean distance from real images of each version: {told}")


def summary(collected: dict[str, Any]) -> str:
    """The result in plain text, for a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    buffer = io.StringIO()
    out = Console(file=buffer, width=100, highlight=False, markup=False)
    out.print(f"verdict: {collected['verdict'].replace('_', ' ')}{' (cannot tell)' if collected['undecided'] else ''}")
    for reason in collected["reasons"]:
        out.print(f"  - {reason}")
    for warning in collected["warnings"]:
        out.print(f"warning: {warning}")
    for warning in collected["training"]["warnings"]:
        out.print(f"training: {warning}")
    if served := collected["serving_validation"]:
        out.print(f"server: {serving_validation.told(served)}")
    out.print()
    for score in collected["scorecard"]:
        out.print(f"{score['name']:<9} {score['word']:<12} {' '.join((score['meaning'], *score['remarks']))}")
    whole = ("fid", "kid", "inception_score", "label_agreement")
    out.print("\n" + "  ".join(f"{name} {number(collected[name])}" for name in whole))
    if null := collected["null"]:
        out.print(
            f"at n = {null['n']}: FID {number(null['model_fid'])} (real against real {number(null['fid'])}), "
            f"KID {number(null['model_kid'])} (real against real {number(null['kid'])})"
        )
    out.print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("train", "eval", "KID relative", "diversity", "agreement ratio", "closest record")
    table.add_column("class")
    for column in columns:
        table.add_column(column, justify="right")
    notes = []
    for name, row in findings.rarest_first(collected["per_class"]):
        counts = (number(row["train_real"]), number(row["eval_real"]))
        figures = (findings.figure(row, figure, digits=2) for figure in findings.FIGURES)
        table.add_row(Text(name), *counts, *figures)
        notes += [f"{name}: {remark}" for remark in findings.remarks(name, row)]
    out.print(table)
    for note in notes:
        out.print(note)
    return buffer.getvalue().rstrip()
