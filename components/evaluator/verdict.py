"""The gate: from figures to a verdict, with its reasons in words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from components.evaluator import figures, rules
from components.evaluator.options import GateOptions
from components.evaluator.served import Served

Verdict = Literal["blessed", "rejected", "already_serving"]


@dataclass(frozen=True)
class RuleResult:
    """One rule and the figure it was held against."""

    rule: str
    value: float | None
    passed: bool
    where: str | None = None


@dataclass(frozen=True)
class Comparison:
    """One figure of the candidate beside that of what serves."""

    figure: str
    value: float | None
    served: float | None
    margin: float
    passed: bool


def named_figures(whole: Mapping[str, float | None], classes: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """All figures that rules may name, those of the worst class among them."""
    worst = {f"worst.{name}": figures.worst(classes, name, better) for name, better in rules.PER_CLASS.items()}
    return {name: whole.get(name) for name in rules.OVERALL} | worst


def _worst_class(rule: rules.Rule, classes: dict[str, dict[str, Any]]) -> str | None:
    """The class that a `worst.` rule is about: the first without a value, or that with the worst one."""
    prefix, _, figure = rule.figure.partition(".")
    if prefix != "worst":
        return None
    missing = [name for name, row in classes.items() if row[figure] is None]
    if missing:
        return missing[0]
    sign = 1 if rules.PER_CLASS[figure] else -1
    return min(classes, key=lambda name: sign * classes[name][figure])


def check_rules(
    options: GateOptions, values: Mapping[str, float | None], classes: dict[str, dict[str, Any]]
) -> list[RuleResult]:
    """Holds every rule of the gate against the figures."""
    parsed = [rules.parse_rule(text) for text in options.rules]
    return [
        RuleResult(str(rule), values.get(rule.figure), rule.holds(values.get(rule.figure)), _worst_class(rule, classes))
        for rule in parsed
    ]


def compare(
    options: GateOptions, values: Mapping[str, float | None], served: Mapping[str, float | None] | None
) -> list[Comparison]:
    """Holds the candidate against what serves; nothing to compare where nothing serves."""
    if served is None:
        return []
    return [
        Comparison(name, values.get(name), served.get(name), margin, rules.not_worse(values, served, name, margin))
        for name, margin in options.not_worse.items()
    ]


def _text(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _failures(results: list[RuleResult], comparisons: list[Comparison], served: Served | None) -> list[str]:
    lines = []
    for result in results:
        if not result.passed:
            where = f" (class {result.where})" if result.where else ""
            lines.append(f"`{result.rule}` does not hold: it is {_text(result.value)}{where}")
    for row in comparisons:
        if not row.passed and served:
            lines.append(
                f"{row.figure} is worse than that of the serving version {served.version}: {_text(row.value)} against "
                f"{_text(row.served)}, and the margin is {row.margin:g}"
            )
    return lines


def decide(
    fingerprint: str, served: Served | None, results: list[RuleResult], comparisons: list[Comparison]
) -> tuple[Verdict, list[str]]:
    """The verdict and its reasons.

    A candidate that is what serves is `already_serving`, whatever the rules say: there is nothing to push, and what
    to do about a rule that no longer holds is not for the gate to decide; the reasons name it.
    """
    failures = _failures(results, comparisons, served)
    if served and served.fingerprint == fingerprint:
        return "already_serving", [f"this generator is what serves, as version {served.version}", *failures]
    if not results:
        return "rejected", ["the gate has no rules, and without a rule nothing is blessed"]
    if failures:
        return "rejected", failures
    reasons = [f"all {len(results)} rules hold" if len(results) > 1 else "the one rule holds"]
    if served is None:
        reasons.append("nothing serves yet")
    elif comparisons:
        names = ", ".join(row.figure for row in comparisons)
        reasons.append(f"not worse than the serving version {served.version} in {names}")
    return "blessed", reasons


def as_dicts(rows: list[RuleResult] | list[Comparison]) -> list[dict[str, Any]]:
    """Plain dictionaries, for JSON."""
    return [asdict(row) for row in rows]
