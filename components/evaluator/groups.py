"""Figures of groups of classes: head, middle and tail, all of them, and the worst."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np

from components.evaluator.rules import GROUPED, P_VALUES

Rows = Mapping[str, Mapping[str, Any]]


def thirds(train_unique: Mapping[str, int]) -> dict[str, list[str]]:
    """Classes by their number of different training images, in thirds; so there always is a tail.

    Groups without a class are left out.

    >>> thirds({"good": 900, "fray": 20, "hole": 80, "dent": 60})
    {'tail': ['fray', 'dent'], 'middle': ['hole'], 'head': ['good']}
    """
    names = sorted(train_unique, key=lambda name: train_unique[name])
    parts = np.array_split(np.arange(len(names)), 3)
    found = zip(("tail", "middle", "head"), parts, strict=True)
    return {group: [names[i] for i in part] for group, part in found if len(part)}


def mean(rows: list[Mapping[str, Any]], figure: str) -> tuple[float | None, list[float | None]]:
    """Mean of a figure over classes with an interval by MOVER (Zou and Donner 2008, for a sum with equal weights).

    Each limit needs the limit of every class on its side, and is None where one is missing, as is the mean itself where
    a class has no value.
    """
    values = [row[figure] for row in rows]
    if any(value is None for value in values):
        return None, [None, None]
    centre = float(np.mean(values))
    limits: list[float | None] = []
    for side, sign in ((0, -1), (1, 1)):
        ends = [row["intervals"][figure][side] for row in rows]
        if any(end is None for end in ends):
            limits.append(None)
            continue
        spread = sqrt(sum((value - end) ** 2 for value, end in zip(values, ends, strict=True))) / len(rows)
        limits.append(centre + sign * spread)
    return centre, limits


def worst(rows: Rows, figure: str) -> tuple[float | None, list[float | None], str]:
    """The worst value of a figure, bounds of the worst over all classes, and the class.

    The cautious bound is the worst of the cautious ends of all classes, the generous one the worst of the generous
    ends: of a figure that should be large the smallest lower and the smallest upper limit. A rule on the worst class
    that passes has thus passed for every class, so no correction for their number is needed (intersection-union test;
    Berger 1982). If a class is not known, neither are the value nor the cautious bound, and that class is named; the
    generous bound of the others stands, for the worst can only be worse.
    """
    floor = {**GROUPED, **P_VALUES}[figure]
    extreme = min if floor else max
    value, where = _extreme({name: row[figure] for name, row in rows.items()}, floor)
    ends: list[list[float]] = []
    complete: list[bool] = []
    for side in (0, 1):
        known = [row["intervals"].get(figure, (None, None))[side] for row in rows.values()]
        ends.append([end for end in known if end is not None])
        complete.append(len(ends[side]) == len(rows))
    cautious, generous = (0, 1) if floor else (1, 0)
    interval: list[float | None] = [None, None]
    if complete[cautious]:
        interval[cautious] = extreme(ends[cautious])
    if ends[generous]:
        interval[generous] = extreme(ends[generous])
    return value, interval, where


def _extreme(values: Mapping[str, float | None], floor: bool) -> tuple[float | None, str]:
    known = {name: value for name, value in values.items() if value is not None}
    for name in values:
        if name not in known:
            return None, name
    where = min(known, key=lambda name: known[name] if floor else -known[name])
    return known[where], where


def groups(rows: Rows) -> dict[str, dict[str, Any]]:
    """All groups, as they stand in the document; `rows` are those of the classes by name."""
    members = {**thirds({name: row["train_unique"] for name, row in rows.items()}), "mean": list(rows)}
    result: dict[str, dict[str, Any]] = {}
    for group, names in members.items():
        found = {figure: mean([rows[name] for name in names], figure) for figure in GROUPED}
        result[group] = {
            "classes": names,
            **{figure: value for figure, (value, _) in found.items()},
            "intervals": {figure: interval for figure, (_, interval) in found.items()},
        }
    extremes = {figure: worst(rows, figure) for figure in (*GROUPED, *P_VALUES)}
    result["worst"] = {
        **{figure: value for figure, (value, _, _) in extremes.items()},
        "intervals": {figure: interval for figure, (_, interval, _) in extremes.items()},
        "where": {figure: where for figure, (_, _, where) in extremes.items()},
    }
    return result
