"""When the figures of a look at training are alarming, and what to say. Read by the report too: no TensorFlow here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.options import MonitorOptions


@dataclass(frozen=True)
class Alarm:
    """Something that goes wrong in training.

    Attributes:
      kind: `overfitting` or `collapse`.
      classes: names of the classes it is about; empty where it is about all of them together.
      text: what is wrong and what may help, in plain words.
    """

    kind: str
    classes: tuple[str, ...]
    text: str


def alarms(figures: Mapping[str, Any], options: MonitorOptions) -> list[Alarm]:
    """What is alarming in the figures of a look, a line of the history that has them.

    Args:
      figures: `step`, `overfitting` and `diversity_by_class`, see `models.monitor`; the last two may be missing.
      options: the bounds.
    """
    step, found = figures["step"], []
    overfitting = figures.get("overfitting")
    if overfitting is not None and overfitting > options.overfitting_ceiling:
        text = (
            f"overfitting: at step {step} the discriminator knows its training images by heart: in "
            f"{overfitting:.0%} of pairs it rates one above a held-out image of the same class (none: 50%, bound: "
            f"{options.overfitting_ceiling:.0%}); augmentation, a smaller discriminator or fewer steps may help"
        )
        found.append(Alarm("overfitting", (), text))
    ratios = figures.get("diversity_by_class", {})
    low = {name: ratio for name, ratio in ratios.items() if ratio is not None and ratio < options.diversity_floor}
    if low:
        named = ", ".join(f"{name} ({low[name]:.0%})" for name in sorted(low, key=low.__getitem__))
        text = (
            f"collapse: at step {step} generated images of a class differ little from one another, compared with its "
            f"real ones (floor: {options.diversity_floor:.0%}): {named}; milder rebalancing, another loss or a term "
            "against it may help"
        )
        found.append(Alarm("collapse", tuple(low), text))
    return found
