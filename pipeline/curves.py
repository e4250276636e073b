"""The curves of a training, as an SVG for both a light and a dark page."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

GREY = "#808080"
# Close to the palette of Okabe and Ito, told apart by colour-blind readers too, and seen on white and on black; the
# dashes tell lines apart without any colour.
_LINES = (("#2f8bcb", "-"), ("#d55e00", "--"), ("#009e73", ":"))
_STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "tailgan", "font.size": 9, "text.color": GREY, "axes.edgecolor": GREY,
    "axes.labelcolor": GREY, "xtick.color": GREY, "ytick.color": GREY, "axes.spines.top": False,
    "axes.spines.right": False,
}  # fmt: skip


class Panel(NamedTuple):
    """One pair of axes: {label: figure}, and a level to compare with, where there is one."""

    title: str
    lines: dict[str, str]
    level: float | None = None
    log: bool = False


def panels(overfitting_ceiling: float, diversity_floor: float) -> tuple[Panel, ...]:
    """What is shown of a training."""
    return (
        Panel("loss", {"discriminator": "d_loss", "generator": "g_loss"}),
        Panel("norm of the gradient", {"discriminator": "d_gradient", "generator": "g_gradient"}, log=True),
        Panel("discriminator's logit, as it trains", {"real batches": "d_real", "generated batches": "d_fake"}),
        Panel(
            "discriminator's logit, by class and unaugmented",
            {"training images": "d_train", "held-out images": "d_heldout", "generated images": "d_generated"},
        ),
        Panel("overfitting: training rated above held-out", {"probability": "overfitting"}, overfitting_ceiling),
        Panel(
            "diversity of a class, generated over real",
            {"mean of classes": "diversity", "worst class": "diversity_worst"},
            diversity_floor,
        ),
    )


def draw(rows: Sequence[dict[str, Any]], shown: Sequence[Panel]) -> list[str]:
    """An SVG a panel that has figures.

    Args:
      rows: of the training history: `step` and figures, not every row having all.
      shown: what to draw.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    drawn = []
    with pyplot.rc_context(_STYLE):
        for panel in shown:
            if not any(name in row for row in rows for name in panel.lines.values()):
                continue
            figure, axis = pyplot.subplots(figsize=(4.4, 2.7), layout="constrained")
            for (colour, dashes), (label, name) in zip(_LINES, panel.lines.items(), strict=False):
                points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
                marker = "o" if len(points) < 20 else None
                axis.plot(*zip(*points, strict=True), dashes, color=colour, lw=1.4, marker=marker, ms=3, label=label)
            if panel.level is not None:
                axis.axhline(panel.level, color=GREY, lw=1, ls="-.", label="bound")
            if panel.log:
                axis.set_yscale("log")
            axis.set_title(panel.title, fontsize=9)
            axis.set_xlabel("step")
            axis.set_xlim(0, rows[-1]["step"])
            figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
            buffer = io.StringIO()
            figure.savefig(
                buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
            )
            pyplot.close(figure)
            svg = buffer.getvalue()
            drawn.append(svg[svg.index("<svg") :])
    return drawn
