"""Rules held against the figures of a document, each with a sentence that says what came out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.evaluator.rules import GROUPED, P_VALUES, Outcome, Rule, parse_rule
from models.errors import UserError

Document = Mapping[str, Any]


@dataclass(frozen=True)
class RuleResult:
    """One rule and the figure it was held against.

    Attributes:
      rule: as text.
      figure: its name, without scope.
      operator: of the rule.
      threshold: of the rule.
      value: of the figure, None if not known.
      lo: lower end of its interval, if it has one.
      hi: upper end.
      outcome: "pass", "fail" or "cannot_tell".
      passed: whether it is "pass".
      where: the class it is about: that named by the rule, or of the worst class, the one that decides.
      why: a sentence with the numbers.
    """

    rule: str
    figure: str
    operator: str
    threshold: float
    value: float | None
    lo: float | None
    hi: float | None
    outcome: Outcome
    passed: bool
    where: str | None
    why: str


def check_rules(texts: tuple[str, ...], document: Document) -> list[RuleResult]:
    """Holds all rules against `document`, which has the figures of the whole, `per_class` and `groups`.

    Raises:
      UserError: a rule names a class that is not there.
    """
    return [_check(parse_rule(text), document) for text in texts]


def class_outcomes(rule: Rule, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Outcome]:
    """The rule held against each class by itself."""
    return {name: rule.outcome(*_numbers(row, rule.figure)) for name, row in rows.items()}


def interval_text(value: float | None, lo: float | None, hi: float | None) -> str:
    """A figure with its interval, for people."""
    if value is None:
        return "not known"
    ends = ["?" if end is None else f"{end:.3g}" for end in (lo, hi)]
    return f"{value:.3g}" if ends == ["?", "?"] else f"{value:.3g} [{ends[0]}, {ends[1]}]"


def _numbers(row: Mapping[str, Any], figure: str) -> tuple[float | None, float | None, float | None]:
    lo, hi = row["intervals"].get(figure, (None, None))
    return row[figure], lo, hi


def _check(rule: Rule, document: Document) -> RuleResult:
    if rule.scope == "worst":
        return _check_worst(rule, document)
    if rule.scope == "class":
        rows = document["per_class"]
        if rule.name not in rows:
            raise UserError(f"rule `{rule}` names a class that is not there; classes: {', '.join(rows)}", "gate.rules")
        return _result(rule, _numbers(rows[rule.name], rule.figure), rule.name, f"{rule.figure} of class {rule.name}")
    if rule.scope:
        group = document["groups"].get(rule.scope)
        numbers = _numbers(group, rule.figure) if group else (None, None, None)
        over = "over all classes" if rule.scope == "mean" else f"over the {rule.scope} ({_names(group)})"
        return _result(rule, numbers, None, f"mean {rule.figure} {over}")
    return _result(rule, _whole(document, rule.figure), None, rule.figure)


def _names(group: Mapping[str, Any] | None) -> str:
    return ", ".join(group["classes"]) if group else "which has no class"


def _whole(document: Document, figure: str) -> tuple[float | None, float | None, float | None]:
    part, _, name = figure.partition(".")
    if not name:
        return _numbers(document, figure)
    value = document[part][name]
    return (len(value) if isinstance(value, list) else value), None, None


def _check_worst(rule: Rule, document: Document) -> RuleResult:
    """Fails where one class fails, passes where all pass: the same as the rule on the bounds of the worst class."""
    rows, worst = document["per_class"], document["groups"]["worst"]
    outcomes = class_outcomes(rule, rows)
    for outcome in ("fail", "cannot_tell"):
        deciding = [name for name in rows if outcomes[name] == outcome]
        if deciding:
            sign = 1 if {**GROUPED, **P_VALUES}[rule.figure] else -1
            values = {name: rows[name][rule.figure] for name in deciding}
            unknown = [name for name in deciding if values[name] is None]
            where = unknown[0] if unknown else min(deciding, key=lambda name: sign * values[name])
            more = f", the worst of {len(deciding)} such classes," if len(deciding) > 1 else ""
            return _result(rule, _numbers(rows[where], rule.figure), where, f"{rule.figure} of class {where}{more}")
    where = worst["where"][rule.figure]
    return _result(rule, _numbers(worst, rule.figure), where, f"{rule.figure} of the worst class, {where},")


def _result(
    rule: Rule, numbers: tuple[float | None, float | None, float | None], where: str | None, subject: str
) -> RuleResult:
    outcome, text = rule.outcome(*numbers), interval_text(*numbers)
    if outcome == "pass":
        why = f"{subject} is {text}: `{rule}` holds"
    elif outcome == "fail":
        why = f"{subject} is {text}: `{rule}` does not hold"
    elif numbers[0] is None:
        why = f"{subject} is not known, so `{rule}` cannot be told"
    elif numbers[1] is None and numbers[2] is None:
        why = f"{subject} is {text}, of too few images for an interval, so `{rule}` cannot be told"
    else:
        why = f"{subject} is {text}, which does not decide `{rule}`"
    return RuleResult(
        str(rule), rule.figure, rule.operator, rule.threshold, *numbers, outcome, outcome == "pass", where, why
    )
