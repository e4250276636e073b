"""What the page, the Markdown and the terminal say alike of a result, as `pipeline.results.collect` gives it."""

from collections.abc import Mapping
from typing import Any

from components.evaluator.markdown import estimate, number

HEADLINES = {"blessed": "Blessed and pushed", "already_serving": "Already serving", "rejected": "Not blessed"}
OUTCOMES = {"pass": "holds", "fail": "fails", "cannot_tell": "cannot tell"}

# Figures of a class that are shown first, what people call them, and what real images read.
FIGURES = {
    "kid_relative": ("distance from real images", 0.0),
    "diversity": ("diversity", 1.0),
    "label_agreement_ratio": ("agreement / recall", 1.0),
    "closest_record_ratio": ("distance from training images", 1.0),
}
_WORST_FIRST = ("fail", "cannot_tell", "pass")


def headline(result: Mapping[str, Any]) -> str:
    """The verdict in a few words."""
    if result["undecided"]:
        return "Not blessed: cannot tell"
    if result["verdict"] == "blessed" and result["model_version"] is not None:
        return f"{HEADLINES['blessed']} as version {result['model_version']}"
    return HEADLINES[result["verdict"]]


def rarest_first(per_class: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Classes by their number of training images."""
    return sorted(per_class.items(), key=lambda item: item[1]["train_real"])


def figure(row: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """A figure of a class, a group or the whole, with its interval."""
    return estimate(row.get(name), (row.get("intervals") or {}).get(name), digits)


def remarks(name: str, row: Mapping[str, Any]) -> list[str]:
    """What is to be said of a class beside its figures."""
    found = []
    if row["enough_data"] is False and row["label_agreement"] is not None:
        least = row["smallest_kid_relative"]
        seen = "" if least is None else f" to see a distance below {number(least, 2)}"
        found.append(f"too few eval images ({row['eval_real']}){seen}")
    if row["looks_like"] not in (None, name):
        part = row["looks_like_part"]
        found.append(f"looks like {row['looks_like']}{'' if part is None else f' ({part:.0%})'}")
    return found


def worst_comparisons(compared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each figure, and each version compared with, the class that comes off worst."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(compared, key=_badness, reverse=True):
        found.setdefault((row["against"], row["figure"]), row)
    return list(found.values())


def _badness(row: Mapping[str, Any]) -> tuple[int, float]:
    loss = float("inf") if row["value"] is None or row["other"] is None else row["value"] - row["other"]
    more_is_better = not row["figure"].startswith(("kid", "fid"))
    return -_WORST_FIRST.index(row["outcome"]), -loss if more_is_better and loss != float("inf") else loss


def compared_with(row: Mapping[str, Any]) -> str:
    """The version that a comparison is about."""
    role = "what serves" if row["against"] == "serving" else "the best ever served"
    return role if row.get("version") is None else f"{role} (version {row['version']})"
