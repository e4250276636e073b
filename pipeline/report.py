"""`report.html`: the result of a run on one self-contained page, and the same in a few lines of text."""

import base64
import io
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape
from PIL import Image

from components.evaluator.constants import SAMPLES_FILE
from models.files import write_whole
from pipeline import results
from pipeline.record import RunRecord

FILE_NAME = "report.html"
MAX_CLASSES_SHOWN = 100
SHOWN_HEIGHT = 40  # pixels, about
GAP = 3
_LINES = ("#0072b2", "#d55e00")  # of the palette of Okabe and Ito, told apart by colour-blind readers too


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
        curves=_curves(record),
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
            "real": _strip(samples["real"][label][: samples["real_count"][label]]),
            "generated": _strip(samples["generated"][label]),
        }
        for label, (name, figures) in enumerate(per_class.items())
    ]
    return sorted(rows, key=lambda row: row["train_real"])


def _strip(images: np.ndarray) -> str:
    """uint8 [n, H, W, C] side by side, enlarged by a whole factor where small, as a PNG data URI; "" for none."""
    if not len(images):
        return ""
    n, height, width, _ = images.shape
    factor = max(1, round(SHOWN_HEIGHT / height))
    size = (width * factor, height * factor)
    strip = Image.new("RGBA", (n * (size[0] + GAP) - GAP, size[1]))  # gaps are transparent
    for i, image in enumerate(images):
        tile = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        strip.paste(tile.resize(size, Image.Resampling.NEAREST), (i * (size[0] + GAP), 0))
    buffer = io.BytesIO()
    strip.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def history(record: RunRecord) -> list[dict[str, float]]:
    """The GAN's training history, a row a report of the trainer."""
    run_dir = record.output("GAN", "model_run")
    path = run_dir / "history.jsonl" if run_dir else None
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path and path.is_file() else []
    )


def _curves(record: RunRecord) -> str:
    """Losses and the discriminator's outputs over steps, as an SVG; "" where there is no history."""
    rows = history(record)
    if not rows:
        return ""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    grey = "#808080"
    style = {
        "svg.fonttype": "none", "svg.hashsalt": "tailgan", "font.size": 9, "text.color": grey, "axes.edgecolor": grey,
        "axes.labelcolor": grey, "xtick.color": grey, "ytick.color": grey, "axes.spines.top": False,
        "axes.spines.right": False,
    }  # fmt: skip
    panels = (
        ("loss", {"discriminator": "d_loss", "generator": "g_loss"}),
        ("mean output of the discriminator", {"real images": "d_real", "generated images": "d_fake"}),
    )
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
        for axis, (title, lines) in zip(axes, panels, strict=True):
            for colour, (label, key) in zip(_LINES, lines.items(), strict=True):
                axis.plot([r["step"] for r in rows], [r[key] for r in rows], color=colour, lw=1.2, label=label)
            axis.set_title(title, fontsize=9)
            axis.set_xlabel("step")
            axis.legend(frameon=False)
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
        pyplot.close(figure)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


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
