"""The whole evaluation of a generator from views: figures, rules, comparisons and the verdict. Numpy only."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from components.evaluator.class_figures import MADE, OTHER, class_row, real_classes, sample, unknown_row
from components.evaluator.comparison import Comparison, Other, compare, without_unit
from components.evaluator.groups import groups
from components.evaluator.options import GateOptions
from components.evaluator.rule_results import check_rules
from components.evaluator.verdict import SERVED_AS, decide
from components.evaluator.views import Known, View
from components.evaluator.whole_figures import unknown_whole, whole
from models.errors import UserError


def evaluate(
    real: View,
    made: View,
    known: Known,
    classes: Sequence[str],
    options: GateOptions,
    others: Sequence[Other] = (),
    not_compared: Sequence[str] = (),
) -> dict[str, Any]:
    """Judges a generator.

    Args:
      real: held-out real images.
      made: generated images, of each class as many as `gate.samples_per_class` says, in the order of their seeds.
      known: the different training images.
      classes: names, in the order of the labels.
      options: of the gate.
      others: versions that serve or served, with generated images of their own.
      not_compared: why further versions are not among them, a sentence each; reasons of a blessing say so.

    Returns:
      The document that is written as evaluation.json (docs/evaluation.md), except what says whose figures they are.

    Raises:
      UserError: real images have features that are not finite numbers, or labels that are no classes; a rule names a
        class that is not there.
    """
    _check_real(real, known, len(classes))
    broken = _broken(made)
    if broken:
        return _of_a_broken_generator(broken, real, made, known, classes, options)
    kernel = real_classes(real, len(classes), options)
    kids = [own.distance(sample(made, label, options, MADE)) for label, own in enumerate(kernel.samples)]
    rows = {
        name: class_row(
            label,
            classes,
            real.of_class(label),
            made.of_class(label),
            known.of_class(label),
            kids[label],
            kernel,
            options,
        )
        for label, name in enumerate(classes)
    }
    document = _with_groups(rows, whole(real, made, known, classes, options))
    comparisons: list[Comparison] = []
    warnings = []
    for index, other in enumerate(others):
        if _broken(other.made):
            warnings.append(
                f"not compared with version {other.version}, {SERVED_AS[other.role]}: its images are not finite numbers"
            )
            continue
        other_kids = [
            own.distance(sample(other.made, label, options, OTHER, index)) for label, own in enumerate(kernel.samples)
        ]
        comparisons += compare(other, classes, made, kids, other_kids, kernel, options.not_worse)
    if others:
        warnings += [
            f"{figure} is not compared: there is no other class to measure it by"
            for figure in without_unit(classes, options.not_worse)
        ]
    results = check_rules(options.rules, document)
    decision = decide(results, comparisons, rows, options, [*not_compared, *warnings])
    return {
        "verdict": decision.verdict,
        "blessed": decision.verdict != "rejected",
        "reasons": decision.reasons,
        "warnings": warnings + decision.warnings,
        "rules": [asdict(result) for result in results],
        "compared": [asdict(row) for row in comparisons],
        **document,
    }


def _with_groups(rows: dict[str, dict[str, Any]], figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of a document; each class's row is told its group."""
    grouped = groups(rows)
    for group in ("tail", "middle", "head"):
        for name in grouped.get(group, {"classes": []})["classes"]:
            rows[name]["group"] = group
    return {**figures, "per_class": rows, "groups": grouped}


def _check_real(real: View, known: Known, classes: int) -> None:
    bad = _broken(real)
    if bad:
        raise UserError(f"{bad} of {len(real)} real eval images have features that are not finite numbers")
    if not np.isfinite(known.pixels).all():
        raise UserError("pixels of training images are not finite numbers")
    if not len(real):
        raise UserError("the eval split has no images, so nothing can be judged")
    outside = int(np.sum((real.labels < 0) | (real.labels >= classes)))
    if outside:
        raise UserError(f"{outside} eval images have a label that is none of the {classes} classes")


def _broken(view: View) -> int:
    """Images of which something is not a finite number."""
    finite = [np.isfinite(part).all(axis=1) for part in (view.features, view.probabilities, view.pixels)]
    return int(np.sum(~np.logical_and.reduce(finite)))


def _of_a_broken_generator(
    broken: int, real: View, made: View, known: Known, classes: Sequence[str], options: GateOptions
) -> dict[str, Any]:
    """A rejection without figures: what makes images that are no numbers is no worse generator but a broken one."""
    rows = {
        name: unknown_row(*(int(np.sum(part.labels == label)) for part in (real, made, known)))
        for label, name in enumerate(classes)
    }
    document = _with_groups(rows, unknown_whole(len(classes)))
    return {
        "verdict": "rejected",
        "blessed": False,
        "reasons": [f"{broken} of {len(made)} generated images are not finite numbers: the generator is broken"],
        "warnings": [],
        "rules": [asdict(result) for result in check_rules(options.rules, document)],
        "compared": [],
        **document,
    }
