"""The gate: from rules and comparisons to a verdict, with reasons that name the fault."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.evaluator.comparison import Comparison
from components.evaluator.options import GateOptions
from components.evaluator.rule_results import RuleResult, class_outcomes, interval_text
from components.evaluator.rules import parse_rule

Verdict = Literal["blessed", "rejected", "already_serving"]
Rows = Mapping[str, Mapping[str, Any]]

# Up to this an agreement, a distance or a diversity in relation to real images is called none at all.
ABOUT_NOTHING = 0.1
# Classes that one rule names, at most.
MOST_NAMED = 5
# What a version is that a candidate is compared with, by its role.
SERVED_AS = {"serving": "which serves", "best": "which was the best"}


@dataclass(frozen=True)
class Decision:
    """The verdict, the reasons for it and what else should be known."""

    verdict: Verdict
    reasons: list[str]
    warnings: list[str]


def decide(
    results: Sequence[RuleResult],
    comparisons: Sequence[Comparison],
    rows: Rows,
    options: GateOptions,
    not_compared: Sequence[str] = (),
) -> Decision:
    """Rejects what fails, and what cannot be told if the options say so.

    A version that cannot be compared with, for the reasons in `not_compared`, hinders nothing: it is broken or makes
    other classes, and has to be replaceable.
    """
    failed = _sentences("fail", results, comparisons, rows)
    unknown = _sentences("cannot_tell", results, comparisons, rows)
    blocked = failed + (unknown if options.cannot_tell == "block" else [])
    warnings = [] if options.cannot_tell == "block" else unknown
    warnings += _too_few(rows, options)
    if not results:
        return Decision("rejected", ["the gate has no rules, and without a rule nothing is blessed", *failed], warnings)
    if blocked:
        return Decision("rejected", blocked, warnings)
    nothing = "nothing to compare with" if options.not_worse else "gate.not_worse names nothing to compare"
    reasons = [*_not_worse(comparisons), *not_compared] or [nothing]
    return Decision("blessed", [_rules_hold(results), *reasons], warnings)


def already_serving(document: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The document of a candidate that is what serves, whatever the rules say: there is nothing to push.

    What to do about a rule that no longer holds is not for the gate to decide; the reasons name it.
    """
    reasons = [f"this generator is what serves, as version {version}"]
    if document["verdict"] == "rejected":
        reasons += document["reasons"]
    return {**document, "verdict": "already_serving", "blessed": True, "reasons": reasons}


def _rules_hold(results: Sequence[RuleResult]) -> str:
    held = sum(result.passed for result in results)
    if held < len(results):
        return f"{held} of {len(results)} rules hold, and the others cannot be told"
    return f"all {held} rules hold" if held > 1 else "the one rule holds"


def _not_worse(comparisons: Sequence[Comparison]) -> list[str]:
    lines = []
    for version in dict.fromkeys((row.against, row.version) for row in comparisons):
        own = [row for row in comparisons if (row.against, row.version) == version]
        figures = ", ".join(dict.fromkeys(row.figure for row in own))
        held = "not worse than" if all(row.passed for row in own) else "not found worse than"
        lines.append(f"{held} the {_named(own[0])} in {figures} of any class")
    return lines


def _sentences(outcome: str, results: Sequence[RuleResult], comparisons: Sequence[Comparison], rows: Rows) -> list[str]:
    lines: list[str] = []
    for result in results:
        if result.outcome == outcome:
            lines += _about_rule(result, rows) if outcome == "fail" else [_with_images(result, rows)]
    return lines + _about_comparisons([row for row in comparisons if row.outcome == outcome])


def _about_rule(result: RuleResult, rows: Rows) -> list[str]:
    """A reason for each class that fails a rule by itself; for others, the sentence of the rule."""
    if result.where is None:
        return [result.why]
    rule = parse_rule(result.rule)
    failing = [result.where]
    if rule.scope == "worst":
        failing += [c for c, found in class_outcomes(rule, rows).items() if found == "fail" and c != result.where]
    lines, told = [], set[str]()
    for name in failing[:MOST_NAMED]:
        if name in told:
            continue
        sentence, involved = _fault(result.figure, name, rows)
        told.update(involved)
        numbers = interval_text(rows[name][result.figure], *rows[name]["intervals"].get(result.figure, (None, None)))
        lines.append(f"{sentence} ({result.figure} {numbers}; `{result.rule}`)")
    left = len(failing) - MOST_NAMED
    return [*lines, f"and {left} more classes fail `{result.rule}`"] if left > 0 else lines


def _fault(figure: str, name: str, rows: Rows) -> tuple[str, set[str]]:
    """What is wrong with a class in words, and the classes that this is about."""
    row = rows[name]
    if figure in ("label_agreement", "label_agreement_ratio"):
        return _label_fault(name, rows)
    value = row[figure]
    if figure == "closest_record_ratio":
        if value <= ABOUT_NOTHING:
            return f"images of class {name} are copies of training images", {name}
        return (
            f"images of class {name} lie too near to training images, at {value:.2g} of the distance of unseen ones",
            {name},
        )
    if figure == "judge_recall":
        return f"the judge knows {value:.0%} of the real images of class {name}", {name}
    if figure == "memorization_p":
        return f"images of class {name} lie nearer to training images than unseen ones do", {name}
    if figure == "copied":
        return f"{value:.0%} of the images of class {name} lie nearer to training images than unseen ones do", {name}
    if figure == "diversity":
        if value <= ABOUT_NOTHING:
            return f"all images of class {name} are alike", {name}
        return f"images of class {name} differ from each other {value:.2g} times as much as real ones", {name}
    if figure == "coverage":
        return f"many kinds of real images of class {name} are not made", {name}
    if row["nearest_class"] is None:
        return f"images of class {name} are unlike real ones", {name}
    return f"images of class {name} are unlike real ones; the nearest other class is {row['nearest_class']}", {name}


def _label_fault(name: str, rows: Rows) -> tuple[str, set[str]]:
    row = rows[name]
    seen, part = row["looks_like"], row["looks_like_part"]
    if seen is None:
        return f"there are no images of class {name}", {name}
    if seen != name and rows[seen]["looks_like"] == name:
        back = rows[seen]["looks_like_part"]
        return (
            f"classes {name} and {seen} are swapped: {part:.0%} of the images asked for as {name} look like {seen}, "
            f"and {back:.0%} of those asked for as {seen} like {name}"
        ), {name, seen}
    if row["label_agreement"] <= ABOUT_NOTHING:
        never = "never" if row["label_agreement"] == 0 else "hardly ever"
        return f"class {name} is {never} made: {part:.0%} of its images look like {seen}", {name}
    recall = "" if row["judge_recall"] is None else f", and {row['judge_recall']:.0%} of real ones"
    return f"the judge knows {row['label_agreement']:.0%} of the images of class {name}{recall}", {name}


def _with_images(result: RuleResult, rows: Rows) -> str:
    """A rule that cannot be told, with the number of images that would have to be more."""
    if result.where is None:
        return result.why
    row = rows[result.where]
    return (
        f"{result.why} (class {result.where} has {row['eval_real']} held-out and {row['train_unique']} training images)"
    )


def _named(row: Comparison) -> str:
    return f"serving version {row.version}" if row.against == "serving" else f"best served version {row.version}"


def _about_comparisons(chosen: Sequence[Comparison]) -> list[str]:
    """One sentence an other version and figure, about the class where the difference is largest."""
    lines = []
    for key in dict.fromkeys((row.against, row.version, row.figure) for row in chosen):
        own = [row for row in chosen if (row.against, row.version, row.figure) == key]
        row = max(own, key=lambda row: float("inf") if row.difference is None else abs(row.difference))
        others = f" and {len(own) - 1} more classes" if len(own) > 1 else ""
        if row.difference is None or row.lo is None:
            lines.append(
                f"whether {row.figure} of class {row.where}{others} is worse than that of the {_named(row)} cannot be "
                "told: there are too few images"
            )
            continue
        verb = "is worse" if row.outcome == "fail" else "may be worse"
        lines.append(
            f"{row.figure} of class {row.where}{others} {verb} than that of the {_named(row)}: {row.value:.3g} against "
            f"{row.other:.3g}, difference {interval_text(row.difference, row.lo, row.hi)}, margin {row.margin:g}"
        )
    return lines


def _too_few(rows: Rows, options: GateOptions) -> list[str]:
    """A line about the classes whose held-out images are too few for the resolution that is asked for."""
    few = [f"{name} ({row['eval_real']})" for name, row in rows.items() if not row["enough_data"]]
    if not few:
        return []
    more = f" and {len(few) - MOST_NAMED} more" if len(few) > MOST_NAMED else ""
    return [
        f"too few held-out images to see a kid_relative of {options.resolution:g}: {', '.join(few[:MOST_NAMED])}{more}"
    ]
